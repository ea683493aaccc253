"""What is wired into what: a sandbox (one network namespace, made by the runtime) and the interfaces it gets.

Pure data and the pure decisions on it: the name of the host's end and the routes. One pod may have several sandboxes in
its life (attempt 0, attempt 1, ...), so everything on the node is keyed by container id and interface name, never by
pod.
"""

import hashlib
import ipaddress
from dataclasses import dataclass

MAX_IFNAME = 15
"""IFNAMSIZ of the kernel, without its terminating NUL."""

_HOST_PREFIX = "tap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """One interface's place: the network namespace of one attempt of one pod, and the name inside it."""

    container_id: str
    netns: str
    ifname: str
    pod_namespace: str
    pod_name: str
    pod_uid: str


@dataclass(frozen=True, slots=True)
class Address:
    """An address with its subnet's prefix; the first gateway of each family becomes the default route."""

    ip: str
    prefix_length: int
    gateway: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """`destination` in CIDR form. Without a gateway the destination is on the link itself.

    `onlink` says that the gateway is a neighbour although no prefix of the interface covers it.
    """

    destination: str
    gateway: str | None = None
    onlink: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceSpec:
    """One Neutron port as the pod is to see it. `mtu` in bytes; `routes` beside those that the addresses bring."""

    port_id: str
    mac_address: str
    mtu: int
    addresses: tuple[Address, ...]
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PluggedInterface:
    """What was made, for the CNI result and the status."""

    sandbox: Sandbox
    interface: InterfaceSpec
    host_ifname: str
    host_mac_address: str


def host_ifname(container_id: str, ifname: str) -> str:
    """The name of the host's end: 48 bits of a hash, so two attempts of one pod never meet.

    Derived, so that a DEL needs neither an API nor a record.
    """
    digest = hashlib.sha256(f"{container_id}/{ifname}".encode()).hexdigest()
    return _HOST_PREFIX + digest[: MAX_IFNAME - len(_HOST_PREFIX)]


def desire_routes(interface: InterfaceSpec) -> tuple[Route, ...]:
    """The explicit routes and one default route per family, on-link where the gateway is outside every prefix."""
    networks = [ipaddress.ip_interface(f"{a.ip}/{a.prefix_length}").network for a in interface.addresses]

    def completed(route: Route) -> Route:
        if route.gateway is None or route.onlink:
            return route
        gateway = ipaddress.ip_address(route.gateway)
        # A link-local gateway (RFC 4861) is on every link.
        outside = not gateway.is_link_local and not any(gateway in network for network in networks)
        return Route(route.destination, route.gateway, onlink=outside)

    routes: dict[str, Route] = {}
    for route in interface.routes:
        routes.setdefault(str(ipaddress.ip_network(route.destination)), completed(route))
    for address in interface.addresses:
        if address.gateway is not None:
            default = "::/0" if ipaddress.ip_address(address.gateway).version == 6 else "0.0.0.0/0"
            routes.setdefault(default, completed(Route(default, address.gateway)))
    # A route through a gateway needs the one that makes the gateway reachable to be there first.
    return tuple(sorted(routes.values(), key=lambda route: (route.gateway is not None, route.destination)))
