"""`kuryr uninstall` on a simulated API server and a Neutron: what it waits for, what it refuses, and that a killed run
is taken up by the next.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec
import pytest

from kubeloop import (
    Client,
    ClusterConfig,
    Conflict,
    Fence,
    KubeObject,
    LeaseName,
    Metrics,
    Namespace,
    Node,
    NotFound,
    ObjectMeta,
    Pod,
    Request,
    Resource,
    Response,
    Transport,
    connect,
    ensure_definitions,
    open_runtime,
    remove_finalizer,
)
from kubeloop.simulator import SimulatedCluster
from kubeloop.testing import ControlPlane
from kuryr.cli.controller import LEASE
from kuryr.cli.removal import Definition, Removal
from kuryr.cli.running import Refused
from kuryr.cli.uninstall import remove
from kuryr.model.configuration import Configuration
from kuryr.model.resources import KINDS, SANDBOX_FINALIZER, KuryrNode, KuryrNodeSpec, KuryrPort, KuryrPortPool
from kuryr.model.resources import KuryrPortPoolSpec as PoolSpec
from kuryr.openstack.neutron import Api, Neutron, Port
from kuryr.openstack.session import Answer

from ..pools.neutron_server import NeutronServer
from ..sweeping.examples import CLUSTER, claim, port

CONFIGURATION = Configuration(cluster_id=CLUSTER)


class WholePod(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Pod.resource
    spec: dict[str, Any] = msgspec.field(default_factory=dict)


class Killed(Exception):
    """From now on nothing that this process does has an effect."""


class Life:
    """So many effects are left; None: no end of them."""

    def __init__(self, effects: int | None = None) -> None:
        self.left = effects

    def spend(self) -> None:
        if self.left == 0:
            raise Killed
        if self.left is not None:
            self.left -= 1


class Cloud(NeutronServer):
    def __init__(self) -> None:
        super().__init__()
        self.life = Life()

    async def request(
        self, method: str, path: str, body: bytes = b"", *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Answer:
        if method != "GET":
            self.life.spend()
        return await super().request(method, path, body, timeout_s=timeout_s, headers=headers)

    @asynccontextmanager
    async def open(self, fence: Fence) -> AsyncIterator[Api]:
        yield self


class MortalTransport:
    """Its writes end when the life does."""

    def __init__(self, transport: Transport, life: Life) -> None:
        self._life = life
        self._request = transport.request
        self.stream = transport.stream
        self.close = transport.close

    async def request(self, request: Request, *, timeout_s: float) -> Response:
        if request.method != "GET":
            self._life.spend()
        return await self._request(request, timeout_s=timeout_s)


class MortalCluster:
    def __init__(self, cluster: SimulatedCluster, life: Life) -> None:
        self._cluster = cluster
        self._life = life

    def transport(self, *, user_agent: str, fence: Fence | None, metrics: Metrics | None) -> Transport:
        return MortalTransport(self._cluster.transport(user_agent=user_agent, fence=fence), self._life)


class Subject:
    """A cluster with one node n; its daemon gives receipts."""

    def __init__(self, cluster: SimulatedCluster | ClusterConfig, client: Client) -> None:
        self.cluster = cluster
        self.client = client
        self.cloud = Cloud()
        self.said: list[str] = []

    async def install(self, *namespaces: str) -> None:
        await ensure_definitions(self.client, KINDS)
        for name in namespaces:
            await self.client.create(Namespace(metadata=ObjectMeta(name=name)))
        await self.client.create(Node(metadata=ObjectMeta(name="n")))
        await self.client.create(KuryrNode(metadata=ObjectMeta(name="n"), spec=KuryrNodeSpec(node_uid="u")))
        spec = PoolSpec(node="n", node_uid="u", network_id="net", subnet_ids=("s",))
        pool = await self.client.create(KuryrPortPool(metadata=ObjectMeta(name="pool"), spec=spec))
        for name in ("a", "b"):
            await self.client.create(claim(name, f"uid-{name}"))
        ports = [port(number, pool.metadata.uid, status="ACTIVE") for number in range(3)]
        self.show(*ports, port(3, "gone"), msgspec.structs.replace(port(4, "x"), device_owner="compute:nova"))

    def show(self, *ports: Port) -> None:
        for one in ports:
            self.cloud.ports[one.id] = {key: value for key, value in msgspec.to_builtins(one).items() if value}

    async def add_pod(self) -> None:
        spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
        await self.client.create(WholePod(metadata=ObjectMeta(name="a", namespace="ns"), spec=spec))

    async def give_receipts(self) -> None:
        while True:
            try:
                claims = (await self.client.list_all(KuryrPort)).items
            except NotFound:
                return
            for one in claims:
                if one.metadata.deleting:
                    try:
                        await remove_finalizer(self.client, one, SANDBOX_FINALIZER)
                    except Conflict:
                        continue
            await asyncio.sleep(0.02)

    async def run(self, *, receipts: bool = True, **options: Any) -> None:
        options = {"wait_s": 0.3, "lease_wait_s": 5.0, **options}
        daemon = asyncio.create_task(self.give_receipts() if receipts else asyncio.sleep(0))
        try:
            await remove(CONFIGURATION, self.cluster, self.cloud.open, self.said.append, **options)
        finally:
            daemon.cancel()

    async def is_gone(self) -> bool:
        ours = {one.metadata.name for one in (await self.client.list_all(Definition)).items}
        return not ours and set(self.cloud.ports) == {"port-4"}

    async def is_untouched(self) -> bool:
        claims = (await self.client.list_all(KuryrPort)).items
        return not any(one.metadata.deleting for one in claims) and len(self.cloud.ports) == 5


@asynccontextmanager
async def subjects() -> AsyncIterator[Subject]:
    cluster = SimulatedCluster()
    async with connect(cluster, user_agent="test/1") as client:
        subject = Subject(cluster, client)
        await subject.install("ns", "kuryr-system")
        yield subject


async def test_everything_of_ours_goes_and_nothing_else_and_it_is_said_what_stays() -> None:
    async with subjects() as subject:
        await subject.run(wait_s=10)
        assert await subject.is_gone()
        assert subject.said[:3] == [
            "2 KuryrPorts deleted, 0 were deleted before",
            "4 Neutron ports deleted",
            "4 definitions deleted, with all objects of their kinds",
        ]
        assert any("on the nodes (n)" in line and "10-kuryr.conflist" in line for line in subject.said)
        await subject.run()
        assert "0 Neutron ports deleted" in subject.said


async def test_a_plan_is_only_told() -> None:
    async with subjects() as subject:
        await subject.add_pod()
        await subject.run(plan=True)
        assert await subject.is_untouched()
        assert "refuses, as pods need their network: ns/a (--force takes it away)" in subject.said
        assert "deletes 4 Neutron ports" in subject.said


async def test_while_pods_need_their_network_nothing_is_done() -> None:
    async with subjects() as subject:
        await subject.add_pod()
        with pytest.raises(Refused, match="pods need their network: ns/a"):
            await subject.run()
        assert await subject.is_untouched()


async def test_while_a_controller_leads_nothing_is_done() -> None:
    async with subjects() as subject:
        lease = LeaseName("kuryr-system", LEASE)
        async with open_runtime(subject.cluster, name="kuryr", lease=lease) as controller, asyncio.TaskGroup() as group:
            leading = asyncio.Event()

            async def lead() -> None:
                leading.set()
                await asyncio.Event().wait()

            controller.lead_with(lead)
            running = group.create_task(controller.run())
            await leading.wait()
            with pytest.raises(Refused, match="a kuryr controller leads: it holds the Lease kuryr-system/"):
                await subject.run(lease_wait_s=0.5)
            running.cancel()
        assert await subject.is_untouched()


async def test_a_used_port_that_no_pool_explains_may_be_another_clusters_and_nothing_is_done() -> None:
    async with subjects() as subject:
        subject.show(port(3, "theirs", status="ACTIVE"))
        with pytest.raises(Refused, match=r"used, but not by it: port-3\."):
            await subject.run(force=True)
        assert await subject.is_untouched()


async def test_without_a_receipt_no_port_is_deleted_and_the_next_run_goes_on() -> None:
    async with subjects() as subject:
        with pytest.raises(Refused, match=r"no receipt within 0.3 s from n: "):
            await subject.run(receipts=False)
        assert len(subject.cloud.ports) == 5
        await subject.run(wait_s=10)
        assert await subject.is_gone()


async def test_by_force_it_goes_without_receipts_and_says_the_danger() -> None:
    async with subjects() as subject:
        await subject.add_pod()
        await subject.run(receipts=False, force=True)
        assert await subject.is_gone()
        assert "without a receipt from n: sandboxes that still run there lose their network" in subject.said


async def test_a_lost_node_owes_no_receipt_and_its_ports_are_gone_before_its_claims() -> None:
    async with subjects() as subject:
        await subject.client.delete(Node, "n")
        subject.cloud.deletes_go_on.clear()
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(subject.run(receipts=False))
            await subject.cloud.deleting.wait()
            assert len((await subject.client.list_all(KuryrPort)).items) == 2
            subject.cloud.deletes_go_on.set()
        assert await subject.is_gone()


async def test_a_port_that_neutron_does_not_delete_is_told_and_keeps_the_pools() -> None:
    async with subjects() as subject:
        subject.cloud.refused.add("port-1")
        subject.cloud.broken.add("port-2")
        with pytest.raises(Refused, match=r"does not delete 2: port-[12]: "):
            await subject.run(wait_s=10)
        assert len((await subject.client.list_all(KuryrPortPool)).items) == 1
        subject.cloud.refused.clear()
        subject.cloud.broken.clear()
        await subject.run(wait_s=10)
        assert await subject.is_gone()


@pytest.mark.parametrize("effects", range(12))
async def test_a_run_that_is_killed_after_any_effect_is_taken_up_by_the_next(effects: int) -> None:
    async with subjects() as subject:
        await subject.client.delete(Node, "n")
        life = subject.cloud.life = Life(effects)
        assert isinstance(subject.cluster, SimulatedCluster)
        async with connect(MortalCluster(subject.cluster, life), user_agent="test/1") as client:
            with pytest.raises((Killed, ExceptionGroup)):
                await Removal(client, Neutron(subject.cloud), CLUSTER, subject.said.append, wait_s=1).run()
        assert not await subject.is_gone()
        subject.cloud.life = Life()
        await subject.run()
        assert await subject.is_gone()


async def test_a_real_api_server_clears_away_as_the_simulated_one_does(control_plane: ControlPlane) -> None:
    async with connect(control_plane.config(), user_agent="test/1") as client:
        subject = Subject(control_plane.config(), client)
        try:
            await subject.install("ns")
            await subject.run(force=True, wait_s=5)  # what other tests left goes too
            assert await subject.is_gone()
        finally:
            await ensure_definitions(client, KINDS)  # the server is the other tests' too
            await client.delete(Node, "n")
