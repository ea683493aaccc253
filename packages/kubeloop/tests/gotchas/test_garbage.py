"""What the garbage collector takes: the real one, and the simulated one."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import pytest

import kubeloop as k
from kubeloop.simulator import SimulatedCluster
from kubeloop.simulator.controllers.cluster import run_controllers
from kubeloop.testing import Assets, ControlPlane


@pytest.fixture(scope="module")
def plane(assets: Assets) -> Iterator[ControlPlane]:
    """With a collector."""
    if assets.kube_controller_manager is None and not os.environ.get("CI"):
        pytest.skip("kube-controller-manager is not there: envtest brings none")
    plane = ControlPlane(assets=assets, controller_manager=True)
    asyncio.run(plane.start())
    try:
        yield plane
    finally:
        plane.stop()


@pytest.fixture(params=["kube-controller-manager", "simulator"])
def cluster(request: pytest.FixtureRequest) -> k.ClusterConfig | SimulatedCluster:
    if request.param == "simulator":
        return SimulatedCluster()
    plane: ControlPlane = request.getfixturevalue("plane")
    return plane.config()


@pytest.fixture
async def client(cluster: k.ClusterConfig | SimulatedCluster) -> AsyncIterator[k.Client]:
    async with k.connect(cluster, user_agent="test/1") as client, asyncio.TaskGroup() as group:
        simulated = isinstance(cluster, SimulatedCluster)
        collector = group.create_task(run_controllers(cluster, cluster.server)) if simulated else None
        yield client
        if collector is not None:
            collector.cancel()


def config_map(name: str, *owners: k.OwnerReference, namespace: str = "default") -> k.ConfigMap:
    return k.ConfigMap(metadata=k.ObjectMeta(name=name, namespace=namespace, owner_references=owners))


async def is_collected(client: k.Client, name: str, namespace: str = "default") -> None:
    async with asyncio.timeout(60):
        while any(one.key.name == name for one in (await client.list(k.ConfigMap, namespace=namespace)).items):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_dependent_whose_owner_is_in_another_namespace_is_collected(client: k.Client) -> None:
    await client.create(k.Namespace(metadata=k.ObjectMeta(name="elsewhere")))
    owner = await client.create(config_map("far-owner"))
    await client.create(config_map("dependent", owner.owner_reference(), namespace="elsewhere"))
    await is_collected(client, "dependent", "elsewhere")
    assert (await client.get(k.ConfigMap, "far-owner", namespace="default")).metadata.uid == owner.metadata.uid


async def test_a_dependent_of_a_former_owner_of_the_name_is_collected(client: k.Client) -> None:
    former = await client.create(config_map("owner"))
    await client.delete(k.ConfigMap, "owner", namespace="default")
    now = await client.create(config_map("owner"))
    await client.create(config_map("of-former", former.owner_reference()))
    await client.create(config_map("of-now", now.owner_reference()))
    await is_collected(client, "of-former")
    assert await client.get(k.ConfigMap, "of-now", namespace="default")


async def test_dependents_go_after_their_owner(client: k.Client) -> None:
    owner = await client.create(config_map("going"))
    await client.create(config_map("left", owner.owner_reference()))
    since = (await client.list(k.ConfigMap)).resource_version
    async with client.watch(k.ConfigMap, resource_version=since) as events:
        await client.delete(k.ConfigMap, "going", namespace="default")
        gone: list[str] = []
        async with asyncio.timeout(60):
            async for event in events:
                if event.type == "DELETED" and event.object is not None:
                    gone.append(event.object.metadata.name)
                if len(gone) == 2:
                    break
    assert gone == ["going", "left"]
