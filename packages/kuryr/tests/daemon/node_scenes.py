"""The shipped daemon on a simulated machine, in virtual time, and the hands of everybody around it."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any

import kubeloop as k
from kubeloop.testing import Process, ScriptedFaults, SeededFaults, Trace, World, simulate
from kuryr.cli.daemon import run_node
from kuryr.model.configuration import Configuration, Daemon
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
from kuryr.simulator.fabric import BoundPort
from kuryr.simulator.node.cni import CniFailed
from kuryr.simulator.node.machine import SimulatedMachine

from ..simulator.node.clouds import Ports
from ..simulator.node.effects import local_gate

HOST = "node1.example"
NODE_UID = "node-uid"


def netns_of(container: str) -> str:
    return f"/run/netns/{container}"


@dataclass
class Node:
    """One node. Containers are named c0, c1 and so on, each with a namespace of its own."""

    world: World
    machine: SimulatedMachine
    cloud: Ports

    async def claim(
        self,
        name: str = "web-0",
        *,
        uid: str = "uid-1",
        port: int = 1,
        finalizers: tuple[str, ...] = (SANDBOX_FINALIZER,),
    ) -> KuryrPort:
        """Made by the controller; its port is bound to this host."""
        address, mac = f"10.1.0.{port + 4}", f"02:00:00:00:00:{port:02x}"
        self.cloud.make(f"port-{port}", HOST, BoundPort(mac, (address,)))
        interface = Interface(
            port_id=f"port-{port}",
            mac_address=mac,
            mtu=1442,
            addresses=(Address(ip=address, prefix_length=16, gateway="10.1.0.1"),),
        )
        spec = KuryrPortSpec(pod_uid=uid, node="node1", node_uid=NODE_UID, pool="pool", interfaces=(interface,))
        metadata = k.ObjectMeta(name=name, namespace="default", finalizers=finalizers)
        return await self.world.client.create(KuryrPort(metadata=metadata, spec=spec))

    async def release(self, name: str = "web-0") -> None:
        await self.world.client.delete(KuryrPort, name, namespace="default")

    async def gone(self, name: str = "web-0") -> None:
        """Until the claim is."""
        while self.seen(name) is not None:  # noqa: ASYNC110 - in virtual time
            await asyncio.sleep(0.01)

    def seen(self, name: str = "web-0") -> KuryrPort | None:
        return self.world.get(KuryrPort, name, namespace="default")

    async def pool(self) -> KuryrPortPool:
        spec = KuryrPortPoolSpec(node="node1", node_uid=NODE_UID, network_id="net", subnet_ids=("subnet",))
        return await self.world.client.create(KuryrPortPool(metadata=k.ObjectMeta(name="pool"), spec=spec))

    async def call(
        self,
        command: str,
        container: str = "c0",
        *,
        pod: str = "web-0",
        uid: str = "uid-1",
        config: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """As the runtime. Raises CniFailed."""
        if command == "ADD" and self.machine.namespaces.find(netns_of(container)) is None:
            self.machine.namespaces.make(netns_of(container))
        whole = {"cniVersion": "1.1.0", "name": "kuryr", "type": "kuryr-cni", **(config or {})}
        return await self.machine.socket.call(
            command,
            whole,
            containerId=container,
            netns=netns_of(container),
            ifname="eth0",
            args=f"K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod};K8S_POD_UID={uid}",
        )

    async def remove(self, container: str = "c0", *, pod: str = "web-0", uid: str = "uid-1") -> None:
        """DEL, then the namespace goes."""
        await self.call("DEL", container, pod=pod, uid=uid)
        self.machine.namespaces.remove(netns_of(container))

    async def collect(self, *containers: str) -> None:
        attachments = [{"containerID": one, "ifname": "eth0"} for one in containers]
        await self.call("GC", config={"cni.dev/valid-attachments": attachments})

    async def restart(self, *, away_s: float = 0.0) -> None:
        """SIGKILL, and again; the API server does not answer the new one for a while."""
        self.daemon.kill(restart_s=0.5)
        await asyncio.sleep(0.501)
        if away_s:
            self.daemon.isolate(away_s)
        await asyncio.sleep(0.5)

    @property
    def daemon(self) -> Process:
        return self.world.processes["daemon"]

    def taps(self) -> list[str]:
        return [one.name for one in self.machine.namespaces.host.devices.values() if one.kind == "veth"]

    def rows(self) -> dict[str, str]:
        """Container -> the Neutron port that its row is bound to."""
        ids = [row["external_ids"] for row in self.machine.ovsdb.rows("Interface").values()]
        return {one["kuryr-container-id"]: one.get("iface-id", "") for one in ids if "kuryr-container-id" in one}

    def addresses(self, container: str) -> list[str]:
        netns = self.machine.namespaces.find(netns_of(container))
        return list(netns.ips("eth0")) if netns is not None else []


Scene = Callable[[Node], Coroutine[Any, Any, None]]


def play(scene: Scene, *, faults: ScriptedFaults | SeededFaults | None = None, seed: int = 1) -> Trace:
    """A cluster with one node, whose daemon is ready."""

    async def scenario(world: World) -> None:
        cloud = Ports()
        machine = SimulatedMachine("node1", fabric=cloud, random=Random(world.seed), changed=world.changed)
        configuration = Configuration(daemon=Daemon(node="node1", http=""))

        async def daemon(process: Process) -> None:
            async with machine.host(local_gate(process), over=process.over) as host:
                await run_node(configuration, process, host)

        await k.ensure_definitions(world.client, KINDS)
        await world.client.create(k.Node(metadata=k.ObjectMeta(name="node1")))
        world.start("daemon", daemon)
        await machine.installed.wait()
        await scene(Node(world, machine, cloud))

    return simulate(scenario, seed=seed, faults=faults)


async def refused(call: Coroutine[Any, Any, Any]) -> CniFailed:
    try:
        await call
    except CniFailed as error:
        return error
    raise AssertionError("it was not refused")
