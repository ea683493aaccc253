"""A sample: each Disk is one disk in a cloud, found there by the Disk's UID in its tag, and gone before the Disk goes.

The order is the whole of it: first the finalizer, then look in the cloud, then create. Whatever is lost or killed
between two of these, the next reconcile finds what there is. A create may even take effect after everybody has given it
up, so every Disk is looked at again now and then: the oldest of its cloud disks stays, and what it has more of goes
once the status names that one. What belongs to no Disk any more is swept.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import ClassVar

import kubeloop as k

from .cloud import CloudClient, CloudDisk, CloudUnavailable, QuotaExceeded

FINALIZER = "disks.example.dev/cloud"
TAG = "disk/"
AGAIN_S = 10.0
LOOK_EVERY_S = 30.0


class DiskSpec(k.KubeStruct, frozen=True, kw_only=True):
    gib: int


class DiskStatus(k.KubeStruct, frozen=True, kw_only=True):
    id: str = ""
    gib: int = 0
    problem: str = ""
    observed_generation: int = 0


class Disk(k.KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[k.Resource] = k.Resource("disks.example.dev", "v1", "disks", "Disk")

    spec: DiskSpec
    status: DiskStatus = DiskStatus()


class Disks:
    """One reconcile function and its steps, and the sweep."""

    def __init__(self, client: k.Client, store: k.Store[Disk], cloud: CloudClient) -> None:
        self.client = client
        self.store = store
        self.cloud = cloud

    async def reconcile(self, key: k.ObjectKey) -> k.Result:
        disk = self.store.get(key)
        if disk is None:
            return k.DONE
        if disk.metadata.deleting:
            await self.remove(disk)
            return k.DONE
        if FINALIZER not in disk.metadata.finalizers:
            await self.claim(disk)  # and come again: only then may anything be made that has to be undone
            return k.DONE
        generation = disk.metadata.generation
        try:
            found = await self.ensure(disk)
        except QuotaExceeded as error:
            await self.report(disk, DiskStatus(problem=str(error), observed_generation=generation))
            return k.Result(requeue_after_s=AGAIN_S)
        await self.report(disk, DiskStatus(id=found[0].id, gib=disk.spec.gib, observed_generation=generation))
        for surplus in found[1:]:  # the status may have named one of them until now
            await self.cloud.delete(surplus.id)
        return k.DONE

    async def claim(self, disk: Disk) -> None:
        await k.add_finalizer(self.client, disk, FINALIZER)

    def tag(self, disk: Disk) -> str:
        return TAG + disk.metadata.uid

    async def ensure(self, disk: Disk) -> Sequence[CloudDisk]:
        """All of this Disk, and the first as it is wanted."""
        found = await self.cloud.tagged(self.tag(disk)) or (await self.create(disk),)
        if found[0].gib != disk.spec.gib:
            await self.cloud.resize(found[0].id, disk.spec.gib)
        return found

    async def create(self, disk: Disk) -> CloudDisk:
        return await self.cloud.create(self.tag(disk), disk.spec.gib)

    async def remove(self, disk: Disk) -> None:
        if FINALIZER in disk.metadata.finalizers:
            await self.empty(disk)
            await self.unclaim(disk)

    async def empty(self, disk: Disk) -> None:
        for found in await self.cloud.tagged(self.tag(disk)):
            await self.cloud.delete(found.id)

    async def unclaim(self, disk: Disk) -> None:
        await k.remove_finalizer(self.client, disk, FINALIZER)

    async def report(self, disk: Disk, status: DiskStatus) -> None:
        if status == disk.status:
            return
        meta = disk.metadata
        said = {
            "id": status.id or None,
            "gib": status.gib,
            "problem": status.problem or None,
            "observedGeneration": status.observed_generation,
        }
        patch = k.MergePatch({"status": said})
        await self.client.patch(
            Disk,
            meta.name,
            patch,
            namespace=meta.namespace,
            subresource="status",
            resource_version=meta.resource_version,
        )

    async def sweep(self) -> None:
        """Deletes what is tagged as ours and belongs to no Disk. In this order: a Disk is there before its cloud
        disk.
        """
        tagged = await self.cloud.tagged(TAG)
        alive = {self.tag(disk) for disk in (await self.client.list_all(Disk)).items}
        for orphan in tagged:
            if orphan.tag not in alive:
                await self.cloud.delete(orphan.id)

    async def sweep_for_ever(self) -> None:
        while True:
            with contextlib.suppress(k.ApiError, CloudUnavailable):  # the next one will do
                await self.sweep()
            await asyncio.sleep(LOOK_EVERY_S)


async def run(cluster: k.ClusterConfig | k.Cluster, cloud: CloudClient, disks: type[Disks] = Disks) -> None:
    async with k.open_runtime(cluster, name="disks", lease=k.LeaseName("default", "disks")) as runtime:
        informer = runtime.informer(Disk)
        work = disks(runtime.client, informer.store, cloud)
        controller = runtime.controller("disks", work.reconcile, deadline_s=20.0, resync_s=LOOK_EVERY_S)
        controller.for_(informer)
        runtime.lead_with(work.sweep_for_ever)
        await runtime.run()
