"""What becomes of ports whose node gives no receipt, on a real API server. Each time the sandbox is wired."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kubeloop import Informer, KubeObject, MergePatch, Namespace, Node, ObjectKey, ObjectMeta
from kubeloop.testing import ControlPlane
from kuryr.daemon.cni.protocol import Command
from kuryr.model.machines import OUT_OF_SERVICE
from kuryr.model.resources import KuryrNode, KuryrNodeSpec, KuryrPort, KuryrPortPool

from ..ports.test_on_a_server import Cluster, WholePod, is_deleting, is_gone, report, running


@asynccontextmanager
async def wired(plane: ControlPlane) -> AsyncIterator[tuple[Cluster, KuryrPort]]:
    """A node with one pod."""
    async with running(plane) as cluster:
        uid = await cluster.create_pod()
        await cluster.agent.add(cluster.request(Command.ADD, uid))
        claim = await cluster.claim(lambda claim: claim is not None and claim.status.plugged)
        assert claim is not None
        yield cluster, claim


async def becomes(
    cluster: Cluster, kind: type[KubeObject], name: str, condition: Callable[[KubeObject | None], bool]
) -> None:
    """As soon as the object satisfies the condition."""
    informer = Informer(cluster.client, kind)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        following = group.create_task(informer.run())
        await informer.wait_for(ObjectKey("", name), condition)
        following.cancel()


def port_of(claim: KuryrPort) -> str:
    return claim.spec.interfaces[0].port_id


def quarantined(pool: KubeObject | None) -> list[str]:
    assert isinstance(pool, KuryrPortPool)
    return [entry.port_id for entry in pool.status.quarantine]


async def test_the_port_of_a_node_that_was_deleted_is_deleted_and_its_pool_goes(control_plane: ControlPlane) -> None:
    async with wired(control_plane) as (cluster, claim):
        await cluster.remove_pod()
        await cluster.claim(is_deleting)
        assert port_of(claim) in cluster.port_ids()
        await cluster.client.delete(Node, cluster.node)
        await cluster.claim(is_gone)
        assert port_of(claim) not in cluster.port_ids()
        await cluster.client.delete(KuryrNode, cluster.node)  # as its owner's deletion does
        await becomes(cluster, KuryrPortPool, claim.spec.pool, lambda pool: pool is None)
        assert cluster.port_ids() == set()


async def test_a_kuryr_node_without_its_node_gets_no_pool_and_one_with_it_does(control_plane: ControlPlane) -> None:
    async with running(control_plane) as cluster:
        name = f"{cluster.node}-2"
        await cluster.client.create(KuryrNode(metadata=ObjectMeta(name=name), spec=KuryrNodeSpec(node_uid="gone")))
        await report(cluster.client, name, host_id=name)
        await cluster.create_pod()  # later than that
        await cluster.claim(lambda claim: claim is not None)
        assert await pools_of(cluster, name) == []
        uid = (await cluster.client.create(Node(metadata=ObjectMeta(name=name)))).metadata.uid
        await cluster.client.patch(KuryrNode, name, MergePatch({"spec": {"nodeUID": uid}}))
        await becomes(cluster, KuryrNode, name, lambda node: isinstance(node, KuryrNode) and bool(node.spec.interface))
        assert [pool.spec.node_uid for pool in await pools_of(cluster, name)] == [uid]


async def pools_of(cluster: Cluster, node: str) -> list[KuryrPortPool]:
    return [pool for pool in (await cluster.client.list(KuryrPortPool)).items if pool.spec.node == node]


async def test_the_port_of_a_node_out_of_service_is_deleted_and_those_of_living_pods_are_not(
    control_plane: ControlPlane,
) -> None:
    async with wired(control_plane) as (cluster, claim):
        await cluster.create_pod("other")
        other = await cluster.claim(lambda claim: claim is not None, "other")
        assert other is not None
        await cluster.remove_pod()
        await cluster.claim(is_deleting)
        taints = [{"key": OUT_OF_SERVICE, "effect": "NoExecute"}]
        await cluster.client.patch(Node, cluster.node, MergePatch({"spec": {"taints": taints}}))
        await cluster.claim(is_gone)
        assert port_of(claim) not in cluster.port_ids()
        assert port_of(other) in cluster.port_ids()


async def test_a_node_that_registers_again_gets_a_pool_of_its_own_and_gives_the_receipts(
    control_plane: ControlPlane,
) -> None:
    async with wired(control_plane) as (cluster, claim):
        await cluster.client.delete(Node, cluster.node)
        await cluster.client.create(Node(metadata=ObjectMeta(name=cluster.node)))
        await cluster.client.delete(KuryrNode, cluster.node)
        await cluster.remove_pod()
        await cluster.claim(is_deleting)
        await asyncio.sleep(0.5)
        assert port_of(claim) in cluster.port_ids(), "the node that is there sees the sandbox"
        await cluster.agent.delete(cluster.request(Command.DEL, claim.spec.pod_uid))
        await cluster.claim(is_gone)
        await becomes(cluster, KuryrPortPool, claim.spec.pool, lambda pool: pool is None)
        assert cluster.port_ids() == set()


async def test_a_silent_node_blocks_no_namespace_and_its_port_goes_to_nobody(control_plane: ControlPlane) -> None:
    async with wired(control_plane) as (cluster, claim):
        await cluster.client.delete(Namespace, cluster.namespace)
        await cluster.remove_pod()
        await cluster.claim(is_gone)
        pool = await cluster.client.get(KuryrPortPool, claim.spec.pool)
        assert quarantined(pool) == [port_of(claim)]
        elsewhere = await new_pod(cluster)
        assert port_of(elsewhere) != port_of(claim)
        assert port_of(claim) in cluster.port_ids()
        await cluster.agent.delete(cluster.request(Command.DEL, claim.spec.pod_uid))
        await becomes(cluster, KuryrPortPool, claim.spec.pool, lambda pool: not quarantined(pool))
        async with asyncio.timeout(20):
            await cluster.neutron.deleting.wait()


async def new_pod(cluster: Cluster) -> KuryrPort:
    """Of another namespace, on the same node."""
    spec = {"nodeName": cluster.node, "containers": [{"name": "c", "image": "i"}]}
    namespace = f"{cluster.namespace}-2"
    await cluster.client.create(Namespace(metadata=ObjectMeta(name=namespace)))
    await cluster.client.create(WholePod(metadata=ObjectMeta(name="p", namespace=namespace), spec=spec))
    async with asyncio.timeout(20):
        claim = await cluster.claims.wait_for(ObjectKey(namespace, "p"), lambda claim: claim is not None)
    assert claim is not None
    return claim
