"""Installs the plug-in and the CNI configuration on the node, each atomically, the configuration last.

hostPort is not ours: the configuration has the `portmap` plug-in of containernetworking-plugins behind ours where there
is one. All plug-ins of a list are called with one version, so portmap is asked which versions it knows.

A runtime takes the node's network for ready as soon as the configuration is there. Both stay when the daemon stops:
while it is away, pods wait for it instead of being wired by something else. What is there already and right is not
touched, for runtimes watch the folder.
"""

import json
import logging
import os
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from kuryr.daemon.cni.protocol import SUPPORTED_VERSIONS

log = logging.getLogger(__name__)

PLUGIN = "kuryr-cni"
CONFIGURATION = "10-kuryr.conflist"
PORTMAP = "portmap"
_MAX_SHEBANG = 127  # BINPRM_BUF_SIZE of older kernels
_VERSION_TIMEOUT_S = 5.0

ChainPortmap = Literal["auto", "always", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Where things go. `interpreter`: a Python 3 that exists on the node, by its absolute path.

    `chain_portmap`: "auto" where the plug-in folder has one that knows our newest version; "always" takes an older one
    too, with the newest version that it knows. Before 1.1.0 runtimes do not call STATUS and GC.
    """

    plugin_dir: Path
    config_dir: Path
    socket: Path
    interpreter: str
    chain_portmap: ChainPortmap = "auto"


def render_plugin(interpreter: str) -> bytes:
    """The program with its first line. Raises ValueError when the kernel could not run that line."""
    shebang = f"#!{interpreter} -IS\n"
    if not interpreter.startswith("/") or any(c.isspace() for c in interpreter) or len(shebang) > _MAX_SHEBANG:
        raise ValueError(
            f"{interpreter!r} cannot run the CNI plug-in: give an absolute path without blanks, "
            f"of at most {_MAX_SHEBANG - 7} characters"
        )
    return shebang.encode() + files("kuryr.daemon.cni").joinpath("plugin.py").read_bytes()


def render_configuration(socket: Path, cni_version: str, *, portmap: bool) -> bytes:
    """The network configuration list."""
    plugins: list[dict[str, Any]] = [{"type": PLUGIN, "socket": str(socket)}]
    if portmap:
        # masqAll: answers must come back through the node, and a pod's default route is its subnet's gateway
        plugins.append({"type": PORTMAP, "capabilities": {"portMappings": True}, "masqAll": True})
    return json.dumps({"cniVersion": cni_version, "name": "kuryr", "plugins": plugins}, indent=2).encode() + b"\n"


def ensure_installed(installation: Installation) -> tuple[Path, ...]:
    """The files that were written; none when all was there. Raises ValueError, OSError."""
    plugin = render_plugin(installation.interpreter)
    version = _version_with_portmap(installation)
    configuration = render_configuration(
        installation.socket, version or SUPPORTED_VERSIONS[-1], portmap=version is not None
    )
    written = []
    for path, content, mode in (
        (installation.plugin_dir / PLUGIN, plugin, 0o755),
        (installation.config_dir / CONFIGURATION, configuration, 0o600),
    ):
        if _ensure_file(path, content, mode):
            log.info("installed", extra={"path": str(path)})
            written.append(path)
    return tuple(written)


def _version_with_portmap(installation: Installation) -> str | None:
    """The version to speak with portmap in the chain; None: without it. Raises ValueError."""
    chain, path = installation.chain_portmap, installation.plugin_dir / PORTMAP
    if chain == "never" or (chain == "auto" and not path.exists()):
        return None
    known = _fetch_versions(path)
    version = next((one for one in reversed(SUPPORTED_VERSIONS) if one in known), None)
    if version == SUPPORTED_VERSIONS[-1]:
        return version
    newest = max(known, default="none")
    if chain == "always":
        if version is None:
            raise ValueError(f"{path} cannot be chained: it is not there or knows none of {SUPPORTED_VERSIONS}")
        log.warning(
            "runtimes will not ask for the network's status: portmap is old",
            extra={"path": str(path), "cni_version": version},
        )
        return version
    log.warning(
        "hostPort does nothing: portmap is too old, CNI 1.1.0 is needed (daemon.chain_portmap: always takes it)",
        extra={"path": str(path), "newest": newest},
    )
    return None


def _fetch_versions(path: Path) -> Collection[str]:
    """The versions that a plug-in says it knows; none when it does not say."""
    try:
        done = subprocess.run(
            [str(path)],
            input=b'{"cniVersion": "1.0.0"}',
            env={"CNI_COMMAND": "VERSION"},
            capture_output=True,
            check=True,
            timeout=_VERSION_TIMEOUT_S,
        )
        versions = json.loads(done.stdout)["supportedVersions"]
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError) as error:
        log.warning("a plug-in does not say its versions", extra={"path": str(path), "error": str(error)})
        return ()
    return [one for one in versions if isinstance(one, str)]


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
