"""Open vSwitch and OVN's controller on this node, as the wiring sees them: the seam that a simulator replaces.

Contract: `add_port` and `del_port` are one transaction each and idempotent; what they did is seen in `ports` when they
return. When they fail or are cancelled the transaction may or may not take place, but never after a later `del_port` of
the same name has returned. One Neutron port is bound to one pod at a time: `add_port` takes it from an older sandbox
of the same pod and refuses it while another pod's interface has it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from kuryr.daemon.records import SandboxRecord


class VswitchError(Exception):
    """Open vSwitch refused; the message says what was asked and why not."""


class VswitchUnavailable(VswitchError):
    """OVSDB does not answer. Worth trying again."""


class PortInUse(VswitchError):
    """The Neutron port is bound to another pod's interface, or to something that is not ours."""


class NameTaken(VswitchError):
    """There is a port of this name which we did not make."""


class BridgeMissing(VswitchError):
    """The integration bridge is not there: ovn-controller makes it."""


class InterfaceFailed(VswitchError):
    """ovs-vswitchd could not open the device, or the interface was removed while we waited."""


class NotInstalled(VswitchError):
    """ovn-controller did not install the port's flows in time. Worth trying again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortState:
    """How one of our ports is.

    `bound_to`: the Neutron port that ovn-controller binds to it; empty where a newer sandbox of the pod took it.
    `error`: why ovs-vswitchd cannot use the device.
    """

    record: SandboxRecord
    bound_to: str
    installed: bool
    on_bridge: bool
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VswitchSystem:
    """Facts about the node from the Open_vSwitch row. `hostname` is what Neutron binds ports to (binding:host_id).

    `bridge_exists`: ovn-controller's integration bridge is there. `connected`: to OVSDB, so all this is current.
    """

    hostname: str
    system_id: str
    bridge: str
    bridge_exists: bool
    ovs_version: str
    encap_ips: tuple[str, ...]
    encap_types: tuple[str, ...]
    connected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalPort:
    """A port of the switch whose device is in the host's own namespace; `mtu` in bytes."""

    name: str
    port_id: str
    mac_address: str
    mtu: int


class Vswitch(Protocol):
    """Ports of the integration bridge."""

    async def add_port(self, bridge: str, name: str, record: SandboxRecord) -> None:
        """Raises PortInUse, NameTaken, BridgeMissing, VswitchUnavailable."""
        ...

    async def del_port(self, name: str) -> None:
        """Remove our port of that name, also when its device vanished; one that is not there is success."""
        ...

    async def ensure_internal_port(self, bridge: str, port: InternalPort) -> bool:
        """Make it, or change it in place; whether anything was to be done. Raises PortInUse, NameTaken, BridgeMissing,
        VswitchUnavailable.
        """
        ...

    async def mark_finished(self, name: str) -> None:
        """Note in the port's row that its ADD is done. Raises InterfaceFailed when it is gone, VswitchUnavailable."""
        ...

    async def bind_again(self, name: str) -> None:
        """Let the port be bound to its record's Neutron port and no other. Raises PortInUse, VswitchUnavailable."""
        ...

    async def wait_applied(self) -> None:
        """Until ovs-vswitchd has acted on everything written so far. Raises VswitchUnavailable."""
        ...

    async def wait_installed(self, name: str, *, timeout_s: float) -> None:
        """Until ovn-controller has installed the port's flows. Raises InterfaceFailed, NotInstalled."""
        ...

    def ports(self) -> Mapping[str, SandboxRecord]:
        """Our ports by name, from the local copy. Raises VswitchUnavailable before it is complete."""
        ...

    def finished(self) -> Collection[str]:
        """Names of our ports that are bound and for which `mark_finished` was called since they were added."""
        ...

    def port(self, bridge: str, name: str) -> PortState | None:
        """Our port of that name, from the local copy; `on_bridge`: whether it is on that bridge."""
        ...

    def system(self) -> VswitchSystem:
        """From the local copy. Raises VswitchUnavailable before the first connection."""
        ...

    async def wait_system_changed(self, seen: VswitchSystem | None) -> None:
        """Until `system` is another than `seen` (None: it could not be told), which may be at once."""
        ...
