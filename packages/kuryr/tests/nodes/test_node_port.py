"""Each node is given one port out of its pool, and another when Neutron has it no longer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kubeloop import MergePatch, ObjectMeta, Runtime, ensure_definitions, open_runtime
from kubeloop.simulator import SimulatedCluster
from kuryr.model.ownership import PodUid, PortId
from kuryr.model.resources import KINDS, Address, Interface, KuryrNode, KuryrNodeSpec, KuryrPortPool, KuryrPortPoolSpec
from kuryr.nodes.node_port import NodePortController
from kuryr.openstack.errors import QuotaExceeded


class Ports:
    """A source of ports port-1, port-2, ..., and what Neutron has."""

    def __init__(self) -> None:
        self.made = 0
        self.there: set[str] = set()
        self.reserved: dict[str, Interface] = {}
        self.refusals = 0
        self.idle = asyncio.Event()

    async def acquire(self, pool: KuryrPortPool, pod: PodUid) -> Interface:
        await asyncio.sleep(0)
        if self.refusals:
            self.refusals -= 1
            raise QuotaExceeded("no more ports")
        if pod not in self.reserved:
            self.idle.clear()
            self.made += 1
            self.there.add(f"port-{self.made}")
            self.reserved[pod] = Interface(
                port_id=f"port-{self.made}",
                mac_address="02:00:00:00:00:09",
                mtu=1442,
                addresses=(Address(ip="10.1.0.9", prefix_length=24),),
            )
        return self.reserved[pod]

    def release(self, pod: PodUid) -> None:
        self.reserved.pop(pod, None)
        self.idle.set()

    async def given_back(self) -> None:
        async with asyncio.timeout(10):
            await self.idle.wait()

    def is_usable(self, _: KuryrPortPool, port: PortId) -> bool:
        return port in self.there


class Subject:
    def __init__(self, runtime: Runtime, ports: Ports, controller: NodePortController) -> None:
        self.client = runtime.client
        self.ports = ports
        self.controller = controller

    async def add_node(self, name: str, uid: str) -> None:
        await self.client.create(KuryrNode(metadata=ObjectMeta(name=name), spec=KuryrNodeSpec(node_uid=uid)))

    async def add_pool(self, node: str, uid: str) -> None:
        spec = KuryrPortPoolSpec(node=node, node_uid=uid, network_id="net", subnet_ids=("subnet",))
        await self.client.create(KuryrPortPool(metadata=ObjectMeta(name=f"{node}-{uid}"), spec=spec))

    async def port_of(self, node: str, wanted: Callable[[str], bool] = bool) -> str:
        """The id of the node's port once it is as wanted."""
        async with asyncio.timeout(10):
            while True:
                found = (await self.client.get(KuryrNode, node)).spec.interface
                if wanted(found.port_id if found else ""):
                    return found.port_id if found else ""
                await asyncio.sleep(0.005)


@asynccontextmanager
async def running() -> AsyncIterator[Subject]:
    async with open_runtime(SimulatedCluster(), name="test") as runtime:
        await ensure_definitions(runtime.client, KINDS)
        ports = Ports()
        nodes, pools = runtime.informer(KuryrNode), runtime.informer(KuryrPortPool)
        controller = NodePortController(
            runtime.client,
            ports,
            nodes=nodes,
            pools=pools,
            pool_of=lambda node: next((one for one in pools.store.list() if one.spec.node == node), None),
            is_usable=ports.is_usable,
        )
        runtime.lead_with(controller.controller.run)
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(runtime.run())
            yield Subject(runtime, ports, controller)
            work.cancel()


async def test_a_node_gets_one_port_once_it_has_a_pool() -> None:
    async with running() as subject:
        await subject.add_node("n1", "u1")
        await subject.add_pool("n1", "u1")
        assert await subject.port_of("n1") == "port-1"
        await subject.client.patch(KuryrNode, "n1", MergePatch({"metadata": {"labels": {"touched": "yes"}}}))
        await subject.ports.given_back()  # once the store has it
        assert subject.ports.made == 1


async def test_a_refusal_is_tried_again() -> None:
    async with running() as subject:
        subject.ports.refusals = 2
        await subject.add_node("n1", "u1")
        await subject.add_pool("n1", "u1")
        assert await subject.port_of("n1") == "port-1"


async def test_the_pool_of_an_earlier_node_of_the_name_gives_none() -> None:
    async with running() as subject:
        await subject.add_node("n1", "u2")
        await subject.add_pool("n1", "u1")
        await subject.add_node("n2", "u3")
        await subject.add_pool("n2", "u3")
        assert await subject.port_of("n2") == "port-1"
        assert await subject.port_of("n1", lambda port: not port) == ""
        assert subject.ports.made == 1


async def test_a_port_that_neutron_lost_is_replaced() -> None:
    async with running() as subject:
        await subject.add_node("n1", "u1")
        await subject.add_pool("n1", "u1")
        await subject.port_of("n1")
        await subject.ports.given_back()
        subject.ports.there.clear()
        await subject.client.patch(KuryrNode, "n1", MergePatch({"status": {"mtu": 1442}}), subresource="status")
        assert await subject.port_of("n1", lambda port: port == "port-2") == "port-2"
