"""The world of the whole-system simulation: a cloud, machines, and the shipped controller and daemons on them.

`KuryrWorld` is the scenarios' back end, `world.backend`. `main` of a process is the shipped one; what it reaches, it
reaches through the simulated network: calls to the cloud are counted, lost, late, refused, and the process is killed
before and after each, as with those to the API server.
"""

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import kubeloop as k
from kubeloop.testing import Fault, FaultKind, Process, World, backend_call
from kuryr.cli.controller import control
from kuryr.cli.daemon import run_node
from kuryr.model.configuration import (
    Configuration,
    ControllerOptions,
    Daemon,
    NeutronNetwork,
    Pools,
    Sweep,
)
from kuryr.model.machines import Machine, is_lost
from kuryr.model.resources import KuryrPort
from kuryr.openstack.neutron import Api
from kuryr.openstack.session import Answer, Session
from kuryr.simulator.cloud import Cloud
from kuryr.simulator.exchange import SimulatedExchange, SimulatedToken
from kuryr.simulator.neutron.caller import Caller
from kuryr.simulator.node.machine import SimulatedMachine

from ..simulator.node.effects import local_gate

PROJECT, USER, PASSWORD = "kubernetes", "kuryr", "secret"
NETWORK, GROUP = "pods", "pods"
NODES = ("node1", "node2")

CONFIGURATION = Configuration(
    neutron=NeutronNetwork(network=NETWORK, security_groups=(GROUP,), timeout_s=20.0),
    pools=Pools(cool_down_s=5.0, quarantine_after_s=10.0),
    # the second look is later than any call that was given up takes effect: 40 s is the latest
    sweep=Sweep(every_s=120.0, after_s=60.0),
    controller=ControllerOptions(lease_namespace="kube-system"),
)

Main = Callable[[Process], Coroutine[Any, Any, None]]
Control = Callable[[Configuration, k.Cluster, Callable[[k.Fence], AbstractAsyncContextManager[Api]]], Any]
RunNode = Callable[[Configuration, k.Cluster, Any], Any]
"""The shipped ones, or with a bug that was planted."""


class KuryrWorld:
    """`machines` are those that carry a node's name now; those of the nodes `off` are switched off.

    `excused` are container ids of sandboxes whose port may go: their node was lost, or somebody took the port away in
    Neutron.
    """

    def __init__(self, world: World, mains: Mapping[str, Main], *, cidr: str = "10.20.0.0/24") -> None:
        """`mains` are what its processes run, by name: of controllers, daemons and kubelets."""
        self._world = world
        self.mains = mains
        self.cloud = Cloud(Random(f"{world.seed}/cloud"), time.time)
        self.cloud.identity.add_user(USER, PASSWORD, PROJECT, "member", "service")
        self.project_id = self.cloud.identity.add_project(PROJECT).id
        self.pods = self.cloud.make_network(PROJECT, NETWORK, cidr)
        self.admin = Caller(self.project_id, "", frozenset(("admin",)), "")
        self.make("security_groups", name=GROUP)
        self.late_s = 0.0
        self.machines: dict[str, SimulatedMachine] = {}
        self.off: set[str] = set()
        self.excused: set[str] = set()
        self._installed = 0
        self._foreign = self._make_foreign()

    def make(self, collection: str, **body: Any) -> Mapping[str, Any]:
        """Something in our project that is not ours."""
        return self.cloud.network.make(collection.replace("_", "-"), self.admin, body)

    def install(self, node: str) -> SimulatedMachine:
        """A machine of that name, in place of the one that had it."""
        self._installed += 1
        machine = SimulatedMachine(
            node,
            fabric=self.cloud.fabric,
            random=Random(f"{self._world.seed}/machine/{self._installed}"),
            address=f"192.0.2.{self._installed}",
            changed=self._world.changed,
        )
        self.machines[node] = machine
        self.off.discard(node)
        self.cloud.network.hosts.add(machine.chassis.hostname)
        return machine

    @property
    def controllers(self) -> list[str]:
        """The names of their processes."""
        return [name for name in self.mains if not name.startswith(("daemon-", "kubelet-"))]

    def start(self, name: str) -> None:
        """A process that was stopped or removed."""
        self._world.start(name, self.mains[name], reliable=name.startswith("kubelet-"))

    def switch_off(self, node: str) -> None:
        """The machine's programs stop at once."""
        for name in (f"kubelet-{node}", f"daemon-{node}"):
            self._world.remove(name)
        self.machines[node].power_off()
        self.off.add(node)

    def switch_on(self, node: str) -> None:
        """It starts, with what was on its disk."""
        self.machines[node].power_on()
        self.off.discard(node)
        self.start_node(node)

    def start_node(self, node: str) -> None:
        """Daemon and kubelet."""
        for name in (f"daemon-{node}", f"kubelet-{node}"):
            self.start(name)

    def running(self) -> list[SimulatedMachine]:
        """The machines that are not switched off."""
        return [machine for node, machine in self.machines.items() if node not in self.off]

    def port_of(self, pod: k.ObjectKey) -> str:
        """That its claim names; empty where it has none."""
        claim = self._world.get(KuryrPort, pod.name, namespace=pod.namespace)
        return claim.spec.interfaces[0].port_id if claim is not None else ""

    def ports(self) -> list[Mapping[str, Any]]:
        """All in Neutron that a cluster's mark is on: ours."""
        return [one for one in self.cloud.network.ports.objects.values() if is_ours(one)]

    def make_foreign(self, collection: str, **body: Any) -> None:
        """That may not be touched."""
        made = self.make(collection, **body)
        self._foreign[made["id"]] = copy.deepcopy(made)

    def delete_port(self, port_id: str) -> None:
        """By somebody's hand."""
        self.excuse(port_id)
        ports = self.cloud.network.ports
        if port_id in ports.objects:
            ports.delete(self.admin, ports.objects[port_id])
        self._world.changed()

    def move_port(self, port_id: str, host: str) -> None:
        """By somebody's hand."""
        self.excuse(port_id)
        ports = self.cloud.network.ports
        if port_id in ports.objects:
            ports.update(self.admin, ports.objects[port_id], {"binding:host_id": host})
        self._world.changed()

    def excuse(self, port_id: str) -> None:
        """What happens to this port now is not our doing."""
        for machine in self.machines.values():
            for row in machine.ovsdb.rows("Interface").values():
                if row["external_ids"].get("iface-id") == port_id:
                    self.excused.add(row["external_ids"].get("kuryr-container-id", ""))

    def note_lost(self) -> None:
        """A sandbox that is on a node while that is lost stays excused."""
        for name, machine in self.machines.items():
            if is_lost(self._world.get(Machine, name)):
                self.excused.update(machine.runtime.sandboxes)
                rows = machine.ovsdb.rows("Interface").values()
                self.excused.update(row["external_ids"].get("kuryr-container-id", "") for row in rows)

    def foreign(self) -> dict[str, Mapping[str, Any]]:
        """What others have in our project, as it is now."""
        network = self.cloud.network
        found: dict[str, Mapping[str, Any]] = {}
        for resource in (network.networks, network.subnets, network.security_groups):
            found.update(resource.objects)
        found.update({key: one for key, one in network.ports.objects.items() if not is_ours(one)})
        return found

    def changed_foreign(self) -> list[str]:
        """What of it is not as it was."""
        now = self.foreign()
        return [key for key, one in self._foreign.items() if now.get(key) != one]

    def _make_foreign(self) -> dict[str, Mapping[str, Any]]:
        self.make("networks", name="somebody else's")
        network = self.pods["id"]
        self.make("ports", name="a VM's", network_id=network, device_owner="compute:nova", device_id="some-vm")
        self.make("ports", name="nobody's", network_id=network)
        self.make(
            "ports",
            name="another cluster's",
            network_id=network,
            device_owner="compute:kuryr-another",
            device_id="kuryr:another-pool:0",
        )
        return copy.deepcopy(self.foreign())


OTHERS = "compute:kuryr-another"


def is_ours(port: Mapping[str, Any]) -> bool:
    """Of this cluster's, by its mark."""
    owner = port["device_owner"]
    return bool(owner.startswith("compute:kuryr-")) and owner != OTHERS


@dataclass(frozen=True)
class _Reach:
    """One process's way to the cloud."""

    process: Process

    async def __call__(self, what: str, action: Callable[[], Answer], *, changes: bool) -> Answer:
        answer = await backend_call(self.process, what, action, changes=changes, answered=_refusal)
        late_s: float = self.process.world.backend.late_s
        if late_s:
            await asyncio.sleep(late_s)
        return answer


def _refusal(fault: Fault) -> Answer:
    """What a cloud in trouble says, or what is in front of it."""
    match fault.kind:
        case FaultKind.CONFLICT:
            body = b'{"NeutronError": {"type": "IpAddressAlreadyAllocated", "message": "injected", "detail": ""}}'
            return Answer(409, body)
        case FaultKind.THROTTLED:
            return Answer(429, b"slow down", {"Retry-After": f"{fault.seconds:.0f}"})
        case FaultKind.UNAVAILABLE:
            return Answer(503, b"<html>no server is available</html>")
    return Answer(500, b'{"NeutronError": {"type": "HTTPInternalServerError", "message": "injected", "detail": ""}}')


def controller_main(run: Control = control) -> Main:
    """The shipped controller, as a process of a simulation."""

    async def main(process: Process) -> None:
        cloud = process.world.backend.cloud
        reach = _Reach(process)

        @asynccontextmanager
        async def open_cloud(fence: k.Fence) -> AsyncIterator[Session]:
            token = SimulatedToken(cloud, USER, PASSWORD, PROJECT, reach=reach)
            yield Session(token, SimulatedExchange(cloud, reach=reach, fence=fence), "network", user_agent="kuryr")

        await run(CONFIGURATION, process, open_cloud)

    return main


def daemon_main(node: str, run: RunNode = run_node) -> Main:
    """The shipped daemon on the machine that has the node's name when it starts."""
    configuration = Configuration(daemon=Daemon(node=node, add_timeout_s=30.0))

    async def main(process: Process) -> None:
        machine = process.world.backend.machines[node]
        async with machine.host(local_gate(process), over=process.over) as host:
            await run(configuration, process, host)

    return main


def kubelet_main(node: str) -> Main:
    async def main(process: Process) -> None:
        await process.world.backend.machines[node].kubelet.run(process)

    return main
