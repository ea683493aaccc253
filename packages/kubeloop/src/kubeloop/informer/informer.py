"""An informer: a store kept equal to a collection, and handlers told of every change. One serves many controllers.

Guarantees: `synced` turns true after the first complete list and stays; handlers run synchronously in the order of
events, after the store has changed; a handler that raises is logged and disturbs nobody else; each object's last state
and each deletion reaches every handler at least once (intermediate states may be skipped by a relist). Objects that do
not decode are in `undecodable`, by key.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Generic, TypeVar

from kubeloop.client.back_off import BackOff
from kubeloop.informer.reflector import Reflector, Selection, Source
from kubeloop.informer.store import Change, Indexer, Store
from kubeloop.model.base import KubeObject, ObjectKey
from kubeloop.model.codec import Undecodable

T = TypeVar("T", bound=KubeObject)

log = logging.getLogger(__name__)

Handler = Callable[[Change[T]], None]


class Informer(Generic[T]):
    """Lists and watches one kind, or the part of it that the selectors choose."""

    def __init__(
        self,
        source: Source,
        kind: type[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexers: Mapping[str, Indexer[T]] | None = None,
    ) -> None:
        self.store: Store[T] = Store(indexers)
        self.undecodable: dict[ObjectKey, Undecodable] = {}
        self.kind = kind
        self.resource_version = ""
        self._handlers: list[Handler[T]] = []
        self._synced = asyncio.Event()
        self._waiters: dict[ObjectKey, set[asyncio.Future[None]]] = {}
        self._reflector = Reflector(
            source, kind, self, Selection(namespace, label_selector, field_selector), BackOff(0.2, 15.0)
        )

    @property
    def synced(self) -> bool:
        """The store holds at least what one complete list had."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def add_handler(self, handler: Handler[T]) -> None:
        """Calls `handler` for every change from now on, and first, as initial ones, for what is there."""
        self._handlers.append(handler)
        for obj in list(self.store.list()):
            self._call(handler, Change(None, obj, initial=True))

    async def run(self) -> None:
        """Follows the collection until cancelled."""
        await self._reflector.run()

    async def wait_for(self, key: ObjectKey, predicate: Callable[[T | None], bool]) -> T | None:
        """The object of `key` (None: absent) as soon as it satisfies `predicate`; woken by the watch, without
        polling.
        """
        await self.wait_synced()
        while not predicate(obj := self.store.get(key)):
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting = self._waiters.setdefault(key, set())
            waiting.add(woken)
            try:
                await woken
            finally:
                waiting.discard(woken)
                if not waiting and self._waiters.get(key) is waiting:
                    del self._waiters[key]
        return obj

    # the reflector's sink

    def replaced(self, objects: Collection[T], undecodable: Collection[Undecodable], version: str) -> None:
        gone = self.undecodable.keys() - {broken.key for broken in undecodable}
        for key in gone:
            del self.undecodable[key]
        for broken in undecodable:
            self.not_decoded(broken)
        changes = self.store.replace(objects, keep=self.undecodable.keys())
        self.resource_version = version
        initial = not self.synced
        self._synced.set()
        self._publish(changes, initial=initial)

    def changed(self, obj: T, version: str) -> None:
        self.undecodable.pop(obj.key, None)
        changes = self.store.put(obj)
        self.resource_version = version
        self._publish(changes)

    def deleted(self, key: ObjectKey, last: T | None, version: str) -> None:
        self.undecodable.pop(key, None)
        changes = self.store.remove(key, last)
        self.resource_version = version
        self._publish(changes)

    def not_decoded(self, broken: Undecodable) -> None:
        known = self.undecodable.get(broken.key)
        self.undecodable[broken.key] = broken
        if known is not None and known.problem == broken.problem:
            return
        log.error("object does not decode: kind=%s key=%s problem=%s", self.kind.__name__, broken.key, broken.problem)

    def advanced(self, version: str) -> None:
        self.resource_version = version

    def _publish(self, changes: tuple[Change[T], ...], *, initial: bool = False) -> None:
        for change in changes:
            told = Change(change.old, change.new, initial=True) if initial else change
            for handler in tuple(self._handlers):
                self._call(handler, told)
            for woken in self._waiters.get(change.object.key, ()):
                if not woken.done():
                    woken.set_result(None)

    def _call(self, handler: Handler[T], change: Change[T]) -> None:
        try:
            handler(change)
        except Exception:
            log.exception("handler failed: kind=%s key=%s", self.kind.__name__, change.object.key)
