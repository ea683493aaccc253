"""From changes of objects to keys. A mapper or predicate that raises is owed its change: it is asked again, with the
object's newest state, until it answers, so that no change is lost by a bug that a moment cures, and no other object
suffers by one that it does not cure. Synchronous; who asks again, and when, is the controller.
"""

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

from kubeloop.informer.store import Change, Store
from kubeloop.model.base import KubeObject, ObjectKey

K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=KubeObject)

log = logging.getLogger(__name__)


class Mapping(Generic[T, K]):
    """Of one informer's objects, whose store is given."""

    def __init__(
        self,
        store: Store[T],
        mapper: Callable[[T], Iterable[K]],
        predicate: Callable[[Change[T]], bool] | None,
    ) -> None:
        self._store = store
        self._mapper = mapper
        self._predicate = predicate
        self._owed: dict[ObjectKey, T | None] = {}  # by object: its state before the first change that failed

    @property
    def owes(self) -> bool:
        """Some change has failed, and did not succeed since."""
        return bool(self._owed)

    def keys(self, change: Change[T]) -> Iterable[K]:
        """Of the old and the new state, once each; none where the predicate lets the change not through."""
        key = change.object.key
        if key in self._owed:
            change = Change(self._owed[key], change.new)
        try:
            keys = self._map(change)
        except Exception:
            self._owed[key] = change.old
            log.exception("mapper or predicate failed", extra={"object": key})
            return ()
        self._owed.pop(key, None)
        return keys

    def keys_owed(self) -> Iterator[K]:
        """Of the changes that failed, as far as they succeed now."""
        for key, before in list(self._owed.items()):
            now = self._store.get(key)
            if before is None and now is None:
                del self._owed[key]  # it came and went
            else:
                yield from self.keys(Change(before, now))

    def all_keys(self) -> Iterator[K]:
        """Of all that is there. An object on which the mapper fails is logged and passed over."""
        for obj in self._store.list():
            try:
                keys = tuple(self._mapper(obj))
            except Exception:
                log.exception("mapper failed", extra={"object": obj.key})
                continue
            yield from keys

    def _map(self, change: Change[T]) -> Iterable[K]:
        if self._predicate is not None and not self._predicate(change):
            return ()
        old = tuple(self._mapper(change.old)) if change.old is not None else ()
        new = tuple(self._mapper(change.new)) if change.new is not None else ()
        return old if old == new else dict.fromkeys(old + new)
