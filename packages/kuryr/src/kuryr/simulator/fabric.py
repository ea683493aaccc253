"""What a chassis has of the cloud: the seam between a simulated machine and the simulated Neutron.

In a real deployment Neutron writes logical ports into OVN's northbound database, and ovn-controller reads what became
of them in the southbound one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BoundPort:
    """A port as its chassis sees it: from other addresses its flows let nothing through."""

    mac_address: str
    ip_addresses: tuple[str, ...]


class Fabric(Protocol):
    """The cloud, seen from its chassis. Nothing here takes time."""

    def port_bound(self, port_id: str, host: str) -> BoundPort | None:
        """The port of that id if it is bound to that host (binding:host_id)."""
        ...

    def plugged(self, port_id: str, host: str) -> None:
        """Its flows are installed there: it becomes ACTIVE."""
        ...

    def unplugged(self, port_id: str, host: str) -> None:
        """No interface of that host has it any more: it becomes DOWN. It may be gone."""
        ...

    def subscribe(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Calls `changed` with the id of a port that was made, changed or deleted; gives the undoing of it."""
        ...
