"""Fleets grow, shrink, and get new images, one after the other and at once; one is deleted and made anew."""

import asyncio
import contextlib

import kubeloop as k
from kubeloop.testing import Process, Scenario, World

from .fleets import LABEL, Fleet, Fleets, FleetSpec, Worker, WorkerSpec, owned, run

PROMISED = "example.dev/promised"
READY_AFTER_S = (0.2, 2.0)
SIZE = 3


async def get_ready(world: World) -> None:
    """What a kubelet does: each worker is ready some time after it was made."""
    seen: dict[str, float] = {}
    while True:
        await asyncio.sleep(0.3)
        for worker in world.list(Worker):
            meta = worker.metadata
            if not worker.status.ready and world.now >= seen.setdefault(
                meta.uid, world.now + world.random.uniform(*READY_AFTER_S)
            ):
                patch = k.MergePatch({"status": {"ready": True}})
                with contextlib.suppress(k.NotFound, k.Conflict):
                    await world.client.patch(
                        Worker, meta.name, patch, namespace=meta.namespace, subresource="status", uid=meta.uid
                    )


async def make(world: World) -> None:
    world.start("kubelet", lambda _: get_ready(world), reliable=True)
    foreign = k.ObjectMeta(name="web-9", namespace="default", labels={LABEL: "web"})
    await world.client.create(Worker(metadata=foreign, spec=WorkerSpec(image="a stranger's")))
    for name in ("web", "db"):
        spec = FleetSpec(size=SIZE, image="v1")
        await world.client.create(Fleet(metadata=k.ObjectMeta(name=name, namespace="default"), spec=spec))


async def go_into_service(world: World) -> None:
    """From now on a fleet that is whole promises to stay so, but for one worker."""
    for _ in range(300):
        await asyncio.sleep(0.2)
        fleets = world.list(Fleet)
        if all(k.is_true(one.status.conditions, "Ready", generation=one.metadata.generation) for one in fleets):
            break
    for fleet in world.list(Fleet):
        if k.is_true(fleet.status.conditions, "Ready", generation=fleet.metadata.generation):
            await change(world, fleet.metadata.name, {"metadata": {"annotations": {PROMISED: str(SIZE - 1)}}})


async def change(world: World, name: str, body: dict[str, object]) -> None:
    await world.client.patch(Fleet, name, k.MergePatch(body), namespace="default")


async def new_image(world: World) -> None:
    await change(world, "web", {"spec": {"image": "v2"}})


async def grow(world: World) -> None:
    await change(world, "web", {"spec": {"size": SIZE + 1}})


async def change_its_mind(world: World) -> None:
    for image in ("v3", "v4", "v5"):
        await change(world, "web", {"spec": {"image": image}})
        await asyncio.sleep(world.random.uniform(0, 1))


async def shrink(world: World) -> None:
    await change(world, "web", {"spec": {"size": SIZE}})


async def make_anew(world: World) -> None:
    """Its workers are for the garbage collector, and in the way of the new one's until then."""
    await world.client.delete(Fleet, "db", namespace="default")
    spec = FleetSpec(size=2, image="v9")
    await world.client.create(Fleet(metadata=k.ObjectMeta(name="db", namespace="default"), spec=spec))


def a_promise_is_kept(world: World) -> None:
    workers = world.list(Worker)
    for fleet in world.list(Fleet):
        promised = int(fleet.metadata.annotations.get(PROMISED, "0"))
        ready = sum(one.status.ready for one in owned(fleet, workers))
        assert ready >= promised, f"{ready} workers of fleet {fleet.metadata.name} are ready, {promised} were promised"


def ready_is_said_of_what_is_wanted(world: World) -> None:
    """A fleet that is Ready at its generation has that generation's workers."""
    workers = world.list(Worker)
    for fleet in world.list(Fleet):
        if k.is_true(fleet.status.conditions, "Ready", generation=fleet.metadata.generation):
            right = [one for one in owned(fleet, workers) if one.spec.image == fleet.spec.image]
            assert len(right) >= fleet.spec.size, f"fleet {fleet.metadata.name} is not Ready, and says so"


def strangers_are_left_alone(world: World) -> None:
    if world.list(Fleet):
        assert world.get(Worker, "web-9", namespace="default") is not None, "a stranger's worker was deleted"


def each_fleet_is_whole(world: World) -> None:
    workers = world.list(Worker)
    for fleet in world.list(Fleet):
        images = [one.spec.image for one in owned(fleet, workers)]
        assert images == [fleet.spec.image] * fleet.spec.size, f"fleet {fleet.metadata.name} has {images}"
        assert (fleet.status.ready, fleet.status.leaving) == (fleet.spec.size, "")
        assert fleet.status.observed_generation == fleet.metadata.generation
        assert k.is_true(fleet.status.conditions, "Ready", generation=fleet.metadata.generation)


def scenario(name: str, fleets: type[Fleets] = Fleets, *, module: str = __name__) -> Scenario:
    """Of the sample, or of one with a bug."""

    async def main(process: Process) -> None:
        await run(process, fleets)

    return Scenario(
        name=name,
        controller=main,
        steps=(make, go_into_service, new_image, grow, change_its_mind, shrink, make_anew),
        kinds=(Fleet, Worker),
        replicas=2,
        always=(a_promise_is_kept, ready_is_said_of_what_is_wanted, strangers_are_left_alone),
        finally_=(each_fleet_is_whole,),
        module=module,
    )


FLEETS = scenario("fleets")
