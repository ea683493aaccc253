"""A cloud that has disks, as clouds are: a create has no idempotency key, an id is the cloud's to choose, tags are only
for searching, there is a quota, and not everything in it is ours.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from kubeloop.testing import Process, backend_call

T = TypeVar("T")


class QuotaExceeded(Exception):
    """The cloud gives no more disks."""


class CloudUnavailable(Exception):
    """No answer, or a 5xx: the call may have taken effect."""


@dataclass(frozen=True, slots=True)
class CloudDisk:
    id: str
    tag: str
    gib: int


@dataclass
class Cloud:
    """What the provider has."""

    quota: int = 100
    disks: dict[str, CloudDisk] = field(default_factory=dict)
    _created: int = 0

    def create(self, tag: str, gib: int) -> CloudDisk:
        """A new disk with each call. Raises `QuotaExceeded`."""
        if len(self.disks) >= self.quota:
            raise QuotaExceeded(f"the quota is {self.quota} disks")
        self._created += 1
        disk = CloudDisk(f"disk-{self._created}", tag, gib)
        self.disks[disk.id] = disk
        return disk

    def resize(self, id_: str, gib: int) -> None:
        """Leaves what is not there alone."""
        if id_ in self.disks:
            self.disks[id_] = replace(self.disks[id_], gib=gib)

    def delete(self, id_: str) -> None:
        """Leaves what is not there alone."""
        self.disks.pop(id_, None)

    def tagged(self, prefix: str) -> tuple[CloudDisk, ...]:
        """All whose tag begins so, the oldest first."""
        return tuple(disk for disk in self.disks.values() if disk.tag.startswith(prefix))


class CloudClient:
    """The cloud as one process reaches it. Raises `CloudUnavailable` from every call."""

    def __init__(self, cloud: Cloud, process: Process) -> None:
        self._cloud = cloud
        self._process = process

    async def create(self, tag: str, gib: int) -> CloudDisk:
        return await self._call(f"create disk {tag} {gib} GiB", lambda: self._cloud.create(tag, gib))

    async def resize(self, id_: str, gib: int) -> None:
        await self._call(f"resize {id_} to {gib} GiB", lambda: self._cloud.resize(id_, gib))

    async def delete(self, id_: str) -> None:
        await self._call(f"delete {id_}", lambda: self._cloud.delete(id_))

    async def tagged(self, prefix: str) -> tuple[CloudDisk, ...]:
        return await self._call(f"search {prefix}", lambda: self._cloud.tagged(prefix), changes=False)

    async def _call(self, what: str, action: Callable[[], T], *, changes: bool = True) -> T:
        try:
            return await backend_call(self._process, what, action, changes=changes)
        except ConnectionError as error:
            raise CloudUnavailable(str(error)) from error
