"""Pods come, go, and come back under their names; there are as many slots as pods at most, so some wait for one."""

import asyncio
import contextlib
from typing import Any, ClassVar

import kubeloop as k
from kubeloop.testing import Process, Scenario, World

from .slots import ANNOTATION, SIZE, Slot, Slots, run


class WholePod(k.KubeObject, frozen=True, kw_only=True):
    """With the containers, without which there is no pod."""

    resource: ClassVar[k.Resource] = k.Pod.resource

    spec: dict[str, Any]


async def make_pods(world: World, *names: str) -> None:
    for name in names:
        metadata = k.ObjectMeta(name=name, namespace="default")
        with contextlib.suppress(k.AlreadyExists):
            await world.client.create(WholePod(metadata=metadata, spec={"containers": [{"name": "c", "image": "i"}]}))


async def delete_pods(world: World, *names: str) -> None:
    for name in names:
        with contextlib.suppress(k.NotFound):
            await world.client.delete(k.Pod, name, namespace="default", grace_period_s=0)


async def three(world: World) -> None:
    await make_pods(world, "a", "b", "c")


async def one_goes(world: World) -> None:
    await delete_pods(world, "b")


async def one_is_made_anew(world: World) -> None:
    """As a StatefulSet does: its name is the same, and it is another pod."""
    await delete_pods(world, "a")
    await make_pods(world, "a")


async def one_more_than_there_is_room(world: World) -> None:
    await make_pods(world, "b", "d", "e")


async def some_are_made_anew(world: World) -> None:
    for name in ("c", "d"):
        await delete_pods(world, name)
        await asyncio.sleep(world.random.uniform(0, 0.5))
        await make_pods(world, name)


async def one_more_goes(world: World) -> None:
    await delete_pods(world, "a")


def no_slot_is_of_two_pods(world: World) -> None:
    owners: dict[str, str] = {}
    for pod in world.list(k.Pod):
        slot = pod.metadata.annotations.get(ANNOTATION)
        if slot is not None:
            other = owners.setdefault(slot, pod.metadata.name)
            assert other == pod.metadata.name, f"{slot} is used by pods {other} and {pod.metadata.name}"


def a_slot_in_use_is_its_pods(world: World) -> None:
    slots = {slot.metadata.name: slot for slot in world.list(Slot)}
    for pod in world.list(k.Pod):
        name = pod.metadata.annotations.get(ANNOTATION)
        if name is not None:
            assert name in slots, f"{name} is free, and pod {pod.metadata.name} uses it"
            assert slots[name].spec.pod_uid == pod.metadata.uid, f"{name} is not that of pod {pod.metadata.name}"


def every_pod_has_one_slot(world: World) -> None:
    """As far as there are slots; and nobody else has one."""
    pods = world.list(k.Pod)
    claimed = sorted(slot.spec.pod_uid for slot in world.list(Slot))
    served = sorted(pod.metadata.uid for pod in pods if ANNOTATION in pod.metadata.annotations)
    assert claimed == served, f"slots are claimed for {claimed}, pods have them that are {served}"
    assert len(served) == min(len(pods), SIZE), "a pod waits for ever"


def scenario(name: str, slots: type[Slots] = Slots, *, module: str = __name__) -> Scenario:
    """Of the sample, or of one with a bug."""

    async def main(process: Process) -> None:
        await run(process, slots)

    return Scenario(
        name=name,
        controller=main,
        steps=(three, one_goes, one_is_made_anew, one_more_than_there_is_room, some_are_made_anew, one_more_goes),
        kinds=(Slot,),
        replicas=2,
        always=(no_slot_is_of_two_pods, a_slot_in_use_is_its_pods),
        finally_=(every_pod_has_one_slot,),
        module=module,
    )


SLOTS = scenario("slots")
