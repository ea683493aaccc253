"""The kernel's network namespaces: devices, addresses, routes. Synchronous; each call is one netlink message, or as
many as the kernel acts on together.
"""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kuryr.daemon.kernel import KernelError, NetnsGone
from kuryr.daemon.sandbox import Address, Route

HOST = "/proc/1/ns/net"


@dataclass(slots=True, kw_only=True)
class Device:
    """A network device. Of a veth pair `peer` is the other end: its namespace and name."""

    index: int
    name: str
    kind: str
    mac_address: str
    mtu: int
    up: bool = False
    alias: str = ""
    peer: tuple[str, str] | None = None


@dataclass(slots=True)
class Netns:
    """One namespace; addresses and routes with their device's name."""

    devices: dict[str, Device] = field(default_factory=dict)
    addresses: list[tuple[str, Address]] = field(default_factory=list)
    routes: list[tuple[str, Route]] = field(default_factory=list)

    def ips(self, name: str) -> tuple[str, ...]:
        """Of a device, but for those that the kernel gives every one."""
        here = (ipaddress.ip_address(address.ip) for device, address in self.addresses if device == name)
        return tuple(str(one) for one in here if not one.is_link_local)


class Namespaces:
    """The host's namespace and those of sandboxes, by path."""

    def __init__(self) -> None:
        self._last_index = 1
        self._by_path: dict[str, Netns] = {}
        self._heard: list[Callable[[], None]] = []
        self.clear()

    def clear(self) -> None:
        """As when the machine restarts."""
        self._by_path = {}
        self.make(HOST)
        self.set_up(HOST, "lo")

    def subscribe(self, heard: Callable[[], None]) -> None:
        """Calls `heard` when a device of the host came or went."""
        self._heard.append(heard)

    @property
    def host(self) -> Netns:
        return self._by_path[HOST]

    def find(self, path: str) -> Netns | None:
        return self._by_path.get(path)

    def paths(self) -> Iterable[str]:
        return self._by_path.keys()

    def enter(self, path: str) -> Netns:
        """Raises NetnsGone."""
        found = self._by_path.get(path)
        if found is None:
            raise NetnsGone(f"no network namespace at {path!r}: No such file or directory")
        return found

    def make(self, path: str) -> None:
        """A sandbox's namespace, as the runtime makes it."""
        self._by_path[path] = Netns()
        self.add(path, Device(index=1, name="lo", kind="", mac_address="00:00:00:00:00:00", mtu=65536))

    def remove(self, path: str) -> None:
        """With its devices, and the other ends of its pairs. One that is not there is fine."""
        netns = self._by_path.pop(path, None)
        for device in netns.devices.values() if netns is not None else ():
            if device.peer is not None:
                self._delete_one(*device.peer)
        self._tell()

    def new_index(self) -> int:
        self._last_index += 1
        return self._last_index

    def add(self, path: str, device: Device) -> None:
        """Raises KernelError where its name is taken."""
        devices = self.enter(path).devices
        if device.name in devices:
            raise KernelError(f"could not create {device.name}: File exists")
        devices[device.name] = device
        if path == HOST:
            self._tell()

    def add_pair(self, one: tuple[str, Device], other: tuple[str, Device]) -> None:
        """A veth pair, each end in its namespace. Raises KernelError."""
        for path, device in (one, other):
            if device.name in self.enter(path).devices:
                raise KernelError(f"could not create {device.name}: File exists")
        (path, device), (other_path, peer) = one, other
        device.peer, peer.peer = (other_path, peer.name), (path, device.name)
        self.add(path, device)
        self.add(other_path, peer)

    def delete(self, path: str, name: str) -> None:
        """A device, of a pair both ends. One that is not there is fine."""
        netns = self._by_path.get(path)
        device = netns.devices.get(name) if netns is not None else None
        if device is None:
            return
        self._delete_one(path, name)
        if device.peer is not None:
            self._delete_one(*device.peer)
        self._tell()

    def set_up(self, path: str, name: str, *, link_local: bool = True) -> None:
        """With the addresses that the kernel gives a device then. Raises KernelError."""
        device = self.enter(path).devices.get(name)
        if device is None:
            raise KernelError(f"could not set {name} up: No such device")
        if device.up:
            return
        device.up = True
        if name == "lo":
            own: tuple[Address, ...] = (Address("127.0.0.1", 8), Address("::1", 128))
        else:
            own = (Address(_link_local(device.mac_address), 64),) if link_local else ()
        for address in own:
            self.add_address(path, name, address)

    def add_address(self, path: str, name: str, address: Address) -> None:
        """With the route to its prefix. Raises KernelError."""
        netns = self.enter(path)
        bare = (name, Address(address.ip, address.prefix_length))
        if name not in netns.devices:
            raise KernelError(f"could not add the address {address.ip}: No such device")
        if bare in netns.addresses:
            raise KernelError(f"could not add the address {address.ip}: File exists")
        netns.addresses.append(bare)
        netns.routes += [one for one in _connected(name, address) if one not in netns.routes]

    def delete_address(self, path: str, name: str, address: Address) -> None:
        netns = self.enter(path)
        netns.addresses.remove((name, Address(address.ip, address.prefix_length)))
        kept = [route for device, other in netns.addresses if device == name for route in _connected(name, other)]
        gone = [one for one in _connected(name, address) if one not in kept]
        netns.routes = [one for one in netns.routes if one not in gone]

    def add_route(self, path: str, name: str, route: Route) -> None:
        netns = self.enter(path)
        if route.gateway is not None and not route.onlink and not _reaches(netns, name, route.gateway):
            asked = f"{route.destination} via {route.gateway}"
            raise KernelError(f"could not add the route {asked}: Nexthop has invalid gateway. (Network is unreachable)")
        if any(other.destination == route.destination for _, other in netns.routes):  # on whichever device
            raise KernelError(f"could not add the route {route.destination}: File exists")
        netns.routes.append((name, route))

    def _delete_one(self, path: str, name: str) -> None:
        netns = self._by_path.get(path)
        if netns is not None:
            netns.devices.pop(name, None)
            netns.addresses = [one for one in netns.addresses if one[0] != name]
            netns.routes = [one for one in netns.routes if one[0] != name]

    def _tell(self) -> None:
        for heard in self._heard:
            heard()


def _reaches(netns: Netns, name: str, gateway: str) -> bool:
    there = ipaddress.ip_address(gateway)
    prefixes = [f"{one.ip}/{one.prefix_length}" for device, one in netns.addresses if device == name]
    prefixes += [one.destination for device, one in netns.routes if device == name and one.gateway is None]
    return there.is_link_local or any(there in ipaddress.ip_network(one, strict=False) for one in prefixes)


def _connected(name: str, address: Address) -> list[tuple[str, Route]]:
    network = ipaddress.ip_network(f"{address.ip}/{address.prefix_length}", strict=False)
    alone = network.version == 4 and network.prefixlen == 32
    return [] if alone or name == "lo" else [(name, Route(str(network)))]


def _link_local(mac_address: str) -> str:
    """RFC 4291, appendix A: made of the MAC."""
    octets = bytes.fromhex(mac_address.replace(":", ""))
    host = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + host))
