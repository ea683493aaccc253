"""Controllers and a node's agent on a real API server; Neutron, kernel and Open vSwitch are fakes."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec
import pytest

from kubeloop import (
    Client,
    Informer,
    KubeObject,
    LeaseName,
    MergePatch,
    Namespace,
    Node,
    ObjectKey,
    ObjectMeta,
    Pod,
    Resource,
    connect,
    open_runtime,
)
from kubeloop.testing import ControlPlane
from kuryr.cli.controller import assemble
from kuryr.daemon.agent import Agent
from kuryr.daemon.arbiter import ports_of
from kuryr.daemon.cni.protocol import CniCode, CniError, CniRequest, Command, PodArgs
from kuryr.daemon.kernel import KernelError
from kuryr.daemon.local_copy import LocalCopy
from kuryr.daemon.readiness import Readiness
from kuryr.daemon.receipts import Receipts
from kuryr.daemon.wiring import Wiring
from kuryr.model.configuration import Configuration, Pools, Sweep
from kuryr.model.ownership import ClusterId
from kuryr.model.resources import KuryrNode, KuryrNodeSpec, KuryrPort, KuryrPortPool
from kuryr.openstack.neutron import Network, Neutron, Subnet
from kuryr.openstack.placement import Placement

from ..conftest import acting_as, refusals
from ..daemon.fakes import FakeOvn, FakeVswitch, HandKernel, MemoryFile
from ..pools.neutron_server import NeutronServer

LEASE = LeaseName("kuryr-system", "kuryr-controller")


class WholePod(KubeObject, frozen=True, kw_only=True):
    """A pod as it is created: with containers."""

    resource: ClassVar[Resource] = Pod.resource
    spec: dict[str, Any] = msgspec.field(default_factory=dict)


class BusyKernel(HandKernel):
    """Refuses so many removals of links."""

    busy = 0

    async def detach(self, host_ifname: str) -> None:
        if self.busy:
            self.busy -= 1
            raise KernelError("the link is busy")
        await super().detach(host_ifname)


class Cluster:
    """One node with its agent, and a namespace of the node's name. `client` may all, `agents` what it must."""

    def __init__(
        self,
        client: Client,
        agents: Client,
        claims: Informer[KuryrPort],
        pools: Informer[KuryrPortPool],
        node: str,
    ) -> None:
        self.client = client
        self.claims = claims
        self.node = self.namespace = node
        self.neutron = NeutronServer(ids=node)  # no other test's, whose objects are still there
        self.kernel = BusyKernel("/run/netns/a")
        wiring = Wiring(self.kernel, vswitch := FakeVswitch("br-int"))
        copy = LocalCopy(MemoryFile(), claims, node=node)
        self.receipts = Receipts(agents, claims, pools, wiring, copy)
        readiness = Readiness(vswitch, FakeOvn())
        self.agent = Agent(claims, wiring, self.receipts, copy, readiness, add_timeout_s=20, plug_timeout_s=5)

    def port_ids(self) -> set[str]:
        """Of the node's ports in Neutron: other tests' nodes are still there, and have some too."""
        return {port["id"] for port in self.neutron.ports.values() if port["binding:host_id"] == self.node}

    async def create_pod(self, name: str = "p") -> str:
        spec = {"nodeName": self.node, "containers": [{"name": "c", "image": "i"}]}
        pod = await self.client.create(WholePod(metadata=ObjectMeta(name=name, namespace=self.namespace), spec=spec))
        return pod.metadata.uid

    async def remove_pod(self, name: str = "p") -> None:
        await self.client.delete(Pod, name, namespace=self.namespace, grace_period_s=0)

    def request(self, command: Command, pod_uid: str, name: str = "p") -> CniRequest:
        pod = PodArgs(namespace=self.namespace, name=name, uid=pod_uid)
        return CniRequest(
            command=command, cni_version="1.0.0", container_id="c1", netns="/run/netns/a", ifname="eth0", pod=pod
        )

    async def claim(self, condition: Callable[[KuryrPort | None], bool], name: str = "p") -> KuryrPort | None:
        """The pod's claim once it satisfies the condition."""
        async with asyncio.timeout(20):
            return await self.claims.wait_for(ObjectKey(self.namespace, name), condition)


async def report(client: Client, node: str, *, host_id: str) -> None:
    await client.patch(KuryrNode, node, MergePatch({"status": {"hostID": host_id}}), subresource="status")


@asynccontextmanager
async def running(
    plane: ControlPlane, name: str = "", *, security_groups: tuple[str, ...] = (), sweep: Sweep | None = None
) -> AsyncIterator[Cluster]:
    """A new node that has reported, or one of before. Controllers and agent have the rights of deploy/rbac.yaml."""
    is_new, name = not name, name or f"t-{uuid.uuid4().hex[:8]}"
    async with (
        connect(plane.config(), user_agent="test/1", field_manager="test") as client,
        open_runtime(acting_as(plane, "kuryr-controller"), name="kuryr", lease=LEASE) as controller,
        open_runtime(acting_as(plane, "kuryr-daemon", node=name), name="kuryr") as daemon,
    ):
        if is_new:
            await client.create(Namespace(metadata=ObjectMeta(name=name)))
            uid = (await client.create(Node(metadata=ObjectMeta(name=name)))).metadata.uid
            await client.create(KuryrNode(metadata=ObjectMeta(name=name), spec=KuryrNodeSpec(node_uid=uid)))
            await report(client, name, host_id=name)
        of_node = f"spec.node={name}"
        claims = daemon.informer(KuryrPort, field_selector=of_node, indexers={"port": ports_of})
        pools = daemon.informer(KuryrPortPool, field_selector=of_node)
        cluster = Cluster(client, daemon.client, claims, pools, name)
        pool_options = Pools(cool_down_s=0.1, quarantine_after_s=0.2, list_every_s=1.0)
        configuration = Configuration(pools=pool_options, sweep=sweep or Sweep())
        placement = Placement(
            Network("net", "pods", 1442), (Subnet("s", "net", "10.0.0.0/16", 4, "10.0.0.1"),), security_groups
        )

        async def facts() -> tuple[ClusterId, Placement]:
            return ClusterId(name), placement

        assemble(controller, configuration, Neutron(cluster.neutron), facts)
        daemon.lead_with(cluster.receipts.controller.run)
        daemon.lead_with(cluster.receipts.quarantine.run)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one.run()) for one in (controller, daemon)]
            await claims.wait_synced()
            yield cluster
            for task in tasks:
                task.cancel()
        assert not refusals(plane)


def is_gone(claim: KuryrPort | None) -> bool:
    return claim is None


def is_deleting(claim: KuryrPort | None) -> bool:
    return claim is None or claim.metadata.deleting


async def test_a_pod_is_wired_with_a_neutron_port_and_both_go_with_it(control_plane: ControlPlane) -> None:
    async with running(control_plane) as cluster:
        uid = await cluster.create_pod()
        result = await cluster.agent.add(cluster.request(Command.ADD, uid))
        claim = await cluster.claim(lambda claim: claim is not None and claim.status.plugged)
        assert claim is not None
        assert claim.status.sandbox == "c1"
        pools = Informer(cluster.client, KuryrPortPool)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            following = group.create_task(pools.run())
            await pools.wait_for(
                ObjectKey("", claim.spec.pool), lambda pool: pool is not None and pool.status.in_use == 2
            )
            following.cancel()
        node = (await cluster.client.get(KuryrNode, cluster.node)).spec.interface
        assert node is not None
        assert cluster.port_ids() == {claim.spec.interfaces[0].port_id, node.port_id}
        assert result.ips[0].address == f"{claim.spec.interfaces[0].addresses[0].ip}/16"
        await cluster.remove_pod()
        await cluster.claim(is_deleting)
        assert cluster.port_ids(), "the sandbox may still use it"
        await cluster.agent.delete(cluster.request(Command.DEL, uid))
        await cluster.claim(is_gone)
        assert cluster.kernel.taps == []


async def test_a_claim_goes_although_a_first_del_failed_half_way(control_plane: ControlPlane) -> None:
    async with running(control_plane) as cluster:
        uid = await cluster.create_pod()
        await cluster.agent.add(cluster.request(Command.ADD, uid))
        await cluster.remove_pod()
        await cluster.claim(is_deleting)
        cluster.kernel.busy = 1
        with pytest.raises(CniError) as refused:
            await cluster.agent.delete(cluster.request(Command.DEL, uid))
        assert refused.value.code is CniCode.TRY_AGAIN_LATER
        await cluster.agent.delete(cluster.request(Command.DEL, uid))
        await cluster.claim(is_gone)


async def test_a_pod_made_again_while_its_port_was_made_gets_a_claim_of_its_own_at_once(
    control_plane: ControlPlane,
) -> None:
    async with running(control_plane) as cluster:
        claimed: list[str] = []
        cluster.claims.add_handler(lambda change: claimed.append(change.object.spec.pod_uid))
        cluster.neutron.creates_go_on.clear()
        await cluster.create_pod()
        async with asyncio.timeout(10):
            await cluster.neutron.creating.wait()
        await cluster.remove_pod()
        second = await cluster.create_pod()
        pods = Informer(cluster.client, Pod, namespace=cluster.namespace)
        async with asyncio.TaskGroup() as group:
            following = group.create_task(pods.run())
            await pods.wait_for(ObjectKey(cluster.namespace, "p"), lambda pod: pod is not None)
            following.cancel()
        cluster.neutron.creates_go_on.set()
        await cluster.claim(lambda claim: claim is not None and claim.spec.pod_uid == second)
        assert set(claimed) == {second}
        await cluster.remove_pod()
        await cluster.claim(is_gone)


@pytest.mark.parametrize("groups", ["a", "b", "c", "d"])
async def test_a_new_pod_gets_a_port_with_the_security_groups_that_are_configured_now(
    control_plane: ControlPlane, groups: str
) -> None:
    async with running(control_plane, security_groups=("old",)) as cluster:
        await cluster.create_pod("before")
        await cluster.claim(lambda claim: claim is not None, "before")
    async with running(control_plane, cluster.node, security_groups=(groups,)) as cluster:
        await cluster.create_pod("after")
        await cluster.claim(lambda claim: claim is not None, "after")
        assert all(port["security_groups"] == [groups] for port in cluster.neutron.ports.values())
        await cluster.remove_pod("before")
        await cluster.remove_pod("after")
        await cluster.claim(is_gone, "before")
        await cluster.claim(is_gone, "after")


async def test_a_pod_of_a_node_that_has_not_reported_is_given_its_port_when_it_has(control_plane: ControlPlane) -> None:
    async with running(control_plane) as cluster:
        await cluster.create_pod("first")
        await cluster.claim(lambda claim: claim is not None, "first")
        await report(cluster.client, cluster.node, host_id="")
        await cluster.create_pod("second")
        await report(cluster.client, cluster.node, host_id="another")
        await cluster.claim(lambda claim: claim is not None, "second")
        for name in ("first", "second"):
            await cluster.remove_pod(name)
            await cluster.claim(is_gone, name)
