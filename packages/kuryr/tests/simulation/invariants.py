"""What must hold: at every step, and when all is quiet."""

from collections.abc import Iterator, Mapping
from typing import Any

from kubeloop import Namespace, Node
from kubeloop.testing import World
from kuryr.model.pods import FINISHED, sandbox_uid
from kuryr.model.resources import KuryrNode, KuryrPort, KuryrPortPool
from kuryr.simulator.node.kubelet import NodePod
from kuryr.simulator.node.machine import SimulatedMachine
from kuryr.simulator.node.runtime import PodSandbox

from .kuryr_world import KuryrWorld


def _living(backend: KuryrWorld) -> Iterator[tuple[SimulatedMachine, PodSandbox]]:
    """Sandboxes that run."""
    for machine in backend.running():
        for sandbox in machine.runtime.sandboxes.values():
            if sandbox.ready:
                yield machine, sandbox


def _wired(machine: SimulatedMachine) -> Iterator[Mapping[str, str]]:
    """The external_ids of interfaces that are a pod's."""
    for row in machine.ovsdb.rows("Interface").values():
        if "kuryr-container-id" in row["external_ids"]:
            yield row["external_ids"]


def no_port_is_wired_for_two_pods(world: World) -> None:
    backend: KuryrWorld = world.backend
    backend.note_lost()
    pods: dict[str, str] = {}
    for machine in backend.running():
        for ids in _wired(machine):
            if "iface-id" in ids and ids["kuryr-container-id"] not in backend.excused:
                other = pods.setdefault(ids["iface-id"], ids["kuryr-pod-uid"])
                assert other == ids["kuryr-pod-uid"], f"port {ids['iface-id']} is wired for two pods"


def a_living_sandbox_has_its_address(world: World) -> None:
    """In Neutron, on its node, and nobody else can get it."""
    backend: KuryrWorld = world.backend
    backend.note_lost()
    ports = backend.cloud.network.ports.objects
    seen: dict[str, str] = {}
    claimed = _claimed(world)
    for machine, sandbox in _living(backend):
        if sandbox.id in backend.excused:
            continue
        port_id = next((one["iface-id"] for one in _wired(machine) if one["kuryr-container-id"] == sandbox.id), None)
        assert port_id is not None, f"{sandbox.pod} runs, and is not wired"
        port = ports.get(port_id)
        assert port is not None, f"{sandbox.pod} runs on port {port_id}, which is gone"
        addresses = tuple(one["ip_address"] for one in port["fixed_ips"])
        assert addresses == sandbox.ips, f"{sandbox.pod} has {sandbox.ips}, its port {addresses}"
        assert port["binding:host_id"] == machine.chassis.hostname
        assert port_id in claimed, f"{sandbox.pod} runs on port {port_id}, which anybody may be given now"
        for address in addresses:
            assert seen.setdefault(address, sandbox.id) == sandbox.id, f"two sandboxes have {address}"


def _claimed(world: World) -> set[str]:
    named = {one.port_id for claim in world.list(KuryrPort) for one in claim.spec.interfaces}
    return named | {entry.port_id for pool in world.list(KuryrPortPool) for entry in pool.status.quarantine}


def what_is_wired_is_claimed(world: World) -> None:
    """Whether its sandbox lives or not: a port that is wired is not free."""
    backend: KuryrWorld = world.backend
    backend.note_lost()
    claimed = _claimed(world)
    for machine in backend.running():
        for ids in _wired(machine):
            if "iface-id" in ids and ids["kuryr-container-id"] not in backend.excused:
                pod = f"{ids['kuryr-pod-namespace']}/{ids['kuryr-pod-name']}"
                assert ids["iface-id"] in claimed, f"port {ids['iface-id']} is wired for {pod}, and free"


def what_is_not_ours_is_left_alone(world: World) -> None:
    changed = world.backend.changed_foreign()
    assert not changed, f"changed or deleted, and not ours: {changed}"


ALWAYS = (
    no_port_is_wired_for_two_pods,
    a_living_sandbox_has_its_address,
    what_is_wired_is_claimed,
    what_is_not_ours_is_left_alone,
)


def each_pod_has_its_port(world: World) -> None:
    """One claim for each pod that runs, which is wired on its node; and its node says so."""
    backend: KuryrWorld = world.backend
    pods = {sandbox_uid(pod): pod for pod in world.list(NodePod) if _needs_network(pod)}
    claims = {claim.spec.pod_uid: claim for claim in world.list(KuryrPort)}
    assert pods.keys() == claims.keys(), f"pods {_names(pods)}, claims {_names(claims)}"
    sandboxes = {sandbox.pod.uid: sandbox for _, sandbox in _living(backend)}
    assert sandboxes.keys() == pods.keys(), f"pods {_names(pods)} have {len(sandboxes)} sandboxes"
    for uid, pod in pods.items():
        claim, sandbox = claims[uid], sandboxes[uid]
        (interface,) = claim.spec.interfaces
        assert pod.status.phase == "Running"
        assert not claim.metadata.deleting
        assert claim.key == pod.key
        assert sandbox.ips == tuple(one.ip for one in interface.addresses)
        assert pod.status.pod_ip == sandbox.ips[0]
        assert claim.status.plugged, f"{claim.key} does not say that it is plugged"
        assert claim.status.sandbox == sandbox.id
        machine = backend.machines[pod.spec.node_name]
        assert interface.port_id in machine.chassis.flows
        assert backend.cloud.network.ports.objects[interface.port_id]["status"] == "ACTIVE"


def _needs_network(pod: NodePod) -> bool:
    return bool(pod.spec.node_name) and not pod.spec.host_network and pod.status.phase not in FINISHED


def _names(found: Mapping[Any, Any]) -> list[str]:
    return sorted(str(one.key) for one in found.values())


def neutron_has_what_is_claimed(world: World) -> None:
    """And nothing else of ours."""
    backend: KuryrWorld = world.backend
    wanted = _claimed(world)
    wanted |= {node.spec.interface.port_id for node in world.list(KuryrNode) if node.spec.interface is not None}
    there = {one["id"]: one["device_id"] for one in backend.ports()}
    assert there.keys() == wanted, (
        f"leaked: {[there[one] for one in there.keys() - wanted]}; missing: {sorted(wanted - there.keys())}"
    )


def machines_have_what_runs(world: World) -> None:
    """No device, row or namespace is left of what does not run."""
    backend: KuryrWorld = world.backend
    for machine in backend.running():
        sandboxes = machine.runtime.sandboxes
        assert all(one.ready for one in sandboxes.values())
        wired = {ids["kuryr-container-id"] for ids in _wired(machine)}
        assert wired == sandboxes.keys(), f"{machine.name} runs {len(sandboxes)} sandboxes, {len(wired)} are wired"
        taps = [one.name for one in machine.namespaces.host.devices.values() if one.kind == "veth"]
        assert len(taps) == len(sandboxes), f"{machine.name} has devices {taps} for {len(sandboxes)} sandboxes"
        assert all(machine.switch.forwards(name) for name in taps)


def only_nodes_that_are_there_have_something(world: World) -> None:
    nodes = {node.metadata.name: node.metadata.uid for node in world.list(Node)}
    ours = world.list(KuryrNode)
    assert {node.metadata.name: node.spec.node_uid for node in ours} == nodes
    assert all(node.spec.interface is not None for node in ours), "a node has no port of its own"
    pools = world.list(KuryrPortPool)
    needed = {claim.spec.pool for claim in world.list(KuryrPort)}  # of pods that outlived their node's registration
    kept = {pool.spec.node_uid for pool in pools if pool.metadata.name not in needed}
    assert kept <= set(nodes.values()), "a pool of a node that is no more"
    assert set(nodes.values()) <= {pool.spec.node_uid for pool in pools}, "a node has no pool"
    assert not [entry for pool in pools for entry in pool.status.quarantine], "something stays in quarantine"


def no_namespace_is_stuck(world: World) -> None:
    stuck = [one.metadata.name for one in world.list(Namespace) if one.metadata.deleting]
    assert not stuck, f"{stuck} never go"


FINALLY = (
    each_pod_has_its_port,
    neutron_has_what_is_claimed,
    machines_have_what_runs,
    only_nodes_that_are_there_have_something,
    no_namespace_is_stuck,
)
