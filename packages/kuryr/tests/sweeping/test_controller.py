"""The sweeper on a simulated API server and a Neutron: what it deletes, what it leaves, and what it tells."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec
from prometheus_client import generate_latest

from kubeloop import (
    Condition,
    KubeObject,
    MergePatch,
    Namespace,
    ObjectMeta,
    Pod,
    Resource,
    Runtime,
    ensure_definitions,
    find_condition,
    open_runtime,
)
from kubeloop import errors as kube
from kubeloop.simulator import SimulatedCluster
from kuryr.model.configuration import Sweep
from kuryr.model.resources import (
    CLUSTER_NAME,
    KINDS,
    KuryrCluster,
    KuryrNode,
    KuryrPort,
    KuryrPortPool,
    KuryrPortPoolSpec,
)
from kuryr.openstack.neutron import Neutron, Port
from kuryr.sweeping.broom import Broom
from kuryr.sweeping.controller import SweepController
from kuryr.sweeping.inventory import Inventory

from ..pools.neutron_server import NeutronServer
from .examples import CLUSTER, claim, port

AFTER_S = 0.1


class Event(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("events.k8s.io", "v1", "events", "Event")
    type: str = ""
    reason: str = ""
    note: str = ""


class WholePod(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Pod.resource
    spec: dict[str, Any] = msgspec.field(default_factory=dict)


class Subject:
    """One term of a leader."""

    def __init__(self, runtime: Runtime, server: NeutronServer, options: Sweep) -> None:
        self.client = runtime.client
        self.runtime = runtime
        self.server = server
        self.neutron = Neutron(server)
        claims, nodes, pods = (runtime.informer(kind) for kind in (KuryrPort, KuryrNode, Pod))
        inventory = Inventory(self.client, self.neutron, CLUSTER, claims=claims, nodes=nodes, pods=pods)
        self.sweep = SweepController(
            self.client,
            runtime.recorder,
            inventory,
            Broom(self.client, self.neutron, inventory, self._discard),
            cluster=CLUSTER,
            options=options,
            clusters=runtime.informer(KuryrCluster),
            pools=runtime.informer(KuryrPortPool),
            metrics=runtime.metrics,
        )

    async def _discard(self, one: Port) -> bool:
        await self.neutron.delete_port(one.id)
        return True

    def add_ports(self, *ports: Port) -> None:
        for one in ports:
            body = msgspec.to_builtins(one)
            self.server.ports[one.id] = {key: value for key, value in body.items() if value is not None}

    async def add_pool(self, name: str) -> str:
        spec = KuryrPortPoolSpec(node="n", node_uid="u", network_id="net", subnet_ids=("s",))
        return (await self.client.create(KuryrPortPool(metadata=ObjectMeta(name=name), spec=spec))).metadata.uid

    async def cluster(self, condition: Callable[[KuryrCluster], bool]) -> KuryrCluster:
        async with asyncio.timeout(10):
            while True:
                try:
                    found = await self.client.get(KuryrCluster, CLUSTER_NAME)
                except kube.NotFound:
                    found = None
                if found is not None and condition(found):
                    return found
                await asyncio.sleep(0.02)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.02)

    async def is_deleting(self, name: str) -> bool:
        return (await self.client.get(KuryrPort, name, namespace="ns")).metadata.deleting

    async def looked(self, times: int) -> None:
        """So many more looks have begun."""
        before = self.server.lists
        await self.until(lambda: self.server.lists >= before + times)

    async def approve(self, digest: str) -> None:
        await self.client.patch(KuryrCluster, CLUSTER_NAME, MergePatch({"spec": {"approvedSweep": digest}}))

    async def events(self, reason: str, *, least: int = 1) -> list[Event]:
        async with asyncio.timeout(10):
            while True:
                found = [one for one in (await self.client.list_all(Event)).items if one.reason == reason]
                if len(found) >= least:
                    return found
                await asyncio.sleep(0.05)


@asynccontextmanager
async def running(
    cluster: SimulatedCluster | None = None, server: NeutronServer | None = None, **options: Any
) -> AsyncIterator[Subject]:
    options = {"every_s": AFTER_S, "after_s": AFTER_S, **options}
    async with open_runtime(cluster or SimulatedCluster(), name="kuryr") as runtime:
        await ensure_definitions(runtime.client, KINDS)
        subject = Subject(runtime, server or NeutronServer(), Sweep(**options))
        runtime.lead_with(subject.sweep.controller.run)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(runtime.run())
            yield subject
            running.cancel()


def allowed(cluster: KuryrCluster) -> Condition:
    """`type` is empty before the first look: the KuryrCluster is there before its status."""
    found = find_condition(cluster.status.conditions, "SweepAllowed")
    return found if found is not None else Condition(type="", status="Unknown")


def test_before_the_first_look_nothing_is_said_of_sweeping() -> None:
    assert not reason_is("TooMuch")(KuryrCluster(metadata=ObjectMeta(name=CLUSTER_NAME)))


def reason_is(reason: str) -> Callable[[KuryrCluster], bool]:
    return lambda cluster: allowed(cluster).reason == reason


async def test_a_port_that_no_pool_explains_goes_and_those_of_a_pool_and_of_others_stay() -> None:
    async with running() as subject:
        uid = await subject.add_pool("p")
        foreign = msgspec.structs.replace(port(9, "x"), device_owner="compute:nova")
        subject.add_ports(port(1, uid), port(2, "gone"), foreign)
        await subject.until(lambda: set(subject.server.ports) == {"port-1", "port-9"})
        assert "port-2" in (await subject.events("Swept"))[0].note
        await subject.cluster(reason_is("NothingToSweep"))
        assert 'kuryr_swept_total{kind="Port"} 1.0' in generate_latest(subject.runtime.metrics.registry).decode()


async def test_one_look_is_not_enough() -> None:
    async with running(after_s=60, every_s=0.02) as subject:
        subject.add_ports(port(1, "gone"))
        await subject.looked(5)
        assert set(subject.server.ports) == {"port-1"}


async def test_a_claim_whose_pod_is_gone_goes_and_one_whose_pod_is_there_stays() -> None:
    async with running() as subject:
        await subject.client.create(Namespace(metadata=ObjectMeta(name="ns")))
        spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
        pod = await subject.client.create(WholePod(metadata=ObjectMeta(name="lives", namespace="ns"), spec=spec))
        await subject.client.create(claim("lives", pod.metadata.uid))
        await subject.client.create(claim("gone", "u"))
        await subject.events("Swept")
        assert await subject.is_deleting("gone")
        await subject.looked(3)
        assert not await subject.is_deleting("lives")


async def test_too_much_waits_for_a_person_and_then_exactly_that_goes() -> None:
    async with running(max_count=3) as subject:
        subject.add_ports(*(port(number, "gone") for number in range(8)))
        refused = await subject.cluster(reason_is("TooMuch"))
        assert allowed(refused).status == "False"
        assert (refused.status.sweep.total, refused.status.cluster_id) == (8, CLUSTER)
        assert {one.name for one in refused.status.sweep.steps} == {f"port-{number}" for number in range(8)}
        await subject.looked(3)
        assert len(subject.server.ports) == 8
        assert len(await subject.events("TooMuch")) == 1
        text = generate_latest(subject.runtime.metrics.registry).decode()
        assert 'kuryr_sweep_refused{reason="TooMuch"} 1.0' in text
        assert 'kuryr_unexplained{kind="Port"} 8.0' in text
        await subject.approve(refused.status.sweep.digest)
        await subject.until(lambda: not subject.server.ports)
        await subject.cluster(reason_is("NothingToSweep"))


async def test_an_approval_of_another_plan_is_none() -> None:
    async with running(max_count=3) as subject:
        subject.add_ports(*(port(number, "gone") for number in range(4)))
        first = await subject.cluster(reason_is("TooMuch"))
        subject.add_ports(port(4, "gone"))
        await subject.cluster(lambda cluster: cluster.status.sweep.total == 5)
        await subject.approve(first.status.sweep.digest)
        await subject.looked(4)
        assert len(subject.server.ports) == 5


async def test_a_second_cluster_of_our_id_is_told_once_and_nothing_is_swept_whatever_is_approved() -> None:
    async with running() as subject:
        subject.add_ports(port(1, "gone"), port(2, "theirs", status="ACTIVE"))
        told = await subject.cluster(reason_is("ClusterIdShared"))
        assert "port-2" in allowed(told).message
        await subject.approve(told.status.sweep.digest)
        await subject.looked(4)
        assert set(subject.server.ports) == {"port-1", "port-2"}
        assert len(await subject.events("ClusterIdShared")) == 1


async def test_a_new_leader_does_not_tell_again_and_looks_twice() -> None:
    cluster, server = SimulatedCluster(), NeutronServer()
    async with running(cluster, server, max_count=3) as before:
        before.add_ports(*(port(number, "gone") for number in range(4)))
        await before.cluster(reason_is("TooMuch"))
        await before.events("TooMuch")
    async with running(cluster, server, max_count=3) as after:
        await after.looked(5)
        assert allowed(await after.cluster(lambda _: True)).reason == "TooMuch"
        assert len(await after.events("TooMuch")) == 1


async def test_what_is_approved_while_nobody_leads_is_done_by_the_next_leader() -> None:
    cluster, server = SimulatedCluster(), NeutronServer()
    async with running(cluster, server, max_count=3) as before:
        before.add_ports(*(port(number, "gone") for number in range(4)))
        told = await before.cluster(reason_is("TooMuch"))
    async with running(cluster, server, max_count=3) as after:
        await after.approve(told.status.sweep.digest)
        await after.until(lambda: not server.ports)


async def test_of_an_approved_plan_what_could_not_be_deleted_goes_later_and_without_another_word() -> None:
    async with running(max_count=0) as subject:
        subject.add_ports(*(port(number, "gone") for number in range(4)))
        told = await subject.cluster(reason_is("TooMuch"))
        subject.server.refused.add("port-2")
        await subject.approve(told.status.sweep.digest)
        await subject.until(lambda: set(subject.server.ports) == {"port-2"})
        subject.server.refused.clear()
        await subject.until(lambda: not subject.server.ports)


async def test_a_neutron_that_is_away_is_told_and_back_again() -> None:
    async with running() as subject:
        await subject.cluster(reason_is("NothingToSweep"))
        subject.server.away = True

        def cloud_is(status: str) -> Callable[[KuryrCluster], bool]:
            def is_so(cluster: KuryrCluster) -> bool:
                found = find_condition(cluster.status.conditions, "CloudReady")
                return found is not None and found.status == status

            return is_so

        away = await subject.cluster(cloud_is("False"))
        assert allowed(away).reason == "NothingToSweep"
        subject.server.away = False
        await subject.cluster(cloud_is("True"))


async def test_a_cluster_object_that_a_person_deletes_is_made_again() -> None:
    async with running() as subject:
        first = await subject.cluster(reason_is("NothingToSweep"))
        await subject.client.delete(KuryrCluster, CLUSTER_NAME)
        await subject.cluster(lambda cluster: cluster.metadata.uid != first.metadata.uid)
