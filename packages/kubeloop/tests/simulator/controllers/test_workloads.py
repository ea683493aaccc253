"""Deployments and pods come to life, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import kubeloop as k
from kubeloop.simulator.controllers.cluster import CLEANING, EVERYTHING, Name, run_controllers
from kubeloop.simulator.controllers.kinds import Deployment, Node, Pod, ReplicaSet
from kubeloop.simulator.controllers.workloads import HASH, REVISION
from kubeloop.simulator.manifests import make_nodes
from kubeloop.testing.world import World, simulate

Scenario = Callable[[World], Awaitable[None]]


def play(
    scenario: Scenario, *, only: tuple[Name, ...] = EVERYTHING, nodes: int = 2, pods_end_after_s: float = 0.0
) -> str:
    """Runs it in a cluster with nodes; gives the trace."""

    async def main(world: World) -> None:
        make_nodes(world.servers[0], nodes)
        world.start(
            "cluster",
            lambda process: run_controllers(process, world.servers[0], only=only, pods_end_after_s=pods_end_after_s),
            reliable=True,
        )
        await scenario(world)

    return str(simulate(main, seed=1))


async def deploy(world: World, image: str = "v1", **spec: Any) -> Deployment:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}
    body = {"spec": {"replicas": 4, "selector": {"matchLabels": labels}, "template": template, **spec}}
    return await world.client.patch(Deployment, "web", k.ApplyPatch(body, force=True), namespace="default")


async def pods(world: World) -> list[Pod]:
    return list((await world.client.list(Pod, namespace="default")).items)


async def sets(world: World) -> dict[str, ReplicaSet]:
    """By the image of their template."""
    found = (await world.client.list(ReplicaSet, namespace="default")).items
    return {one.spec.template["spec"]["containers"][0]["image"]: one for one in found}


async def settled(world: World) -> Deployment:
    await world.quiet(for_s=5)
    return await world.client.get(Deployment, "web", namespace="default")


def watched(world: World, image: str) -> list[tuple[int, int, int]]:
    """From now on, after each change of a pod: how many there are, how many are ready, how many have the image."""
    seen: list[tuple[int, int, int]] = []

    def note(_: Any) -> None:
        bodies = [one.body for one in world.storage.objects("pods").values()]
        bodies = [one for one in bodies if "deletionTimestamp" not in one["metadata"]]
        ready = sum(one["status"].get("phase") == "Running" for one in bodies)
        seen.append((len(bodies), ready, sum(one["spec"]["containers"][0]["image"] == image for one in bodies)))

    world.storage.subscribe(note)
    return seen


def test_the_pods_of_a_deployment_run_spread_over_the_nodes() -> None:
    async def scenario(world: World) -> None:
        await deploy(world)
        deployment = await settled(world)
        status = deployment.status
        assert (status.replicas, status.updated_replicas, status.ready_replicas, status.available_replicas) == (4,) * 4
        assert status.observed_generation == deployment.metadata.generation
        assert k.is_true(status.conditions, "Available")
        found = await pods(world)
        assert sorted(pod.spec.node_name for pod in found) == ["node-1", "node-1", "node-2", "node-2"]
        assert all(pod.ready and pod.status.phase == "Running" for pod in found)
        assert len({pod.status.pod_ip for pod in found}) == 4
        (owner,) = (await sets(world)).values()
        assert owner.key.name == f"web-{owner.metadata.labels[HASH]}"
        assert all(pod.metadata.labels[HASH] == owner.metadata.labels[HASH] for pod in found)
        assert deployment.metadata.annotations[REVISION] == owner.metadata.annotations[REVISION] == "1"

    play(scenario)


@pytest.mark.parametrize(
    ("surge", "unavailable", "most", "least"),
    [(1, 0, 5, 4), (0, 1, 4, 3), ("25%", "25%", 5, 3), ("100%", 0, 8, 4), (0, 0, 4, 3), (0, "100%", 4, 0)],
)
def test_a_rolling_update_keeps_within_its_bounds(
    surge: int | str, unavailable: int | str, most: int, least: int
) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}

    async def scenario(world: World) -> None:
        await deploy(world, "v1", strategy=strategy)
        await settled(world)
        seen = watched(world, "v2")
        await deploy(world, "v2", strategy=strategy)
        deployment = await settled(world)
        assert max(total for total, _, _ in seen) <= most
        assert min(ready for _, ready, _ in seen) >= least
        assert seen[-1] == (4, 4, 4)
        found = await sets(world)
        assert (found["v1"].spec.replicas, found["v2"].spec.replicas) == (0, 4)
        assert deployment.metadata.annotations[REVISION] == "2"

    play(scenario)


def test_recreation_never_has_pods_of_two_templates() -> None:
    async def scenario(world: World) -> None:
        await deploy(world, "v1", strategy={"type": "Recreate"})
        await settled(world)
        seen = watched(world, "v2")
        await deploy(world, "v2", strategy={"type": "Recreate"})
        await settled(world)
        assert all(new in (0, total) for total, _, new in seen)
        assert seen[-1] == (4, 4, 4)

    play(scenario, pods_end_after_s=3)


def test_a_template_that_comes_back_is_rolled_out_by_its_old_set_as_the_newest_revision() -> None:
    async def scenario(world: World) -> None:
        for image in ("v1", "v2", "v1"):
            await deploy(world, image)
            deployment = await settled(world)
        found = await sets(world)
        assert sorted(found) == ["v1", "v2"]
        assert (found["v1"].spec.replicas, found["v1"].metadata.annotations[REVISION]) == (4, "3")
        assert deployment.metadata.annotations[REVISION] == "3"

    play(scenario)


def test_scaling_makes_no_new_set_and_a_paused_deployment_rolls_nothing_out() -> None:
    async def scenario(world: World) -> None:
        await deploy(world)
        await settled(world)
        await deploy(world, replicas=1)
        assert (await settled(world)).status.replicas == 1
        assert len(await sets(world)) == 1
        await deploy(world, "v2", replicas=1, paused=True)
        await settled(world)
        assert sorted(await sets(world)) == ["v1"]

    play(scenario)


def test_a_deployment_adopts_the_sets_that_another_left() -> None:
    async def scenario(world: World) -> None:
        await deploy(world)
        await settled(world)
        names = {pod.key.name for pod in await pods(world)}
        await world.client.delete(Deployment, "web", namespace="default", propagation_policy="Orphan")
        await world.quiet(for_s=5)
        again = await deploy(world)
        await settled(world)
        (left,) = (await sets(world)).values()
        assert [one.uid for one in left.metadata.owner_references] == [again.metadata.uid]
        assert {pod.key.name for pod in await pods(world)} == names

    play(scenario)


def test_only_so_many_old_sets_are_kept() -> None:
    async def scenario(world: World) -> None:
        for image in ("v1", "v2", "v3", "v4"):
            await deploy(world, image, revisionHistoryLimit=1)
            await settled(world)
        assert sorted(await sets(world)) == ["v3", "v4"]

    play(scenario)


def test_a_deployment_goes_with_its_sets_and_pods() -> None:
    async def scenario(world: World) -> None:
        await deploy(world)
        await settled(world)
        await world.client.delete(Deployment, "web", namespace="default", propagation_policy="Foreground")
        await world.quiet(for_s=5)
        assert not await sets(world)
        assert not await pods(world)

    play(scenario)


def test_pods_wait_for_a_node_that_takes_them() -> None:
    async def scenario(world: World) -> None:
        await deploy(world, replicas=1)
        await settled(world)
        (pod,) = await pods(world)
        assert (pod.status.phase, pod.spec.node_name) == ("Pending", "")
        assert [(one.type, one.reason) for one in pod.status.conditions] == [("PodScheduled", "Unschedulable")]
        make_nodes(world.servers[0], 1)
        await settled(world)
        (pod,) = await pods(world)
        assert (pod.status.phase, pod.spec.node_name) == ("Running", "node-1")

    play(scenario, nodes=0)


@pytest.mark.parametrize(
    ("pod", "node"),
    [
        ({}, "node-1"),
        ({"nodeSelector": {"kubernetes.io/hostname": "node-2"}}, "node-2"),
        ({"nodeSelector": {"kubernetes.io/hostname": "node-3"}}, ""),
        ({"nodeSelector": {"kubernetes.io/hostname": "node-4"}}, ""),
        ({"nodeSelector": {"kubernetes.io/hostname": "node-4"}, "tolerations": [{"operator": "Exists"}]}, "node-4"),
        ({"schedulingGates": [{"name": "a.b/c"}]}, ""),
        ({"schedulerName": "another"}, ""),
    ],
)
def test_a_node_must_be_ready_selected_not_cordoned_and_tolerated(pod: dict[str, Any], node: str) -> None:
    async def scenario(world: World) -> None:
        await world.client.patch(Node, "node-3", k.MergePatch({"spec": {"unschedulable": True}}))
        await world.client.patch(
            Node, "node-4", k.MergePatch({"spec": {"taints": [{"key": "x", "effect": "NoSchedule"}]}})
        )
        body = {"spec": {"containers": [{"name": "main", "image": "v1"}], **pod}}
        await world.client.patch(Pod, "alone", k.ApplyPatch(body), namespace="default")
        await world.quiet(for_s=5)
        assert (await pods(world))[0].spec.node_name == node

    play(scenario, nodes=4)


@pytest.mark.parametrize(("end_after_s", "grace_s", "ends_s"), [(0, 30, 0), (10, 30, 10), (10, 5, 5)])
def test_a_pod_that_is_deleted_ends_after_a_while_or_its_grace(end_after_s: float, grace_s: int, ends_s: int) -> None:
    async def scenario(world: World) -> None:
        body = {"spec": {"containers": [{"name": "main", "image": "v1"}], "terminationGracePeriodSeconds": grace_s}}
        await world.client.patch(Pod, "alone", k.ApplyPatch(body), namespace="default")
        await world.quiet(for_s=5)
        began = world.now
        await world.client.delete(Pod, "alone", namespace="default")
        while await pods(world):  # noqa: ASYNC110 - an API server is asked
            await asyncio.sleep(0.1)
        assert abs(world.now - began - ends_s) < 1.2  # times of deletion are whole seconds

    play(scenario, pods_end_after_s=end_after_s)


def test_what_is_not_chosen_does_not_run() -> None:
    async def scenario(world: World) -> None:
        await deploy(world)
        await world.quiet(for_s=5)
        assert not await sets(world)

    play(scenario, only=CLEANING)


def test_the_controllers_may_be_killed_at_any_time() -> None:
    async def scenario(world: World) -> None:
        await deploy(world)
        for _ in range(8):
            await asyncio.sleep(0.007)
            world.processes["cluster"].kill()
            await asyncio.sleep(1.2)
        assert (await settled(world)).status.available_replicas == 4
        await world.client.delete(Deployment, "web", namespace="default")
        for _ in range(5):
            await asyncio.sleep(0.003)
            world.processes["cluster"].kill()
            await asyncio.sleep(1.2)
        await world.quiet(for_s=5)
        assert not await sets(world)
        assert not await pods(world)

    play(scenario)


def test_two_runs_are_the_same() -> None:
    async def scenario(world: World) -> None:
        for image in ("v1", "v2"):
            await deploy(world, image)
            await settled(world)
        await world.client.delete(Deployment, "web", namespace="default")
        await world.quiet(for_s=5)

    assert play(scenario) == play(scenario)


def test_pods_get_nodes_though_somebody_elses_kubelet_runs_them() -> None:
    async def scenario(world: World) -> None:
        await deploy(world)
        await world.quiet(for_s=5)
        assert sorted(pod.spec.node_name for pod in await pods(world)) == ["node-1", "node-1", "node-2", "node-2"]
        assert {pod.status.phase for pod in await pods(world)} == {"Pending"}

    play(scenario, only=(*CLEANING, "scheduling", "workloads"))
