"""The store: the last known state of one kind, by key and by index.

Invariants: every index holds exactly the stored objects; a change is visible in the store before anybody is told of it;
what a reader gets is a snapshot of shared, frozen objects. Identity is the UID: an object that was deleted and created
again under its name between two lists is a delete and an add, never an update. Per object, versions only go forward: a
live read may have brought a state that the watch has yet to reach, or taken away an object that it has yet to see.

Only the informer writes. The store does no I/O and knows nothing of handlers.
"""

import logging
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from typing import Generic, Literal, TypeVar

import msgspec

from kubeloop.informer.version import version_number
from kubeloop.model.base import KubeObject, ObjectKey

_log = logging.getLogger(__name__)

T = TypeVar("T", bound=KubeObject)

Indexer = Callable[[T], Iterable[str]]
"""The values under which an object is found in an index; pure and quick."""


class Change(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """What became of one object: added (`old` is None), updated, or deleted (`new` is None).

    `initial`: the object was there before the handler was, it is not news. For a deletion `old` is the last known
    state.
    """

    old: T | None
    new: T | None
    initial: bool = False

    @property
    def object(self) -> T:
        """The new state, or the last known one of a deleted object."""
        latest = self.old if self.new is None else self.new
        assert latest is not None, "a change has an old or a new state"
        return latest

    @property
    def kind(self) -> Literal["added", "updated", "deleted"]:
        if self.new is None:
            return "deleted"
        return "added" if self.old is None else "updated"


class _Index(Generic[T]):
    """One index. The values are kept per key, so that an indexer that is not pure cannot leave entries behind."""

    def __init__(self, name: str, indexer: Indexer[T]) -> None:
        self._name = name
        self._indexer = indexer
        self._values: dict[ObjectKey, tuple[str, ...]] = {}
        self.groups: dict[str, dict[ObjectKey, T]] = {}

    def put(self, key: ObjectKey, obj: T) -> None:
        try:
            values = tuple(self._indexer(obj))
        except Exception:  # noqa: BLE001 - the object must be stored whatever its indexer does
            _log.exception("indexer failed: the object is not in this index", extra={"index": self._name, "key": key})
            values = ()
        known = self._values.get(key)
        if known is not None and known != values:
            self.discard(key)
        for value in values:
            self.groups.setdefault(value, {})[key] = obj
        if values:
            self._values[key] = values

    def discard(self, key: ObjectKey) -> None:
        for value in self._values.pop(key, ()):
            group = self.groups.get(value)
            if group is None:
                continue  # the indexer gave this value twice
            group.pop(key, None)
            if not group:
                del self.groups[value]


class Store(Generic[T]):
    """The last known state. Each writing method returns the changes it made; none means nothing was new."""

    def __init__(self, indexers: Mapping[str, Indexer[T]] | None = None) -> None:
        self._objects: dict[ObjectKey, T] = {}
        self._absent: dict[ObjectKey, int] = {}
        self._indexes = {name: _Index(name, indexer) for name, indexer in (indexers or {}).items()}

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: ObjectKey) -> T | None:
        """The object, or None."""
        return self._objects.get(key)

    def list(self) -> Collection[T]:
        """All objects, in no order."""
        return tuple(self._objects.values())

    def by_index(self, name: str, value: str) -> Collection[T]:
        """The objects that the index `name` finds under `value`. Raises KeyError for an index that was not declared."""
        index = self._indexes.get(name)
        if index is None:
            raise KeyError(f"no index {name!r}: declared are {sorted(self._indexes)}")
        return tuple(index.groups.get(value, {}).values())

    def put(self, obj: T, *, initial: bool = False) -> tuple[Change[T], ...]:
        """Stores one object, unless it is the version that is there or an older one. Another UID is a delete and an
        add.
        """
        return self._put_at(obj.key, obj, initial)

    def _put_at(self, key: ObjectKey, obj: T, initial: bool) -> tuple[Change[T], ...]:
        meta = obj.metadata
        old = self._objects.get(key)
        if old is None:
            if self._absent and version_number(meta.resource_version) <= self._absent.get(key, -1):
                return ()
            self._put(key, obj)
            return (Change(None, obj, initial),)
        if meta.resource_version == old.metadata.resource_version:
            return ()
        if 0 < version_number(meta.resource_version) < version_number(old.metadata.resource_version):
            return ()
        if meta.uid != old.metadata.uid:
            self._discard(key)
            self._put(key, obj)
            return (Change(old, None, initial), Change(None, obj, initial))
        self._put(key, obj)
        return (Change(old, obj, initial),)

    def remove(self, key: ObjectKey, last: T | None = None, *, version: str = "") -> tuple[Change[T], ...]:
        """Removes an object that was deleted at `version`, unless a newer one is there by now.

        `last` is its final state if the server sent it.
        """
        old = self._objects.get(key)
        if old is None or 0 < version_number(version) < version_number(old.metadata.resource_version):
            return ()
        self._discard(key)
        same = last is not None and last.metadata.uid == old.metadata.uid
        return (Change(last if same else old, None),)

    def absent(self, key: ObjectKey, version: str) -> tuple[Change[T], ...]:
        """Removes an object that a live read did not find at `version`; until `caught_up` no older event brings it
        back.
        """
        self._absent[key] = max(version_number(version), self._absent.get(key, 0))
        return self.remove(key, version=version)

    def caught_up(self, reached: int) -> None:
        """No event before the version `reached` comes any more."""
        if self._absent:
            self._absent = {key: version for key, version in self._absent.items() if version > reached}

    def replace(
        self,
        objects: Iterable[T],
        *,
        version: str = "",
        keep: Container[ObjectKey] = (),
        initial: bool = False,
    ) -> tuple[Change[T], ...]:
        """Makes the store what a complete list of `version` says; keys in `keep` stay though not listed, and so does
        what a live read has found since.

        Deletes come first, so that a reused name or address is free.
        """
        listed = {obj.key: obj for obj in objects}
        gone = [key for key in self._objects if key not in listed and key not in keep]
        deletes = [change for key in gone for change in self.remove(key, version=version)]
        changes = [change for key, obj in listed.items() for change in self._put_at(key, obj, initial)]
        deletes += (change for change in changes if change.new is None)
        return (*deletes, *(change for change in changes if change.new is not None))

    def _put(self, key: ObjectKey, obj: T) -> None:
        self._objects[key] = obj
        for index in self._indexes.values():
            index.put(key, obj)

    def _discard(self, key: ObjectKey) -> None:
        del self._objects[key]
        for index in self._indexes.values():
            index.discard(key)
