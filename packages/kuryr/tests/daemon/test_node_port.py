"""The node's own port follows what the controller gives, and heals."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from kubeloop import Client, MergePatch, ObjectMeta, ensure_definitions, open_runtime
from kubeloop.simulator import SimulatedCluster
from kuryr.daemon.node_port import DEVICE, NodePort
from kuryr.daemon.ovn import OvnControllerStatus
from kuryr.model.resources import KINDS, KuryrNode, KuryrNodeSpec
from kuryr.simulator.node.namespaces import HOST

from .fakes import FakeHost, FakeVswitch, HandKernel

INTERFACE = {
    "portID": "port-9",
    "macAddress": "02:00:00:00:00:09",
    "mtu": 1442,
    "addresses": [{"ip": "10.1.0.9", "prefixLength": 24, "gateway": "10.1.0.1"}],
}


class Machine(HandKernel):
    """Its switch makes the device as soon as the port is there."""

    def __init__(self) -> None:
        super().__init__()
        self.vswitch = FakeVswitch("br-int")
        self.make_device(DEVICE)

    async def get_mtus(self) -> Mapping[str, int]:
        return {}

    async def fetch_status(self) -> OvnControllerStatus:
        return OvnControllerStatus(True, "Connected")


class Subject:
    def __init__(self, client: Client, machine: Machine, port: NodePort) -> None:
        self.client = client
        self.machine = machine
        self.port = port

    async def give(self, interface: object) -> None:
        await self.client.patch(KuryrNode, "n1", MergePatch({"spec": {"interface": interface}}))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.005)


@asynccontextmanager
async def running() -> AsyncIterator[Subject]:
    machine = Machine()
    async with open_runtime(SimulatedCluster(), name="test") as runtime:
        await ensure_definitions(runtime.client, KINDS)
        await runtime.client.create(KuryrNode(metadata=ObjectMeta(name="n1"), spec=KuryrNodeSpec(node_uid="u")))
        port = NodePort(
            runtime.informer(KuryrNode, field_selector="metadata.name=n1"),
            FakeHost(machine, machine.vswitch, machine),
            node="n1",
            check_every_s=0.02,
            plug_timeout_s=0.02,
        )
        runtime.lead_with(port.run)
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(runtime.run())
            yield Subject(runtime.client, machine, port)
            work.cancel()


async def test_a_node_without_a_port_says_so_and_takes_the_one_it_is_given() -> None:
    async with running() as subject:
        await subject.until(lambda: subject.port.condition.reason == "NoPort")
        await subject.give(INTERFACE)
        await subject.until(lambda: subject.port.condition.status == "True")
        assert subject.machine.vswitch.internal[DEVICE].port_id == "port-9"
        (address,) = subject.machine.addresses(DEVICE)
        assert (address.ip, address.prefix_length, address.gateway) == ("10.1.0.9", 24, None)


async def test_another_port_takes_the_place_of_the_first() -> None:
    async with running() as subject:
        await subject.give(INTERFACE)
        await subject.until(lambda: DEVICE in subject.machine.vswitch.internal)
        await subject.give({**INTERFACE, "portID": "port-8"})
        await subject.until(lambda: subject.machine.vswitch.internal[DEVICE].port_id == "port-8")


async def test_a_device_that_ovs_made_anew_gets_its_addresses_again() -> None:
    async with running() as subject:
        await subject.give(INTERFACE)
        await subject.until(lambda: subject.port.condition.status == "True")
        subject.machine.namespaces.delete(HOST, DEVICE)
        await subject.until(lambda: subject.port.condition.reason == "NotPlugged")
        subject.machine.make_device(DEVICE)
        await subject.until(lambda: subject.port.condition.status == "True")
        assert subject.machine.addresses(DEVICE)


async def test_flows_that_are_never_installed_are_told() -> None:
    async with running() as subject:
        subject.machine.vswitch.installs = False
        await subject.give(INTERFACE)
        await subject.until(lambda: subject.port.condition.reason == "NotInstalled")
