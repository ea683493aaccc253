"""Installs the plug-in and the CNI configuration on the node, each atomically, the configuration last.

A runtime takes the node's network for ready as soon as the configuration is there. Both stay when the daemon stops:
while it is away, pods wait for it instead of being wired by something else. What is there already and right is not
touched, for runtimes watch the folder.
"""

import json
import logging
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from kuryr.daemon.cni.protocol import SUPPORTED_VERSIONS

log = logging.getLogger(__name__)

PLUGIN = "kuryr-cni"
CONFIGURATION = "10-kuryr.conflist"
_MAX_SHEBANG = 127  # BINPRM_BUF_SIZE of older kernels


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Where things go. `interpreter`: a Python 3 that exists on the node, by its absolute path.

    `cni_version`: with 1.1.0, runtimes also call STATUS and GC, which the daemon does not answer yet.
    """

    plugin_dir: Path
    config_dir: Path
    socket: Path
    interpreter: str
    cni_version: str = SUPPORTED_VERSIONS[0]


def render_plugin(interpreter: str) -> bytes:
    """The program with its first line. Raises ValueError when the kernel could not run that line."""
    shebang = f"#!{interpreter} -IS\n"
    if not interpreter.startswith("/") or any(c.isspace() for c in interpreter) or len(shebang) > _MAX_SHEBANG:
        raise ValueError(
            f"{interpreter!r} cannot run the CNI plug-in: give an absolute path without blanks, "
            f"of at most {_MAX_SHEBANG - 7} characters"
        )
    return shebang.encode() + files("kuryr.daemon.cni").joinpath("plugin.py").read_bytes()


def render_configuration(socket: Path, cni_version: str) -> bytes:
    """The network configuration list."""
    plugin = {"type": PLUGIN, "socket": str(socket)}
    return json.dumps({"cniVersion": cni_version, "name": "kuryr", "plugins": [plugin]}, indent=2).encode() + b"\n"


def ensure_installed(installation: Installation) -> tuple[Path, ...]:
    """The files that were written; none when all was there. Raises ValueError, OSError."""
    plugin = render_plugin(installation.interpreter)
    configuration = render_configuration(installation.socket, installation.cni_version)
    written = []
    for path, content, mode in (
        (installation.plugin_dir / PLUGIN, plugin, 0o755),
        (installation.config_dir / CONFIGURATION, configuration, 0o600),
    ):
        if _ensure_file(path, content, mode):
            log.info("installed", extra={"path": str(path)})
            written.append(path)
    return tuple(written)


def _ensure_file(path: Path, content: bytes, mode: int) -> bool:
    try:
        if path.read_bytes() == content and path.stat().st_mode & 0o777 == mode:
            return False
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    # Hidden, and of another suffix: runtimes read whatever ends in .conf, .conflist or .json.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return True


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
