"""The samples, each with one bug that real controllers have had. Every one must be found: see test_planted_bugs.

What is planted is as small as it can be: one method of a sample, in place of the right one.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Iterable, Sequence

import msgspec

import kubeloop as k

from . import disks_scenario, fleets_scenario, slots_scenario
from .cloud import CloudDisk, CloudUnavailable
from .disks import FINALIZER, TAG, Disk, Disks, DiskStatus
from .fleets import Fleet, Fleets, Step, Worker, desire_status
from .slots import Slot, Slots, SlotSpec


class CreatesBeforeItRecords(Disks):
    """Trusts its own status: a cloud disk whose id was not written down yet is not looked for."""

    async def ensure(self, disk: Disk) -> Sequence[CloudDisk]:
        if not disk.status.id:
            return (await self.create(disk),)
        return await super().ensure(disk)

    async def sweep(self) -> None:
        """Has none: each id is in a status, it thinks."""


class RemovesItsFinalizerTooEarly(Disks):
    """First lets the Disk go, then deletes what it had."""

    async def remove(self, disk: Disk) -> None:
        if FINALIZER in disk.metadata.finalizers:
            await self.unclaim(disk)
            await self.empty(disk)

    async def sweep(self) -> None:
        """Has none."""


class AddsItsFinalizerTooLate(Disks):
    """Creates first: a Disk that is deleted at that moment is gone, and what was made for it stays."""

    async def reconcile(self, key: k.ObjectKey) -> k.Result:
        disk = self.store.get(key)
        if disk is not None and not disk.metadata.deleting and FINALIZER not in disk.metadata.finalizers:
            await self.ensure(disk)
        return await super().reconcile(key)

    async def sweep(self) -> None:
        """Has none."""


class TriesACreateAgain(Disks):
    """A create without an answer is sent again at once: the first may have taken effect."""

    async def create(self, disk: Disk) -> CloudDisk:
        for _ in range(3):
            try:
                return await super().create(disk)
            except CloudUnavailable:
                await asyncio.sleep(0.1)
        return await super().create(disk)

    async def ensure(self, disk: Disk) -> Sequence[CloudDisk]:
        """And what is there twice is not noticed."""
        return (await super().ensure(disk))[:1]


class SwallowsItsCancellation(Disks):
    """What waits is cancelled at the deadline, and at the end: it takes that for done, and lets the Disk go."""

    async def empty(self, disk: Disk) -> None:
        for found in await self.cloud.tagged(self.tag(disk)):
            with contextlib.suppress(asyncio.CancelledError):
                await self.cloud.delete(found.id)

    async def sweep(self) -> None:
        """Has none."""


class OverwritesTheFinalizers(Disks):
    """A merge patch of the whole list, as it was looked at: another controller's finalizer is lost."""

    async def unclaim(self, disk: Disk) -> None:
        await self._write(disk, [each for each in disk.metadata.finalizers if each != FINALIZER])

    async def claim(self, disk: Disk) -> None:
        await self._write(disk, [*disk.metadata.finalizers, FINALIZER])

    async def _write(self, disk: Disk, finalizers: list[str]) -> None:
        patch = k.MergePatch({"metadata": {"finalizers": finalizers}})
        await self.client.patch(Disk, disk.metadata.name, patch, namespace=disk.metadata.namespace)


class DeletesWhatItDoesNotOwn(Disks):
    """The sweep takes all that belongs to no Disk, whosever it is."""

    async def sweep(self) -> None:
        everything = await self.cloud.tagged("")
        alive = {self.tag(disk) for disk in (await self.client.list_all(Disk)).items}
        for found in everything:
            if found.tag not in alive:
                await self.cloud.delete(found.id)


class NamesByChance(Disks):
    """A tag of its own for each try: what an earlier one made is not found."""

    async def create(self, disk: Disk) -> CloudDisk:
        return await self.cloud.create(f"{TAG}{uuid.uuid4()}", disk.spec.gib)

    async def ensure(self, disk: Disk) -> Sequence[CloudDisk]:
        found = [one for one in await self.cloud.tagged(TAG) if one.id == disk.status.id]
        return found or [await self.create(disk)]


class WaitsForDeletions(Disks):
    """No finalizer: it deletes in the cloud when the watch says that a Disk went. Nobody says it to a process that is
    down.
    """

    async def reconcile(self, key: k.ObjectKey) -> k.Result:
        disk = self.store.get(key)
        if disk is None:
            known = self._known.pop(key, None)
            if known is not None:
                await self.empty(known)
            return k.DONE
        self._known[key] = disk
        found = await self.ensure(disk)
        await self.report(
            disk, DiskStatus(id=found[0].id, gib=disk.spec.gib, observed_generation=disk.metadata.generation)
        )
        return k.DONE

    def __init__(self, *parts: object) -> None:
        super().__init__(*parts)  # type: ignore[arg-type]
        self._known: dict[k.ObjectKey, Disk] = {}

    async def sweep(self) -> None:
        """Has none."""


class WorksOnTheFirstEvent(Disks):
    """Event-driven: what the first event of a Disk said is what is done, also when it comes to it again."""

    def __init__(self, *parts: object) -> None:
        super().__init__(*parts)  # type: ignore[arg-type]
        self._first: dict[str, Disk] = {}

    async def ensure(self, disk: Disk) -> Sequence[CloudDisk]:
        return await super().ensure(self._first.setdefault(disk.metadata.uid, disk))


class KnowsPodsByName(Slots):
    """Takes the pod that has the name now for the one that has the slot."""

    async def reconcile(self, key: k.ObjectKey) -> k.Result:
        pod = self.pods.get(key)
        held = self.slots.by_index("pod", str(key))
        if pod is None:
            for slot in held:
                await self.free(slot)
            return k.DONE
        if pod.metadata.deleting:
            return k.DONE
        name = next(iter(slot.metadata.name for slot in held), None) or await self.take(pod)
        if name is not None:
            await self.tell(pod, name)
        return k.DONE if name is not None else k.Result(requeue_after_s=5.0)


class TakesByItsStore(Slots):
    """Acts on a stale read: what its store shows free it takes, whoever has it."""

    async def claim(self, pod: k.Pod, name: str) -> bool:
        meta = pod.metadata
        spec = SlotSpec(pod_uid=meta.uid, pod_namespace=meta.namespace, pod_name=meta.name)
        await self.client.apply(Slot(metadata=k.ObjectMeta(name=name), spec=spec), force=True)
        return True


class TakesAlreadyExistsForSuccess(Slots):
    """409 AlreadyExists means that the slot is there, not that it is this pod's."""

    async def claim(self, pod: k.Pod, name: str) -> bool:
        meta = pod.metadata
        spec = SlotSpec(pod_uid=meta.uid, pod_namespace=meta.namespace, pod_name=meta.name)
        with contextlib.suppress(k.AlreadyExists):
            await self.client.create(Slot(metadata=k.ObjectMeta(name=name), spec=spec))
        return True


class GivesUpOnAlreadyExists(Slots):
    """409 AlreadyExists ends it: a create whose answer was lost is never found again."""

    async def claim(self, pod: k.Pod, name: str) -> bool:
        meta = pod.metadata
        spec = SlotSpec(pod_uid=meta.uid, pod_namespace=meta.namespace, pod_name=meta.name)
        try:
            await self.client.create(Slot(metadata=k.ObjectMeta(name=name), spec=spec))
        except k.AlreadyExists as error:
            raise k.Terminal(str(error)) from error
        return True


class SaysReadyOfTheWrongGeneration(Fleets):
    """What it saw of one generation it says of the newest."""

    async def report(self, fleet: Fleet, workers: list[Worker], step: Step | None) -> None:
        meta = fleet.metadata
        newest = await self.client.get(Fleet, meta.name, namespace=meta.namespace)
        status = desire_status(fleet, workers, step)
        generation, conditions = newest.metadata.generation, newest.status.conditions
        for each in status.conditions:
            said = k.condition(each.type, each.status == "True", reason=each.reason, observed_generation=generation)
            conditions = k.set_condition(conditions, said, "2026-01-01T00:00:00Z")
        body = {"ready": status.ready, "leaving": status.leaving or None, "observedGeneration": generation}
        body |= k.conditions_patch((), conditions).get("status", {})
        if msgspec.structs.replace(status, observed_generation=generation, conditions=conditions) != newest.status:
            patch = k.MergePatch({"status": body})
            await self.client.patch(Fleet, meta.name, patch, namespace=meta.namespace, subresource="status")


class TakesItsLabelForItsOwn(Fleets):
    """Whatever has the label is the fleet's, thinks it, and in excess."""

    def owned(self, fleet: Fleet, workers: Iterable[Worker]) -> list[Worker]:
        return list(workers)


DISKS = (
    CreatesBeforeItRecords,
    RemovesItsFinalizerTooEarly,
    AddsItsFinalizerTooLate,
    TriesACreateAgain,
    SwallowsItsCancellation,
    OverwritesTheFinalizers,
    DeletesWhatItDoesNotOwn,
    NamesByChance,
    WaitsForDeletions,
    WorksOnTheFirstEvent,
)
SLOTS = (KnowsPodsByName, TakesByItsStore, TakesAlreadyExistsForSuccess, GivesUpOnAlreadyExists)
FLEETS = (SaysReadyOfTheWrongGeneration, TakesItsLabelForItsOwn)

PLANTED = (
    *(disks_scenario.scenario(bug.__name__, bug, module=__name__) for bug in DISKS),
    *(slots_scenario.scenario(bug.__name__, bug, module=__name__) for bug in SLOTS),
    *(fleets_scenario.scenario(bug.__name__, bug, module=__name__) for bug in FLEETS),
)
