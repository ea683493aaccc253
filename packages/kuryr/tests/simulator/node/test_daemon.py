"""The shipped daemon on a simulated machine, in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

import kubeloop as k
from kubeloop.testing import Fault, FaultKind, Process, ScriptedFaults, World, simulate
from kuryr.cli.daemon import run_node
from kuryr.model.configuration import Configuration, Daemon
from kuryr.model.resources import KINDS, SANDBOX_FINALIZER, Address, Interface, KuryrPort, KuryrPortSpec
from kuryr.simulator.node.cni import CniFailed
from kuryr.simulator.node.machine import SimulatedMachine

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


def play(scene: Scene, *, faults: ScriptedFaults | None = None) -> int:
    """Gives how many effects there were."""
    effects = 0

    async def scenario(world: World) -> None:
        nonlocal effects
        cloud = Ports()
        machine = SimulatedMachine("node1", fabric=cloud, random=Random(world.seed), changed=world.changed)
        configuration = Configuration(daemon=Daemon(node="node1", http=""))

        async def daemon(process: Process) -> None:
            async with machine.host(local_gate(process), over=process.over) as host:
                await run_node(configuration, process, host)

        await k.ensure_definitions(world.client, KINDS)
        await world.client.create(k.Node(metadata=k.ObjectMeta(name="node1")))
        machine.namespaces.make(NETNS)
        world.start("daemon", daemon)
        await machine.installed.wait()
        await scene(world, machine, cloud)
        effects = world.gate.effects

    simulate(scenario, seed=1, faults=faults)
    return effects


async def add_and_delete(world: World, machine: SimulatedMachine, cloud: Ports) -> None:
    cloud.make("port-1", HOST)
    await make_claim(world)
    result = await call_until_done(machine, "ADD")
    assert result["ips"][0]["address"] == "10.1.0.5/16"
    (tap,) = [one for one in machine.namespaces.host.devices.values() if one.kind == "veth"]
    assert machine.switch.forwards(tap.name)
    assert machine.chassis.flows == {"port-1": tap.name}
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
    assert play(add_and_delete) > 5


@pytest.mark.parametrize("kind", [FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER, FaultKind.FAILED, FaultKind.SLOW])
def test_whichever_effect_something_happens_to_the_pod_is_wired_and_unwired(kind: FaultKind) -> None:
    for effect in range(1, play(add_and_delete) + 1):
        play(add_and_delete, faults=ScriptedFaults(by_effect={effect: Fault(kind, 1.0)}))
