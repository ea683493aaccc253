"""What is put on the node, and what is left alone."""

import json
import os
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
