"""The storage (etcd): every object of every kind, one counter of revisions, and the history of changes.

A write is one change with the next revision, which becomes the object's resourceVersion. Stored bodies are never
changed again: history, watch caches and answers share them, and their encoded bytes. (Where the schema of a custom kind
changes, those stored before are read anew.) Several API servers may share one
storage. Chance (UIDs, generated names) comes from its `random` alone.

Like kube-apiserver's compactor it forgets, every five minutes of the wall clock, what is older than five minutes.
"""

import random as chance
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.refusals import Body

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]

COMPACT_EVERY_S = 300.0
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # of generated names: no vowels, so no words
_encode = msgspec.json.Encoder().encode


class Compacted(Exception):
    """The history that is asked for is forgotten."""


class Stored:
    """One state of an object: its body and, once asked for, the bytes of it in each version that is served."""

    __slots__ = ("_encoded", "body", "revision")

    def __init__(self, body: Body, revision: int) -> None:
        self.body = body
        self.revision = revision
        self._encoded: dict[str, bytes] = {}

    def read_as(self, body: Body) -> None:
        """It is another body, at the same version."""
        if body != self.body:
            self.body = body
            self._encoded.clear()

    def encoded(self, kind: Kind) -> bytes:
        """As `kind` serves it."""
        found = self._encoded.get(kind.api_version)
        if found is None:
            found = self._encoded[kind.api_version] = _encode(kind.as_served(self.body))
        return found


@dataclass(frozen=True, slots=True)
class Change:
    """One committed write. `now` is the state after it; of a deletion, the last one with the deletion's version."""

    type: ChangeType
    resource: str
    key: str
    now: Stored
    before: Stored | None
    at_s: float
    lines: dict[tuple[str, str], bytes] = field(default_factory=dict, compare=False)  # of watches: encoded once for all

    @property
    def revision(self) -> int:
        return self.now.revision


class Storage:
    """All objects, by resource ("pods", "gadgets.example.dev") and key ("namespace/name", or the name alone)."""

    def __init__(self, *, random: chance.Random | None = None) -> None:
        self.random = random if random is not None else chance.Random()  # noqa: S311 - no secret
        self.revision = 1
        self.compacted = 0  # states before this revision are forgotten
        self._objects: dict[str, dict[str, Stored]] = {}
        self._history: dict[str, list[Change]] = {}
        self._subscribers: list[Callable[[Change], None]] = []
        self._untold: list[Change] = []
        self._marks: list[tuple[float, int]] = [(time.time(), 1)]  # moments with the revision of then

    @property
    def told(self) -> int:
        """The revision up to which those who subscribed have heard of everything, or hear of it now."""
        return self._untold[0].revision if self._untold else self.revision

    def get(self, resource: str, key: str) -> Stored | None:
        objects = self._objects.get(resource)
        return objects.get(key) if objects else None

    def resources(self) -> tuple[str, ...]:
        """Of which there is an object, or was."""
        return tuple(self._objects)

    def objects(self, resource: str) -> dict[str, Stored]:
        """What is there now; not to be changed."""
        return self._objects.setdefault(resource, {})

    def objects_at(self, resource: str, revision: int) -> dict[str, Stored]:
        """What was there right after `revision`. Raises `Compacted`."""
        if revision < self.compacted:
            raise Compacted
        objects = self.objects(resource)
        if not self._history.get(resource) or self._history[resource][-1].revision <= revision:
            return objects
        objects = dict(objects)
        for change in reversed(self._history[resource]):
            if change.revision <= revision:
                break
            if change.before is None:
                del objects[change.key]
            else:
                objects[change.key] = change.before
        return objects

    def put(self, resource: str, key: str, body: Body) -> Stored:
        """Creates or replaces. `body` and its metadata become the storage's; the version is written into them."""
        objects = self.objects(resource)
        before = objects.get(key)
        stored = objects[key] = self._next(body, body["metadata"])
        self._commit(Change("ADDED" if before is None else "MODIFIED", resource, key, stored, before, time.time()))
        return stored

    def delete(self, resource: str, key: str, last: Body | None = None) -> Stored:
        """Removes what is there; `last` is what is told of it, where that is not the state that was stored."""
        before = self._objects[resource].pop(key)
        body = last or before.body
        stored = self._next({**body, "metadata": (meta := {**body["metadata"]})}, meta)
        self._commit(Change("DELETED", resource, key, stored, before, time.time()))
        return stored

    def reread(self, resource: str, read: Callable[[Body], Body]) -> None:
        """What is there is seen otherwise from now on, as if read anew; nothing is written."""
        for stored in self.objects(resource).values():
            stored.read_as(read(stored.body))

    def compact(self) -> None:
        """Forgets all history: no list and no watch goes on from an earlier revision."""
        self._compact(self.revision)

    def subscribe(self, changed: Callable[[Change], None]) -> Callable[[], None]:
        """Calls `changed` with each committed write, in the order of subscription; gives the undoing of it."""
        self._subscribers.append(changed)
        return lambda: self._subscribers.remove(changed)

    def new_uid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def new_suffix(self) -> str:
        """The end of a generated name."""
        return "".join(self.random.choices(_ALPHABET, k=5))

    def _next(self, body: Body, meta: Body) -> Stored:
        self.revision += 1
        meta["resourceVersion"] = str(self.revision)
        return Stored(body, self.revision)

    def _commit(self, change: Change) -> None:
        self._history.setdefault(change.resource, []).append(change)
        since, revision = self._marks[-1]
        if change.at_s - since >= COMPACT_EVERY_S:
            self._compact(revision)
            self._marks.append((change.at_s, change.revision))
            del self._marks[:-1]
        self._untold.append(change)
        if len(self._untold) > 1:
            return  # who is being told of a change writes: everybody hears of that one first
        while self._untold:
            for changed in tuple(self._subscribers):
                changed(self._untold[0])
            del self._untold[0]

    def _compact(self, revision: int) -> None:
        self.compacted = max(self.compacted, revision)
        for resource, changes in self._history.items():
            self._history[resource] = [change for change in changes if change.revision > revision]
