"""Disks in a cloud: made, resized, deleted, made again under their name, more than the quota allows; and a backup that
puts a finalizer of its own on each.
"""

import asyncio
import contextlib

import kubeloop as k
from kubeloop.testing import Process, Scenario, World

from .cloud import Cloud, CloudClient
from .disks import TAG, Disk, Disks, DiskSpec, run

BACKUP = "backup.example.dev/copy"
QUOTA = 5


async def make(world: World) -> None:
    for name in ("a", "b"):
        await make_one(world, name)


async def make_one(world: World, name: str, gib: int = 1) -> None:
    with contextlib.suppress(k.AlreadyExists):  # it may be still going
        await world.client.create(Disk(metadata=k.ObjectMeta(name=name, namespace="default"), spec=DiskSpec(gib=gib)))


async def resize(world: World) -> None:
    for name in ("a", "b"):
        await world.client.patch(Disk, name, k.MergePatch({"spec": {"gib": 2}}), namespace="default")


async def delete(world: World, name: str = "a") -> None:
    with contextlib.suppress(k.NotFound):
        await world.client.delete(Disk, name, namespace="default")


async def make_and_delete_at_once(world: World) -> None:
    await make_one(world, "hasty")
    await asyncio.sleep(world.random.uniform(0, 0.1))
    await delete(world, "hasty")


async def make_anew(world: World) -> None:
    """As soon as the name is free."""
    await delete(world)
    for _ in range(600):
        if world.get(Disk, "a", namespace="default") is None:
            break
        await asyncio.sleep(0.1)
    await make_one(world, "a", gib=3)


async def want_too_many(world: World) -> None:
    for name in ("c", "d", "e", "f"):
        await make_one(world, name)


async def back_up(world: World) -> None:
    """Another controller's finalizer comes, and goes when its copy is made."""
    for disk in world.list(Disk):
        if not disk.metadata.deleting and await k.add_finalizer(world.client, disk, BACKUP):
            world.backend.under_backup.add(disk.metadata.uid)


async def back_up_a_new_one(world: World) -> None:
    """The other controller is as quick as ours."""
    await make_one(world, "new")
    await asyncio.sleep(world.random.uniform(0, 0.02))
    await back_up(world)
    await asyncio.sleep(world.random.uniform(0, 1))
    await delete(world, "new")


async def end_backup(world: World) -> None:
    for disk in world.list(Disk):
        world.backend.under_backup.discard(disk.metadata.uid)
        await k.remove_finalizer(world.client, disk, BACKUP)


async def give_up_some(world: World) -> None:
    for name in ("c", "d"):
        await delete(world, name)


class Backend:
    """The cloud, and what the backup is busy with."""

    def __init__(self, _: World) -> None:
        self.cloud = Cloud(quota=QUOTA)
        self.foreign = self.cloud.create("somebody else's", 100)
        self.under_backup: set[str] = set()


def strangers_are_left_alone(world: World) -> None:
    foreign = world.backend.foreign
    assert world.backend.cloud.disks.get(foreign.id) == foreign, "a stranger's disk was changed or deleted"


def a_disk_stays_while_it_is_backed_up(world: World) -> None:
    gone = world.backend.under_backup - {disk.metadata.uid for disk in world.list(Disk)}
    assert not gone, f"{gone} went while the backup's finalizer was on them"


def what_the_status_says_is_there(world: World) -> None:
    for disk in world.list(Disk):
        if disk.status.id and not disk.metadata.deleting:
            found = world.backend.cloud.disks.get(disk.status.id)
            assert found is not None, f"{disk.key} says {disk.status.id}, which the cloud does not have"


def each_disk_is_one_in_the_cloud(world: World) -> None:
    """And nothing else is: what leaks may not hide in a quota."""
    wanted = {TAG + disk.metadata.uid: disk for disk in world.list(Disk)}
    assert not [disk.key for disk in wanted.values() if disk.metadata.deleting], "some are never gone"
    ours = [one for one in world.backend.cloud.disks.values() if one != world.backend.foreign]
    leaked = [one for one in ours if one.tag not in wanted]
    assert not leaked, f"nobody's: {leaked}"
    assert len({one.tag for one in ours}) == len(ours), f"more than one of a Disk: {ours}"
    assert len(ours) == min(len(wanted), QUOTA - 1), f"{len(wanted)} are wanted, the cloud has {ours}"
    for disk in wanted.values():
        assert disk.status.observed_generation == disk.metadata.generation
        if not disk.status.problem:
            found = world.backend.cloud.disks[disk.status.id]
            assert (wanted[found.tag], found.gib) == (disk, disk.spec.gib)


def scenario(name: str, disks: type[Disks] = Disks, *, module: str = __name__) -> Scenario:
    """Of the sample, or of one with a bug."""

    async def main(process: Process) -> None:
        await run(process, CloudClient(process.world.backend.cloud, process), disks)

    return Scenario(
        name=name,
        controller=main,
        steps=(
            make,
            resize,
            back_up,
            back_up_a_new_one,
            make_and_delete_at_once,
            end_backup,
            make_anew,
            want_too_many,
            give_up_some,
        ),
        kinds=(Disk,),
        backend=Backend,
        always=(strangers_are_left_alone, a_disk_stays_while_it_is_backed_up, what_the_status_says_is_there),
        finally_=(each_disk_is_one_in_the_cloud,),
        replicas=2,
        module=module,
    )


DISKS = scenario("disks")
