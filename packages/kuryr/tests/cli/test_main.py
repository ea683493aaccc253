"""What a person sees of the commands: what they print, and one clear line for what a person can mend."""

import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kuryr.cli.main import main
from kuryr.model.configuration import load_configuration
from kuryr.model.resources import KINDS

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder and home with a kubeconfig and a clouds.yaml of servers that are away; nothing else is set."""
    for name in [name for name in os.environ if name.startswith(("KURYR_", "OS_", "KUBE"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    kubeconfig = {
        "clusters": [{"name": "away", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "away", "user": "u"}}],
        "current-context": "c",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    cloud = {"auth": {"auth_url": "http://127.0.0.1:1/v3", "username": "u", "password": "p", "project_name": "p"}}
    (tmp_path / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {"lab": cloud}}))
    daemon = {
        "node": "node1",
        "socket": str(tmp_path / "run" / "cni.sock"),
        "ovsdb": f"unix:{tmp_path}/db.sock",
        "cni_conf_dir": str(tmp_path / "net.d"),
        "cni_bin_dir": str(tmp_path / "bin"),
    }
    content = {"kubernetes": {"kubeconfig": "kubeconfig"}, "neutron": {"network": "pods"}, "daemon": daemon}
    (tmp_path / "kuryr.yaml").write_text(yaml.safe_dump(content))
    yield tmp_path
    root = logging.getLogger()  # a command sets up the logs of its process, which here is the tests'
    for handler in [handler for handler in root.handlers if type(handler) is logging.StreamHandler]:
        root.removeHandler(handler)
    root.setLevel(logging.WARNING)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def complaint(captured: Capture, *argv: str) -> str:
    """The one line of a command that cannot work."""
    assert main(argv) == 1
    said = [line for line in captured.readouterr().err.splitlines() if line.startswith("kuryr: ")]
    assert len(said) == 1
    return said[0]


@pytest.mark.parametrize("command", ["controller", "daemon"])
def test_a_configuration_that_is_not_there_is_one_line(folder: Path, capsys: Capture, command: str) -> None:
    assert "none.yaml: cannot be read" in complaint(capsys, command, "--config", "none.yaml")


@pytest.mark.parametrize("command", ["controller", "daemon"])
def test_a_wrong_key_is_one_line_that_names_it(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("KURYR_POOLS__COOLDOWN", "3")
    said = complaint(capsys, command, "--config", "kuryr.yaml")
    assert re.search(r"KURYR_POOLS__COOLDOWN: unknown key pools.cooldown: did you mean pools.cool_down_s\?", said)


@pytest.mark.parametrize("command", ["controller", "daemon"])
def test_a_kubeconfig_that_is_not_there_is_one_line(folder: Path, capsys: Capture, command: str) -> None:
    (folder / "kubeconfig").unlink()
    assert "no such kubeconfig" in complaint(capsys, command, "--config", "kuryr.yaml")


def test_a_controller_without_a_cloud_says_where_it_looked(folder: Path, capsys: Capture) -> None:
    (folder / "clouds.yaml").unlink()
    assert "no clouds.yaml: looked for" in complaint(capsys, "controller", "--config", "kuryr.yaml")


def test_a_daemon_without_a_node_says_what_to_set(folder: Path, capsys: Capture) -> None:
    (folder / "kuryr.yaml").write_text("")
    assert "daemon.node is not set" in complaint(capsys, "daemon", "--config", "kuryr.yaml")


@pytest.mark.parametrize("command", ["controller", "daemon"])
def test_a_port_that_there_is_not_is_one_line(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv(f"KURYR_{command.upper()}__HTTP", "127.0.0.1:99999")
    assert f"{command}.http: there is no port 99999" in complaint(capsys, command, "--config", "kuryr.yaml")


def test_a_port_that_is_taken_is_one_line(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, taken_port: int
) -> None:
    monkeypatch.setenv("KURYR_DAEMON__HTTP", f"127.0.0.1:{taken_port}")
    assert f"cannot serve on 127.0.0.1:{taken_port}" in complaint(capsys, "daemon", "--config", "kuryr.yaml")


def test_a_socket_that_cannot_be_made_is_one_line(folder: Path, capsys: Capture) -> None:
    (folder / "run").write_text("a file, where the socket's folder should be")
    assert "daemon.socket: cannot serve" in complaint(capsys, "daemon", "--config", "kuryr.yaml")


def test_the_printed_configuration_is_the_default_one(folder: Path, capsys: Capture) -> None:
    assert main(["config"]) == 0
    (folder / "printed.yaml").write_text(capsys.readouterr().out)
    assert load_configuration("printed.yaml", {}) == load_configuration("", {})


def test_the_printed_definitions_are_of_all_our_kinds(capsys: Capture) -> None:
    assert main(["crds"]) == 0
    printed = yaml.safe_load_all(capsys.readouterr().out)
    assert {one["spec"]["names"]["kind"] for one in printed} == {kind.resource.kind for kind in KINDS}
