"""Programs here are shell scripts that say a version."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuryr.lab.kubernetes_programs import (
    API_SERVER,
    MODULES,
    Version,
    choose,
    find_programs,
    module_folder,
    parse_version,
)
from kuryr.lab.layout import Layout


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Kubernetes v1.37.2", Version(1, 37, 2)),
        ("Client Version: v1.33.0-rc.1\nKustomize Version: v5.8.1", Version(1, 33, 0)),
        ("etcd Version: 3.6.16\nGit SHA: abc", Version(3, 6, 16)),
        ("containerd github.com/containerd/containerd/v2 v2.3.7 ", Version(2, 3, 7)),
        ("ovn-controller 25.03.0", Version(25, 3, 0)),
        ("nothing here", None),
    ],
)
def test_versions_are_read_from_what_programs_print(text: str, version: Version | None) -> None:
    assert parse_version(text) == version


def program(folder: Path, name: str, version: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho {name} v{version}\n")
    path.chmod(0o755)
    return path


def test_assets_come_before_path_and_one_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    layout = Layout(state=tmp_path / "state", cache=tmp_path / "cache")
    program(tmp_path / "assets", "etcd", "3.5.12")
    wanted = program(tmp_path / "path", "etcd", "3.5.13")
    chosen = program(tmp_path / "assets", "kubectl", "1.36.0")
    program(tmp_path / "path", "kubectl", "1.37.0")
    environ = {"KUBEBUILDER_ASSETS": str(tmp_path / "assets"), "PATH": str(tmp_path / "path")}
    found = find_programs(layout, environ)
    assert {name: one.path for name, one in found.items()} == {"etcd": wanted, "kubectl": chosen}


def test_what_the_lab_itself_built_or_linked_is_not_found(tmp_path: Path) -> None:
    layout = Layout(state=tmp_path / "state", cache=tmp_path / "cache")
    built = program(layout.kube_bin, "kubectl", "1.37.2")
    layout.user_bin.mkdir(parents=True)
    (layout.user_bin / "kubectl").symlink_to(built)
    environ = {"KUBEBUILDER_ASSETS": str(layout.kube_bin), "PATH": str(layout.user_bin)}
    assert find_programs(layout, environ) == {}


def test_an_api_server_older_than_what_must_be_built_is_built_too() -> None:
    assert choose({API_SERVER: Version(1, 35), "etcd": Version(3, 6)}) == {"etcd"}


def test_a_whole_set_of_one_older_version_is_taken() -> None:
    names = [API_SERVER, "kubelet", "kube-controller-manager", "kube-scheduler", "kubectl"]
    assert choose(dict.fromkeys(names, Version(1, 34))) == set(names)


@given(
    st.dictionaries(
        st.sampled_from([API_SERVER, "kubelet", "kube-controller-manager", "kube-scheduler"]),
        st.integers(33, 40).map(lambda minor: Version(1, minor)),
    )
)
def test_nothing_is_ever_newer_than_the_api_server_that_it_runs_with(found: dict[str, Version]) -> None:
    taken = choose(found)
    built = Version(1, 37)
    api = found[API_SERVER] if API_SERVER in taken else built
    for name in ("kubelet", "kube-controller-manager", "kube-scheduler"):
        assert (found[name] if name in taken else built).minor <= api.minor


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_every_package_that_is_built_is_in_the_committed_pins(module: object) -> None:
    one = next(known for known in MODULES if known is module)
    folder = module_folder(one.name)
    tools = (folder / "tools.go").read_text()
    assert all(f'"{package}"' in tools for package in one.packages.values())
    assert f" v{one.version}\n" in (folder / "go.mod").read_text()
    assert (folder / "go.sum").stat().st_size
    assert "://" not in (folder / "go.mod").read_text() + (folder / "go.sum").read_text()
