"""The scenes of the cluster's own controllers, on the simulated cluster in virtual time and on the real one."""

import asyncio
from collections.abc import Iterator
from random import Random

import pytest

import kubeloop as k
from kubeloop.simulator.controllers.cluster import run_controllers
from kubeloop.testing import Assets, ControlPlane
from kubeloop.testing.world import World, simulate

from .hand import Hand
from .scenes import SCENES, Scene


def named(scene: Scene) -> str:
    return scene.__name__


async def play(scene: Scene, client: k.Client) -> None:
    namespace = f"scene-{SCENES.index(scene)}"
    await client.create(k.Namespace(metadata=k.ObjectMeta(name=namespace)))
    try:
        await scene(Hand(client, namespace))
    except BaseException as error:
        error.add_note(f"in {scene.__name__}")
        raise


@pytest.mark.parametrize("scene", SCENES, ids=named)
def test_on_the_simulated_cluster(scene: Scene) -> None:
    async def scenario(world: World) -> None:
        world.start("cluster", lambda process: run_controllers(process, world.servers[0]), reliable=True)
        await play(scene, world.client)

    for seed in range(3):
        simulate(scenario, seed=seed)


@pytest.fixture(scope="module")
def managed(assets: Assets) -> Iterator[ControlPlane]:
    """An API server with the real controller manager."""
    if assets.kube_controller_manager is None:
        pytest.skip("kube-controller-manager not found")
    plane = ControlPlane(assets=assets, controller_manager=True)
    asyncio.run(plane.start())
    try:
        yield plane
    finally:
        plane.stop()


async def test_on_kube_controller_manager(managed: ControlPlane) -> None:
    """All at once: most of the time they wait."""
    scenes = list(SCENES)
    Random(0).shuffle(scenes)
    async with k.connect(managed.config(), user_agent="scenes") as client, asyncio.TaskGroup() as group:
        for scene in scenes:
            group.create_task(play(scene, client), name=scene.__name__)
