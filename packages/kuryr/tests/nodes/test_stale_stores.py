"""Release by a store of Nodes that lags, on a simulated API server: what cannot be undone is asked live before."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from kubeloop import Namespace, Node, ObjectMeta, ensure_definitions, open_runtime
from kubeloop.testing import Fault, FaultKind, Process, ScriptedFaults, World, simulate
from kuryr.model.machines import Machine
from kuryr.model.ownership import PoolUid, PortId
from kuryr.model.resources import (
    KINDS,
    SANDBOX_FINALIZER,
    Address,
    Interface,
    KuryrPort,
    KuryrPortPool,
    KuryrPortPoolSpec,
    KuryrPortSpec,
)
from kuryr.nodes.release import NAMESPACE_INDEX, NODE_INDEX, POOL_INDEX, ReleaseController


class Ports:
    """Notes what is done to the pools' ports in Neutron."""

    def __init__(self) -> None:
        self.fenced: list[str] = []
        self.retired: list[str] = []

    async def fence(self, port: PortId) -> None:
        self.fenced.append(port)

    def retire(self, pool: PoolUid) -> None:
        self.retired.append(pool)

    def is_retired(self, pool: PoolUid) -> bool:
        return pool in self.retired

    def has_ports(self, pool: PoolUid) -> bool:
        return False


def controller(ports: Ports) -> Callable[[Process], Coroutine[Any, Any, None]]:
    async def main(process: Process) -> None:
        async with open_runtime(process, name="release") as runtime:
            machines = runtime.informer(Machine)  # the first watch
            release = ReleaseController(
                runtime.client,
                ports,
                claims=runtime.informer(
                    KuryrPort,
                    indexers={
                        POOL_INDEX: lambda claim: (claim.spec.pool,),
                        NODE_INDEX: lambda claim: (claim.spec.node,),
                        NAMESPACE_INDEX: lambda claim: (claim.metadata.namespace,),
                    },
                ),
                pools=runtime.informer(KuryrPortPool, indexers={NODE_INDEX: lambda pool: (pool.spec.node,)}),
                machines=machines,
                namespaces=runtime.informer(Namespace),
                quarantine_after_s=30.0,
            )
            runtime.lead_with(release.controller.run)
            await runtime.run()

    return main


async def make(world: World) -> None:
    """A node, its pool, and a claim that waits for its receipt."""
    await ensure_definitions(world.client, KINDS)
    uid = (await world.client.create(Node(metadata=ObjectMeta(name="node1")))).metadata.uid
    spec = KuryrPortPoolSpec(node="node1", node_uid=uid, network_id="net", subnet_ids=("s",))
    await world.client.create(KuryrPortPool(metadata=ObjectMeta(name="pool"), spec=spec))
    interface = Interface(
        port_id="port", mac_address="02:00:00:00:00:01", mtu=1442, addresses=(Address(ip="10.0.0.2", prefix_length=16),)
    )
    claim = KuryrPortSpec(pod_uid="pod", node="node1", node_uid=uid, pool="pool", interfaces=(interface,))
    meta = ObjectMeta(name="p", namespace="default", finalizers=(SANDBOX_FINALIZER,))
    await world.client.create(KuryrPort(metadata=meta, spec=claim))


def test_a_node_that_is_back_unseen_keeps_its_claims_and_one_that_is_gone_does_not() -> None:
    ports = Ports()

    async def scenario(world: World) -> None:
        await make(world)
        world.start("release", controller(ports))
        await asyncio.sleep(2)
        await world.client.delete(Node, "node1")
        await asyncio.sleep(2)
        await world.client.create(Node(metadata=ObjectMeta(name="node1")))  # unseen: the watch is silent by now
        await asyncio.sleep(1)
        await world.client.delete(KuryrPort, "p", namespace="default")
        await asyncio.sleep(10)
        assert ports.fenced == []
        (claim,) = world.list(KuryrPort)
        assert claim.metadata.deleting
        assert set(ports.retired) == {world.list(KuryrPortPool)[0].metadata.uid}, "the Node of its UID is gone for ever"
        await world.client.delete(Node, "node1")
        await asyncio.sleep(60)
        assert ports.fenced == ["port"]
        assert world.list(KuryrPort) == []
        assert world.list(KuryrPortPool) == []

    simulate(scenario, seed=1, faults=ScriptedFaults({1: Fault(FaultKind.WATCH_SILENT, 3.0)}))


class Asking:
    """Strikes nothing; counts the reads of single Nodes."""

    until_s = 0.0

    def __init__(self) -> None:
        self.reads = 0

    def decide(self, call: object) -> None:
        self.reads += (getattr(call, "verb", ""), getattr(call, "path", "")) == ("get", "/api/v1/nodes/node1")


def test_of_a_pool_whose_pods_run_on_after_its_node_registered_again_it_is_asked_once() -> None:
    ports, asking = Ports(), Asking()

    async def scenario(world: World) -> None:
        await make(world)
        await world.client.delete(Node, "node1")
        await world.client.create(Node(metadata=ObjectMeta(name="node1")))
        world.start("release", controller(ports))
        await asyncio.sleep(3600)
        assert asking.reads == 1
        assert ports.retired == [world.list(KuryrPortPool)[0].metadata.uid]

    simulate(scenario, seed=1, faults=asking)
