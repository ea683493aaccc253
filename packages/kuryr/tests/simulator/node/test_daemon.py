"""The shipped daemon on a simulated machine, in virtual time."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

import kubeloop as k
from kubeloop.testing import Fault, FaultKind, Process, ScriptedFaults, Trace, World, simulate
from kuryr.cli.daemon import run_node
from kuryr.daemon.cni.server import SocketInUse
from kuryr.model.configuration import Configuration, Daemon
from kuryr.model.resources import KINDS, SANDBOX_FINALIZER, Address, Interface, KuryrPort, KuryrPortSpec
from kuryr.simulator.node.cni import CniFailed
from kuryr.simulator.node.machine import Endpoint, SimulatedMachine

from .clouds import Ports
from .effects import local_gate

HOST = "node1.example"
CONFIG = {"cniVersion": "1.1.0", "name": "kuryr", "type": "kuryr-cni"}
NETNS = "/run/netns/cni-1"


async def make_claim(world: World, *, port_id: str = "port-1") -> None:
    interface = Interface(
        port_id=port_id,
        mac_address="02:00:00:00:00:01",
        mtu=1442,
        addresses=(Address(ip="10.1.0.5", prefix_length=16, gateway="10.1.0.1"),),
    )
    spec = KuryrPortSpec(pod_uid="uid-1", node="node1", node_uid="n-1", pool="pool", interfaces=(interface,))
    metadata = k.ObjectMeta(name="web-0", namespace="default", finalizers=(SANDBOX_FINALIZER,))
    await world.client.create(KuryrPort(metadata=metadata, spec=spec))


async def call(machine: SimulatedMachine, command: str, container: str = "c0") -> dict[str, Any]:
    return await machine.socket.call(
        command,
        CONFIG,
        containerId=container,
        netns=NETNS,
        ifname="eth0",
        args="K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_UID=uid-1",
    )


async def call_until_done(machine: SimulatedMachine, command: str) -> dict[str, Any]:
    while True:
        try:
            return await call(machine, command)
        except CniFailed:
            await asyncio.sleep(0.5)


Scene = Callable[[World, SimulatedMachine, Ports], Coroutine[Any, Any, None]]


def main_of_daemon(machine: SimulatedMachine) -> Callable[[Process], Coroutine[Any, Any, None]]:
    configuration = Configuration(daemon=Daemon(node="node1", http=""))

    async def daemon(process: Process) -> None:
        async with machine.host(local_gate(process), over=process.over) as host:
            await run_node(configuration, process, host)

    return daemon


def play(scene: Scene, *, faults: ScriptedFaults | None = None) -> tuple[int, Trace]:
    """Gives how many effects there were, and the trace."""
    effects = 0

    async def scenario(world: World) -> None:
        nonlocal effects
        cloud = Ports()
        machine = SimulatedMachine("node1", fabric=cloud, random=Random(world.seed), changed=world.changed)
        await k.ensure_definitions(world.client, KINDS)
        await world.client.create(k.Node(metadata=k.ObjectMeta(name="node1")))
        machine.namespaces.make(NETNS)
        world.start("daemon", main_of_daemon(machine))
        await machine.installed.wait()
        await scene(world, machine, cloud)
        effects = world.gate.effects

    trace = simulate(scenario, seed=1, faults=faults)
    return effects, trace


async def add_and_delete(world: World, machine: SimulatedMachine, cloud: Ports) -> None:
    cloud.make("port-1", HOST)
    await make_claim(world)
    result = await call_until_done(machine, "ADD")
    assert result["ips"][0]["address"] == "10.1.0.5/16"
    (tap,) = [one for one in machine.namespaces.host.devices.values() if one.kind == "veth"]
    assert machine.switch.forwards(tap.name)
    assert machine.chassis.flows == {"port-1": tap.name}
    assert machine.endpoints() == (Endpoint("port-1", NETNS, "02:00:00:00:00:01", ("10.1.0.5",)),)
    assert cloud.active == {("port-1", HOST)}
    await call_until_done(machine, "DEL")
    await asyncio.sleep(1)
    assert machine.chassis.flows == {}
    assert cloud.active == set()
    assert not machine.ovsdb.rows("Interface")
    assert list(machine.namespaces.host.devices) == ["lo", "eth0"]
    await world.client.delete(KuryrPort, "web-0", namespace="default")
    await world.quiet()
    assert world.get(KuryrPort, "web-0", namespace="default") is None


def test_a_pod_is_wired_and_unwired() -> None:
    effects, _ = play(add_and_delete)
    assert effects > 5


def test_the_same_seed_is_the_same_run() -> None:
    assert str(play(add_and_delete)[1]) == str(play(add_and_delete)[1])


@pytest.mark.parametrize(
    "kind",
    [FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER, FaultKind.REQUEST_LOST, FaultKind.ANSWER_LOST, FaultKind.SLOW],
)
def test_whichever_effect_something_happens_to_the_pod_is_wired_and_unwired(kind: FaultKind) -> None:
    for effect in range(1, play(add_and_delete)[0] + 1):
        play(add_and_delete, faults=ScriptedFaults(by_effect={effect: Fault(kind, 1.0)}))


async def wired(world: World, machine: SimulatedMachine, cloud: Ports) -> str:
    """The name of the pod's device in the host's namespace."""
    cloud.make("port-1", HOST)
    await make_claim(world)
    result = await call_until_done(machine, "ADD")
    name: str = result["interfaces"][0]["name"]
    return name


def test_what_a_killed_daemon_has_wired_is_there_for_the_next() -> None:
    async def scene(world: World, machine: SimulatedMachine, cloud: Ports) -> None:
        name = await wired(world, machine, cloud)
        before = machine.namespaces.host.devices[name]
        world.processes["daemon"].kill()
        with pytest.raises(CniFailed):
            await call(machine, "DEL")
        await world.quiet()
        assert machine.namespaces.host.devices[name] is before
        assert machine.chassis.flows == {"port-1": name}
        await call(machine, "DEL")
        assert name not in machine.namespaces.host.devices

    play(scene)


def test_a_plug_in_sees_the_daemon_go_while_it_waits() -> None:
    async def scene(world: World, machine: SimulatedMachine, cloud: Ports) -> None:
        asking = asyncio.ensure_future(call(machine, "ADD"))  # there is no claim
        await asyncio.sleep(1)
        began = world.now
        world.processes["daemon"].kill()
        with pytest.raises(CniFailed, match="stopped before it answered"):
            await asking
        assert world.now == began

    play(scene)


def test_an_add_that_is_given_up_leaves_nothing() -> None:
    async def scene(world: World, machine: SimulatedMachine, cloud: Ports) -> None:
        await make_claim(world)  # the cloud does not have its port, so flows do not come
        asking = asyncio.ensure_future(call(machine, "ADD"))
        await asyncio.sleep(1)
        assert machine.ovsdb.rows("Interface")
        asking.cancel()
        await asyncio.sleep(1)
        assert not machine.ovsdb.rows("Interface")
        assert list(machine.namespaces.host.devices) == ["lo", "eth0"]

    play(scene)


def test_a_second_daemon_on_the_machine_refuses() -> None:
    async def scene(world: World, machine: SimulatedMachine, cloud: Ports) -> None:
        refusals: list[BaseException] = []

        async def second(process: Process) -> None:
            try:
                await main_of_daemon(machine)(process)
            except SocketInUse as refusal:
                refusals.append(refusal)

        world.start("second", second)
        await asyncio.sleep(5)
        assert refusals
        await wired(world, machine, cloud)  # by the first, which knows nothing of it

    play(scene)


@pytest.mark.parametrize("line", [b"", b"{}", b"\xff\n", b'{"command": "ADD", "config": 3}\n', b"[" * 5000])
def test_garbage_on_the_socket_is_answered_with_an_error(line: bytes) -> None:
    async def scene(world: World, machine: SimulatedMachine, cloud: Ports) -> None:
        answer = json.loads(await machine.socket.ask(line, timeout_s=10))
        assert answer["code"]
        await wired(world, machine, cloud)

    play(scene)


def test_a_pod_is_wired_although_ovsdb_restarts_meanwhile() -> None:
    async def scene(world: World, machine: SimulatedMachine, cloud: Ports) -> None:
        await make_claim(world)
        asking = asyncio.ensure_future(call(machine, "ADD"))
        await asyncio.sleep(1)
        machine.ovsdb.stop()
        await asyncio.sleep(2)
        machine.ovsdb.start()
        cloud.make("port-1", HOST)
        await asking
        assert list(machine.chassis.flows) == ["port-1"]

    play(scene)


def test_flows_go_when_the_port_is_deleted_in_the_cloud_and_come_when_it_is_made_again() -> None:
    async def scene(world: World, machine: SimulatedMachine, cloud: Ports) -> None:
        name = await wired(world, machine, cloud)
        cloud.delete("port-1", HOST)
        await asyncio.sleep(1)
        row = machine.ovsdb.named("Interface", name)
        assert row is not None
        assert "ovn-installed" not in row["external_ids"]
        assert machine.chassis.flows == {}
        cloud.make("port-1", HOST)
        await asyncio.sleep(1)
        assert machine.chassis.flows == {"port-1": name}

    play(scene)


def test_flows_stay_while_ovn_controller_is_dead() -> None:
    async def scene(world: World, machine: SimulatedMachine, cloud: Ports) -> None:
        await wired(world, machine, cloud)
        machine.chassis.stop()
        cloud.delete("port-1", HOST)
        await asyncio.sleep(1)
        assert machine.chassis.flows
        assert cloud.active
        machine.chassis.start()
        await asyncio.sleep(1)
        assert not machine.chassis.flows
        assert not cloud.active

    play(scene)
