"""Do the API server, Neutron and the nodes say the same? A pure comparison of three snapshots, for a cluster at rest.

At rest means: nobody makes or deletes pods, and what was to be done has been done. Then each living pod has one claim,
each claim one ACTIVE Neutron port and one wired interface on its node, all with the same addresses, and there is
nothing of ours besides. `snapshots` takes the three.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from kubeloop import Pod
from kuryr.daemon.records import SandboxRecord
from kuryr.model.ownership import parse_device_id
from kuryr.model.pods import needs_port, sandbox_uid
from kuryr.model.resources import Interface, KuryrNode, KuryrPort, KuryrPortPool
from kuryr.openstack.neutron import Port


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSnapshot:
    """What the API server has."""

    pods: tuple[Pod, ...]
    claims: tuple[KuryrPort, ...]
    nodes: tuple[KuryrNode, ...]
    pools: tuple[KuryrPortPool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OvsInterface:
    """A row of ours in the node's OVSDB. `record` is None for the node's own port; `problem` is what OVS says."""

    name: str
    iface_id: str
    mac_address: str
    installed: bool
    problem: str = ""
    record: SandboxRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a node's OVS and kernel have; `links` are the host's ends of pods' veth pairs."""

    node: str
    interfaces: tuple[OvsInterface, ...]
    links: frozenset[str]


def disagreements(api: ApiSnapshot, ports: Iterable[Port], machines: Iterable[Machine]) -> tuple[str, ...]:
    """A sentence for each; empty when all agree. `ports` are those of our mark in Neutron."""
    ports, machines = tuple(ports), tuple(machines)
    return tuple(
        chain(
            _pods_and_claims(api),
            _explained_once(api, ports),
            _claims_and_ports(api, {port.id: port for port in ports}),
            *(_wiring(api, machine) for machine in machines),
            *(_links(machine) for machine in machines),
        )
    )


def _pods_and_claims(api: ApiSnapshot) -> Iterator[str]:
    pods = {pod.key: pod for pod in api.pods if needs_port(pod)}
    claims = {claim.key: claim for claim in api.claims}
    for key in sorted(pods.keys() - claims.keys()):
        yield f"pod {key} has no claim"
    for key in sorted(claims.keys() - pods.keys()):
        yield f"claim {key} has no pod"
    for key in sorted(claims.keys() & pods.keys()):
        pod, claim = pods[key], claims[key]
        if claim.metadata.deleting:
            yield f"claim {key} is being deleted although its pod lives"
        if claim.spec.pod_uid != sandbox_uid(pod):
            yield f"claim {key} is of pod UID {claim.spec.pod_uid}, and the pod is {sandbox_uid(pod)}"
        if claim.spec.node != pod.spec.node_name:
            yield f"claim {key} is for node {claim.spec.node}, and the pod is on {pod.spec.node_name}"
        if not claim.status.plugged:
            yield f"claim {key} is not plugged"
        addresses = _addresses(claim.spec.interfaces[0])
        if pod.status.pod_ip not in addresses:
            yield f"pod {key} has address {pod.status.pod_ip or 'none'}, and its claim {', '.join(addresses)}"


def _explained_once(api: ApiSnapshot, ports: tuple[Port, ...]) -> Iterator[str]:
    """Every port of ours is somebody's, and one's only; free ones are there only where a pool is to have some."""
    owners = Counter(interface.port_id for _, _, interface in _owned(api))
    for port_id, count in owners.items():
        if count > 1:
            yield f"port {port_id} is given {count} times"
    for port_id in sorted(owners.keys() - {port.id for port in ports}):
        yield f"port {port_id} is given, and Neutron has none of our mark with that id"
    may_be_free = Counter({pool.metadata.uid: pool.spec.min for pool in api.pools})
    for port in ports:
        if port.id in owners:
            continue
        slot = parse_device_id(port.device_id)
        uid = slot.pool_uid if slot else ""
        may_be_free[uid] -= 1
        if may_be_free[uid] < 0:
            yield f"port {port.id} of {port.device_id} is nobody's"
    for pool in api.pools:
        for entry in pool.status.quarantine:
            yield f"port {entry.port_id} of pool {pool.key} is in quarantine"


def _owned(api: ApiSnapshot) -> Iterator[tuple[str, KuryrNode | KuryrPort, Interface]]:
    """Who has which port: node, owner, interface."""
    for claim in api.claims:
        for interface in claim.spec.interfaces:
            yield claim.spec.node, claim, interface
    for node in api.nodes:
        if node.spec.interface is not None:
            yield node.key.name, node, node.spec.interface


def _claims_and_ports(api: ApiSnapshot, ports: dict[str, Port]) -> Iterator[str]:
    hosts = {node.key.name: node.status.host_id for node in api.nodes}
    pools = {pool.key.name: pool.metadata.uid for pool in api.pools}
    for node, owner, interface in _owned(api):
        port = ports.get(interface.port_id)
        if port is None:
            continue  # said elsewhere
        what = f"{owner.resource.kind} {owner.key} and port {port.id}"
        if port.mac_address != interface.mac_address:
            yield f"{what} have MACs {interface.mac_address} and {port.mac_address}"
        addresses = tuple(sorted(one.ip_address for one in port.fixed_ips))
        if addresses != _addresses(interface):
            yield f"{what} have addresses {', '.join(_addresses(interface))} and {', '.join(addresses)}"
        if port.host_id != hosts.get(node, ""):
            yield f"{what}: bound to host {port.host_id!r}, and the node is {hosts.get(node, '')!r}"
        if port.status != "ACTIVE":
            yield f"{what}: Neutron says {port.status}"
        slot = parse_device_id(port.device_id)
        if isinstance(owner, KuryrPort) and (slot is None or slot.pool_uid != pools.get(owner.spec.pool)):
            yield f"{what}: the port is {port.device_id}, and the claim is on pool {owner.spec.pool}"


def _wiring(api: ApiSnapshot, machine: Machine) -> Iterator[str]:
    wanted = {interface.port_id: (owner, interface) for node, owner, interface in _owned(api) if node == machine.node}
    wired = Counter(one.iface_id for one in machine.interfaces)
    for port_id, (owner, _) in wanted.items():
        if wired[port_id] != 1:
            yield f"{owner.resource.kind} {owner.key} is wired {wired[port_id]} times on {machine.node}"
    for one in machine.interfaces:
        where = f"interface {one.name} of {machine.node}"
        if one.iface_id not in wanted:
            yield f"{where} has port {one.iface_id or 'none'}, which is nobody's there"
            continue
        owner, interface = wanted[one.iface_id]
        if one.mac_address != interface.mac_address:
            yield f"{where} has MAC {one.mac_address}, and port {one.iface_id} has {interface.mac_address}"
        if one.problem:
            yield f"{where}: {one.problem}"
        if not one.installed:
            yield f"{where}: OVN has not installed its flows"
        if isinstance(owner, KuryrNode) != (one.record is None):
            yield f"{where} is not of the kind that {owner.resource.kind} {owner.key} has"
        elif isinstance(owner, KuryrPort) and one.record is not None:
            seen = (one.record.pod_uid, one.record.container_id)
            if seen != (owner.spec.pod_uid, owner.status.sandbox):
                yield f"{where} is of pod UID {seen[0]}, sandbox {seen[1]}, and claim {owner.key} is of another"


def _links(machine: Machine) -> Iterator[str]:
    with_link = {one.name for one in machine.interfaces if one.record is not None}
    for name in sorted(machine.links - with_link):
        yield f"link {name} of {machine.node} is in no OVS"
    for name in sorted(with_link - machine.links):
        yield f"interface {name} of {machine.node} has no link"


def _addresses(interface: Interface) -> tuple[str, ...]:
    return tuple(sorted(one.ip for one in interface.addresses))
