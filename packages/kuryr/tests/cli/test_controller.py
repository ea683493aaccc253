"""The controller as a process: replicas, health, a cloud that is not there yet, and objects that cannot be read."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import msgspec

from kubeloop import Fence, Informer, MergePatch, Namespace, Node, ObjectKey, ObjectMeta, connect, ensure_definitions
from kubeloop.simulator import SimulatedCluster
from kubeloop.testing import ControlPlane
from kuryr.cli.controller import control
from kuryr.model.configuration import Configuration, ControllerOptions, NeutronNetwork, Pools
from kuryr.model.ownership import ClusterId, PoolUid, Slot, device_id, device_owner
from kuryr.model.resources import KINDS, KuryrPortPool, KuryrPortPoolSpec
from kuryr.openstack import errors
from kuryr.openstack.neutron import Api
from kuryr.openstack.session import Answer

from ..conftest import acting_as
from ..pools.neutron_server import NeutronServer
from ..sweeping.test_broom import ANYTHING, Definition, LooseClaim


class Cloud(NeutronServer):
    """With one network, once it is there."""

    def __init__(self) -> None:
        super().__init__()
        self.is_there = False

    def open(self, fence: Fence) -> AbstractAsyncContextManager[Api]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Api]:
            yield self

        return opened()

    async def request(
        self, method: str, path: str, body: bytes = b"", *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Answer:
        if not self.is_there:
            raise errors.Unauthorised("no such user")
        subnet = {"id": "s", "network_id": "net", "cidr": "10.0.0.0/16", "ip_version": 4}
        for collection, one in (("networks", {"id": "net", "name": "pods", "mtu": 1442}), ("subnets", subnet)):
            if path.startswith(f"/v2.0/{collection}"):
                return Answer(200, msgspec.json.encode({collection: [one]}))
        return await super().request(method, path, body, timeout_s=timeout_s, headers=headers)


class Replica:
    """One of two, serving on a port of its own."""

    def __init__(self, plane: ControlPlane, cloud: Cloud) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        configuration = Configuration(
            neutron=NeutronNetwork(network="pods"), controller=ControllerOptions(http=f"127.0.0.1:{self._port}")
        )
        self.run = lambda: control(configuration, acting_as(plane, "kuryr-controller"), cloud.open)

    async def answers(self, path: str, expected: str) -> None:
        """As soon as it does."""
        async with aiohttp.ClientSession() as session, asyncio.timeout(30):
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{self._port}/{path}") as answer:
                        if expected in await answer.text():
                            return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.05)


async def test_a_leader_without_its_cloud_is_alive_and_not_ready_and_a_standby_is_both(
    control_plane: ControlPlane,
) -> None:
    cloud = Cloud()
    leader, standby = Replica(control_plane, cloud), Replica(control_plane, cloud)
    async with asyncio.TaskGroup() as group:
        leading = group.create_task(leader.run())
        await leader.answers("readyz", "[-]servers failed: no such user")
        await leader.answers("healthz", "ok")
        standing_by = group.create_task(standby.run())
        await standby.answers("readyz", "ok")
        await standby.answers("healthz", "ok")
        cloud.is_there = True
        await leader.answers("readyz", "ok")
        cloud.is_there = False
        leading.cancel()
        await standby.answers("readyz", "[-]servers failed: no such user")
        standing_by.cancel()


async def test_while_there_is_a_claim_that_cannot_be_read_every_port_may_be_its() -> None:
    cluster, cloud = SimulatedCluster(), Cloud()
    cloud.is_there = True
    configuration = Configuration(
        cluster_id="c",
        neutron=NeutronNetwork(network="pods"),
        pools=Pools(cool_down_s=0.01),
        controller=ControllerOptions(lease_namespace="default"),
    )
    async with connect(cluster, user_agent="test/1") as client, asyncio.TaskGroup() as group:
        await ensure_definitions(client, KINDS)
        node = (await client.create(Node(metadata=ObjectMeta(name="n")))).metadata.uid
        spec = KuryrPortPoolSpec(node="n", node_uid=node, network_id="net", subnet_ids=("s",))
        pool = (await client.create(KuryrPortPool(metadata=ObjectMeta(name="p"), spec=spec))).metadata.uid
        mark = {"device_owner": device_owner(ClusterId("c")), "device_id": device_id(Slot(PoolUid(pool), 0))}
        cloud.ports["its"] = {"id": "its", "network_id": "net", "mac_address": "02:00:00:00:00:01", **mark}
        loose = {"spec": {"versions": [{"name": "v1alpha1", "served": True, "storage": True, "schema": ANYTHING}]}}
        await client.patch(Definition, "kuryrports.kuryr.openstack.org", MergePatch(loose))
        await client.create(Namespace(metadata=ObjectMeta(name="ns")))
        await client.create(LooseClaim(metadata=ObjectMeta(name="odd", namespace="ns"), spec={"node": 7}))
        running = group.create_task(control(configuration, cluster, cloud.open))
        pools = Informer(client, KuryrPortPool)
        following = group.create_task(pools.run())
        async with asyncio.timeout(20):
            await pools.wait_for(ObjectKey("", "p"), lambda pool: pool is not None and pool.status.in_use == 1)
            assert not cloud.deleting.is_set()
            await client.delete(LooseClaim, "odd", namespace="ns")
            await cloud.deleting.wait()
        running.cancel()
        following.cancel()
