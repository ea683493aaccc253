"""What is put on the node, and what is left alone."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from kuryr.daemon.cni.install import CONFIGURATION, PLUGIN, Installation, ensure_installed, render_plugin


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(
        plugin_dir=tmp_path / "bin",
        config_dir=tmp_path / "net.d",
        socket=Path("/run/kuryr/cni.sock"),
        interpreter="/usr/bin/python3",
    )


def test_the_configuration_is_written_last(installation: Installation) -> None:
    written = ensure_installed(installation)
    assert [path.name for path in written] == [PLUGIN, CONFIGURATION]


def test_the_configuration_names_the_plug_in_and_the_socket(installation: Installation) -> None:
    ensure_installed(installation)
    assert json.loads((installation.config_dir / CONFIGURATION).read_text()) == {
        "cniVersion": "1.1.0",
        "name": "kuryr",
        "plugins": [{"type": "kuryr-cni", "socket": "/run/kuryr/cni.sock"}],
    }


def test_the_plug_in_can_be_run_and_starts_lean(installation: Installation) -> None:
    ensure_installed(installation)
    plugin = installation.plugin_dir / PLUGIN
    assert os.access(plugin, os.X_OK)
    assert plugin.read_text().startswith("#!/usr/bin/python3 -IS\n")


def test_what_is_right_is_not_written_again(installation: Installation) -> None:
    ensure_installed(installation)
    before = (installation.config_dir / CONFIGURATION).stat()
    assert ensure_installed(installation) == ()
    after = (installation.config_dir / CONFIGURATION).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_what_was_changed_or_lost_its_mode_is_repaired(installation: Installation) -> None:
    ensure_installed(installation)
    plugin, configuration = installation.plugin_dir / PLUGIN, installation.config_dir / CONFIGURATION
    plugin.chmod(0o644)
    configuration.write_text("{}")
    assert set(ensure_installed(installation)) == {plugin, configuration}
    assert os.access(plugin, os.X_OK)


def test_nothing_but_the_two_files_is_left_in_the_folders(installation: Installation) -> None:
    ensure_installed(installation)
    assert os.listdir(installation.plugin_dir) == [PLUGIN]
    assert os.listdir(installation.config_dir) == [CONFIGURATION]


def test_a_plug_in_that_cannot_be_written_leaves_no_configuration(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "bin").touch()
    with pytest.raises(OSError, match="bin"):
        ensure_installed(installation)
    assert not installation.config_dir.exists()


@pytest.mark.parametrize("interpreter", ["python3", "/opt/my python/bin/python3", "/" + "x" * 200])
def test_an_interpreter_the_kernel_could_not_start_is_refused(interpreter: str) -> None:
    with pytest.raises(ValueError, match="give an absolute path"):
        render_plugin(interpreter)


def with_portmap(installation: Installation, *versions: str, code: int = 0) -> None:
    installation.plugin_dir.mkdir(parents=True, exist_ok=True)
    said = json.dumps({"cniVersion": "1.0.0", "supportedVersions": versions})
    path = installation.plugin_dir / "portmap"
    path.write_text(f"#!/bin/sh\n[ $CNI_COMMAND = VERSION ] && echo '{said}'\nexit {code}\n")
    path.chmod(0o755)


def installed(installation: Installation) -> tuple[str, list[str]]:
    ensure_installed(installation)
    content = json.loads((installation.config_dir / CONFIGURATION).read_text())
    return content["cniVersion"], [plugin["type"] for plugin in content["plugins"]]


def test_portmap_is_chained_behind_ours_where_it_is_and_gets_the_ports(installation: Installation) -> None:
    with_portmap(installation, "0.4.0", "1.0.0", "1.1.0")
    assert installed(installation) == ("1.1.0", [PLUGIN, "portmap"])
    content = json.loads((installation.config_dir / CONFIGURATION).read_text())
    assert content["plugins"][1] == {"type": "portmap", "capabilities": {"portMappings": True}, "masqAll": True}


@pytest.mark.parametrize("versions", [("0.4.0", "1.0.0"), ("9.9.9",), ()])
def test_an_older_portmap_is_left_out_so_that_the_network_has_a_status(
    installation: Installation, versions: tuple[str, ...]
) -> None:
    with_portmap(installation, *versions)
    assert installed(installation) == ("1.1.0", [PLUGIN])


def test_a_portmap_that_does_not_answer_is_left_out(installation: Installation) -> None:
    with_portmap(installation, "1.1.0", code=1)
    assert installed(installation) == ("1.1.0", [PLUGIN])


def test_who_wants_an_older_portmap_gets_it_with_its_version(installation: Installation) -> None:
    with_portmap(installation, "0.3.1", "0.4.0", "1.0.0")
    assert installed(replace(installation, chain_portmap="always")) == ("1.0.0", [PLUGIN, "portmap"])


def test_who_wants_a_portmap_that_is_not_there_is_told(installation: Installation) -> None:
    with pytest.raises(ValueError, match="cannot be chained"):
        ensure_installed(replace(installation, chain_portmap="always"))
    assert not installation.config_dir.exists()


def test_who_wants_none_gets_none(installation: Installation) -> None:
    with_portmap(installation, "1.1.0")
    assert installed(replace(installation, chain_portmap="never")) == ("1.1.0", [PLUGIN])
