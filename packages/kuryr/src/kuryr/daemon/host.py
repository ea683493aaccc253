"""The machine of a node, as the daemon sees it: the seam that a simulated node replaces. Nothing above it differs.

`LinuxHost` is the real one; what the parts promise is said in `kernel`, `vswitch`, `ovn` and `cni.server`.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from kuryr.daemon.cni.install import Installation, ensure_installed
from kuryr.daemon.cni.server import CniHandler, CniServer
from kuryr.daemon.kernel import Kernel
from kuryr.daemon.local_copy import CopyFile, StateFile
from kuryr.daemon.netlink.kernel import NetlinkKernel
from kuryr.daemon.ovn import OvnController
from kuryr.daemon.ovsdb.vswitch import OvsdbVswitch
from kuryr.daemon.readiness import OvnControl
from kuryr.daemon.vswitch import Vswitch
from kuryr.model.configuration import ConfigurationError, Daemon


class HostKernel(Kernel, Protocol):
    """The wiring's kernel, and the links that tunnels go through."""

    async def get_mtus(self) -> Mapping[str, int]:
        """Address -> MTU in bytes of its link, of the host's own addresses. Raises KernelError."""
        ...


class HostVswitch(Vswitch, Protocol):
    """The node's Open vSwitch with its connection, which `run` keeps."""

    async def run(self) -> None: ...

    async def wait_connected(self) -> None: ...


class CniService(Protocol):
    """Where the runtime's commands come in."""

    async def run(self) -> None:
        """Until cancelled. Raises SocketInUse, OSError."""
        ...

    async def wait_listening(self) -> None: ...


class Host(Protocol):
    """One node's machine."""

    @property
    def kernel(self) -> HostKernel: ...

    @property
    def vswitch(self) -> HostVswitch: ...

    @property
    def ovn(self) -> OvnControl: ...

    @property
    def copy(self) -> CopyFile:
        """Where the daemon keeps its copy of the node's claims: it outlives the daemon and the machine's restart."""
        ...

    @property
    def boot_id(self) -> str:
        """Changes when the machine restarts."""
        ...

    @property
    def families(self) -> tuple[str, ...]:
        """IPv4, IPv6."""
        ...

    def cni(self, handler: CniHandler) -> CniService: ...

    def install(self) -> None:
        """Plug-in and CNI configuration are there: the runtime takes the network for ready. Raises
        `ConfigurationError`.
        """
        ...


class LinuxHost:
    """The machine we run on; the network namespace it is made in is the node's. `with` closes it."""

    def __init__(self, options: Daemon) -> None:
        self._options = options
        self.kernel = NetlinkKernel()
        self.vswitch = OvsdbVswitch(options.ovsdb)
        self.ovn = OvnController(Path(options.ovn_run_dir))
        self.copy = StateFile(Path(options.state_dir) / "claims.json")
        # these two do not change while a kernel runs
        self.families = ("IPv4", "IPv6") if Path("/proc/sys/net/ipv6").exists() else ("IPv4",)
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def __enter__(self) -> "LinuxHost":
        self.kernel.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self.kernel.__exit__(None, None, None)

    def cni(self, handler: CniHandler) -> CniService:
        return CniServer(self._options.socket, handler)

    def install(self) -> None:
        options = self._options
        installation = Installation(
            plugin_dir=Path(options.cni_bin_dir),
            config_dir=Path(options.cni_conf_dir),
            socket=Path(options.socket),
            interpreter=_interpreter(),
            chain_portmap=options.chain_portmap,
        )
        try:
            ensure_installed(installation)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"daemon.cni_bin_dir, daemon.cni_conf_dir, daemon.chain_portmap: {error}"
            ) from error


def _interpreter() -> str:
    """The plug-in needs only the standard library: the system's Python where there is one, for it outlives ours."""
    system = Path("/usr/bin/python3")
    return str(system) if system.exists() else str(Path(os.path.realpath(sys.executable)))
