"""The simulated kubelet and its runtime, with the shipped daemon; claims are made by a stand-in for the controller."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Any

import kubeloop as k
from kubeloop.testing import Process, World, simulate
from kuryr.cli.daemon import run_node
from kuryr.model.configuration import Configuration, Daemon
from kuryr.model.pods import needs_port, sandbox_uid
from kuryr.model.resources import KINDS, SANDBOX_FINALIZER, Address, Interface, KuryrPort, KuryrPortSpec
from kuryr.simulator.node.kubelet import Container, NodePod, NodePodSpec
from kuryr.simulator.node.machine import SimulatedMachine

from .clouds import Ports
from .effects import local_gate


class Claims:
    """A port for each pod that needs one; the claim goes when the pod has."""

    def __init__(self, cloud: Ports) -> None:
        self._cloud = cloud
        self._made = 0

    async def run(self, cluster: k.Cluster) -> None:
        async with k.open_runtime(cluster, name="claims") as runtime:
            pods, claims = runtime.informer(k.Pod), runtime.informer(KuryrPort)

            async def reconcile(key: k.ObjectKey) -> k.Result:
                pod, claim = pods.store.get(key), claims.store.get(key)
                wanted = sandbox_uid(pod) if pod is not None and needs_port(pod) else None
                if claim is not None and claim.spec.pod_uid != wanted and not claim.metadata.deleting:
                    await runtime.client.delete(KuryrPort, key.name, namespace=key.namespace)
                if claim is None and wanted is not None and pod is not None and not pod.metadata.deleting:
                    with suppress(k.AlreadyExists):
                        await runtime.client.create(self._claim(key, wanted))
                return k.DONE

            runtime.controller("claims", reconcile).for_(pods).watches(claims, lambda claim: (claim.key,))
            await runtime.run()

    def _claim(self, key: k.ObjectKey, uid: str) -> KuryrPort:
        self._made += 1
        port_id, ip = f"port-{self._made}", f"10.1.0.{self._made}"
        self._cloud.make(port_id, "node1.example")
        interface = Interface(
            port_id=port_id,
            mac_address=f"02:00:00:00:00:{self._made:02x}",
            mtu=1442,
            addresses=(Address(ip=ip, prefix_length=16, gateway="10.1.0.254"),),
        )
        metadata = k.ObjectMeta(name=key.name, namespace=key.namespace, finalizers=(SANDBOX_FINALIZER,))
        spec = KuryrPortSpec(pod_uid=uid, node="node1", node_uid="n-1", pool="pool", interfaces=(interface,))
        return KuryrPort(metadata=metadata, spec=spec)


def main_of_daemon(machine: SimulatedMachine) -> Callable[[Process], Coroutine[Any, Any, None]]:
    configuration = Configuration(daemon=Daemon(node="node1", http=""))

    async def daemon(process: Process) -> None:
        async with machine.host(local_gate(process), over=process.over) as host:
            await run_node(configuration, process, host)

    return daemon


Scene = Callable[[World, SimulatedMachine], Coroutine[Any, Any, None]]


def play(scene: Scene) -> None:
    async def scenario(world: World) -> None:
        cloud = Ports()
        machine = SimulatedMachine("node1", fabric=cloud, random=Random(world.seed), changed=world.changed)
        await k.ensure_definitions(world.client, KINDS)
        world.start("claims", Claims(cloud).run, reliable=True)
        world.start("daemon", main_of_daemon(machine))
        world.start("kubelet", machine.kubelet.run, reliable=True)
        await scene(world, machine)
        await world.quiet()
        await nothing_leaked(world, machine)

    simulate(scenario, seed=1)


async def nothing_leaked(world: World, machine: SimulatedMachine) -> None:
    """Whatever was done: what is wired is what runs, as it was wired."""
    for sandbox in machine.runtime.sandboxes.values():
        await machine.runtime.check(sandbox)
    sandboxes = machine.runtime.sandboxes.values()
    assert all(one.ready for one in sandboxes)
    assert {row["external_ids"]["kuryr-container-id"] for row in machine.ovsdb.rows("Interface").values()} == {
        one.id for one in sandboxes
    }
    taps = [one.name for one in machine.namespaces.host.devices.values() if one.kind == "veth"]
    assert len(taps) == len(sandboxes)
    assert all(machine.switch.forwards(name) for name in taps)
    assert {claim.spec.pod_uid for claim in world.list(KuryrPort)} == {one.pod.uid for one in sandboxes}


async def make_pod(world: World, name: str = "web-0") -> NodePod:
    spec = NodePodSpec(node_name="node1", containers=(Container(name="main", image="example/main:1"),))
    return await world.client.create(NodePod(metadata=k.ObjectMeta(name=name, namespace="default"), spec=spec))


async def running(world: World, name: str = "web-0", *, uid: str = "") -> NodePod:
    while True:
        pod = world.get(NodePod, name, namespace="default")
        if pod is not None and pod.status.phase == "Running" and (not uid or pod.metadata.uid == uid):
            return pod
        await asyncio.sleep(0.1)


async def delete_pod(world: World, name: str = "web-0", **options: Any) -> None:
    await world.client.delete(NodePod, name, namespace="default", **options)


def test_a_pod_runs_with_its_ports_address_and_goes() -> None:
    async def scene(world: World, machine: SimulatedMachine) -> None:
        await make_pod(world)
        pod = await running(world)
        assert pod.status.pod_ip == "10.1.0.1"
        await delete_pod(world)
        await world.quiet()
        assert world.get(NodePod, "web-0", namespace="default") is None
        assert not machine.runtime.sandboxes

    play(scene)


def test_a_pod_deleted_by_force_loses_its_sandbox_and_its_successor_has_its_own() -> None:
    async def scene(world: World, machine: SimulatedMachine) -> None:
        await make_pod(world)
        first = await running(world)
        await delete_pod(world, grace_period_s=0)
        second = await make_pod(world)
        assert second.metadata.uid != first.metadata.uid
        await running(world, uid=second.metadata.uid)
        await world.quiet()
        assert [one.pod.uid for one in machine.runtime.sandboxes.values()] == [second.metadata.uid]

    play(scene)


def test_a_pod_deleted_while_it_is_wired_goes_at_once() -> None:
    async def scene(world: World, machine: SimulatedMachine) -> None:
        await asyncio.sleep(3)
        machine.chassis.stop()  # so that the ADD waits
        await make_pod(world)
        await asyncio.sleep(3)
        assert not next(iter(machine.runtime.sandboxes.values())).ready
        await delete_pod(world)
        await asyncio.sleep(3)
        assert world.get(NodePod, "web-0", namespace="default") is None
        machine.chassis.start()

    play(scene)


def test_a_failed_sandbox_is_tried_again_with_another_container_id() -> None:
    async def scene(world: World, machine: SimulatedMachine) -> None:
        await asyncio.sleep(5)
        machine.chassis.disconnect()  # the node stays Ready until the kubelet looks again
        await make_pod(world)
        await asyncio.sleep(1)
        seen = set(machine.runtime.sandboxes)
        await asyncio.sleep(100)
        machine.chassis.connect()
        await running(world)
        assert seen
        assert not seen & set(machine.runtime.sandboxes)

    play(scene)


def test_a_killed_sandbox_is_made_anew_with_the_same_address() -> None:
    async def scene(world: World, machine: SimulatedMachine) -> None:
        await make_pod(world)
        pod = await running(world)
        (before,) = machine.runtime.sandboxes.values()
        machine.kubelet.kill_sandbox(pod.metadata.uid)
        await world.quiet()
        (after,) = machine.runtime.sandboxes.values()
        assert (after.ips, after.attempt) == (before.ips, before.attempt + 1)

    play(scene)


def test_a_finished_pod_keeps_no_sandbox() -> None:
    async def scene(world: World, machine: SimulatedMachine) -> None:
        await make_pod(world)
        await running(world)
        await world.client.patch(
            NodePod,
            "web-0",
            k.MergePatch({"status": {"phase": "Succeeded"}}),
            namespace="default",
            subresource="status",
        )
        await world.quiet()
        assert not machine.runtime.sandboxes

    play(scene)


def test_a_static_pods_sandbox_outlives_its_mirror() -> None:
    async def scene(world: World, machine: SimulatedMachine) -> None:
        uid = machine.kubelet.add_static_pod("default", "probe")
        mirror = await running(world, "probe-node1")
        (sandbox,) = machine.runtime.sandboxes.values()
        assert sandbox.pod.uid == uid != mirror.metadata.uid
        await delete_pod(world, "probe-node1")
        await world.quiet()
        assert (await running(world, "probe-node1")).metadata.uid != mirror.metadata.uid
        machine.kubelet.remove_static_pod(uid)
        await world.quiet()
        assert not machine.runtime.sandboxes
        assert world.get(NodePod, "probe-node1", namespace="default") is None

    play(scene)


def test_after_a_restart_of_the_machine_its_pods_are_wired_anew() -> None:
    async def scene(world: World, machine: SimulatedMachine) -> None:
        await make_pod(world)
        await running(world)
        await world.stop("kubelet")
        await world.stop("daemon")
        machine.power_off()
        await asyncio.sleep(20)
        machine.power_on()
        world.start("daemon", main_of_daemon(machine))
        world.start("kubelet", machine.kubelet.run, reliable=True)
        await world.quiet()
        (sandbox,) = machine.runtime.sandboxes.values()
        assert sandbox.ready

    play(scene)


def test_a_node_whose_ovn_is_cut_off_is_not_ready_and_makes_no_sandbox() -> None:
    def is_ready(world: World) -> bool:
        node = world.get(k.Node, "node1")
        return node is not None and k.is_true(node.status.conditions, "Ready")

    async def scene(world: World, machine: SimulatedMachine) -> None:
        await asyncio.sleep(5)
        assert is_ready(world)
        machine.chassis.disconnect()
        await asyncio.sleep(15)
        assert not is_ready(world)
        await make_pod(world)
        await asyncio.sleep(15)
        assert not machine.runtime.sandboxes
        machine.chassis.connect()
        await running(world)
        assert is_ready(world)

    play(scene)
