"""CHECK: how a sandbox differs from what ADD made of it. Pure.

What ADD's result (prevResult) lists must be there as it lists it; plug-ins after us in the chain may have changed it,
and may have added more. What the result does not tell, and an interface cannot do without, comes from the claim and the
record.
"""

import ipaddress
from collections.abc import Iterator

from kuryr.daemon.cni.results import Result, ResultInterface
from kuryr.daemon.kernel import Link, NetnsState
from kuryr.daemon.sandbox import InterfaceSpec
from kuryr.daemon.vswitch import PortState
from kuryr.daemon.wiring import Observed


def diff_sandbox(
    ifname: str, netns: str, previous: Result, claimed: InterfaceSpec | None, observed: Observed
) -> tuple[str, ...]:
    """Each difference in words; none when all is as it should be. `claimed` is None where the claim cannot be known."""
    ours = [index for index, one in enumerate(previous.interfaces) if one.name == ifname and one.sandbox in {"", netns}]
    differences = [
        *_diff_port(observed.port, observed.host_ifname, netns, claimed),
        *_diff_host(observed.host, observed.host_ifname),
    ]
    if not ours:
        differences.append(f"prevResult has no interface {ifname} in {netns}")
    if observed.inside is None:
        return (*differences, f"the network namespace {netns} is gone")
    told = previous.interfaces[ours[0]] if ours else ResultInterface(name=ifname)
    listed = [one.address for one in previous.ips if one.interface is None or one.interface in ours]
    differences += _diff_link(observed.inside, told, claimed)
    differences += _diff_addresses(observed.inside, ifname, listed, claimed)
    differences += _diff_routes(observed.inside, previous)
    return tuple(differences)


def _diff_port(port: PortState | None, name: str, netns: str, claimed: InterfaceSpec | None) -> Iterator[str]:
    if port is None:
        yield f"Open vSwitch has no port {name}"
        return
    own = port.record.port_id
    if claimed is not None and claimed.port_id != own:
        yield f"the pod's KuryrPort names Neutron port {claimed.port_id}, {name} has {own}"
    if port.bound_to != own:
        yield f"{name} is bound to Neutron port {port.bound_to or 'none'}, not to {own}"
    if port.record.netns != netns:
        yield f"{name} belongs to the network namespace {port.record.netns}, not to {netns}"
    if not port.on_bridge:
        yield f"{name} is not on the integration bridge"
    if port.error:
        yield f"Open vSwitch cannot use {name}: {port.error}"
    if not port.installed:
        yield f"OVN has not installed the flows of {name}"


def _diff_host(host: Link | None, name: str) -> Iterator[str]:
    if host is None:
        yield f"the host has no link {name}"
    elif not host.up:
        yield f"the host's link {name} is down"


def _diff_link(inside: NetnsState, told: ResultInterface, claimed: InterfaceSpec | None) -> Iterator[str]:
    link = next((one for one in inside.links if one.name == told.name), None)
    if link is None:
        yield f"the sandbox has no link {told.name}"
        return
    if not link.up:
        yield f"{told.name} is down"
    mac = told.mac.lower() or (claimed.mac_address if claimed else "")
    if mac and link.mac_address != mac:
        yield f"{told.name} has MAC {link.mac_address}, not {mac}"
    mtu = told.mtu or (claimed.mtu if claimed else 0)
    if mtu and link.mtu != mtu:
        yield f"{told.name} has MTU {link.mtu}, not {mtu}"


def _diff_addresses(inside: NetnsState, ifname: str, listed: list[str], claimed: InterfaceSpec | None) -> Iterator[str]:
    there = {
        ipaddress.ip_interface(f"{one.ip}/{one.prefix_length}") for name, one in inside.addresses if name == ifname
    }
    wanted = [ipaddress.ip_interface(one) for one in listed]
    if claimed is not None:
        wanted += [ipaddress.ip_interface(f"{one.ip}/{one.prefix_length}") for one in claimed.addresses]
    for address in dict.fromkeys(wanted):
        if address not in there:
            yield f"{ifname} lacks the address {address}"


def _diff_routes(inside: NetnsState, previous: Result) -> Iterator[str]:
    there = {(ipaddress.ip_network(route.destination), route.gateway) for _link, route in inside.routes}
    for route in previous.routes:
        destination = ipaddress.ip_network(route.dst, strict=False)
        if route.gw is None and any(destination == known for known, _gateway in there):
            continue
        if (destination, str(ipaddress.ip_address(route.gw)) if route.gw else None) not in there:
            yield f"the sandbox lacks the route to {destination}" + (f" via {route.gw}" if route.gw else "")
