"""An informer: a store kept equal to a collection, and handlers told of every change. One serves many controllers.

Guarantees: `synced` turns true after the first complete list and stays; handlers run synchronously in the order of
events, after the store has changed; a handler that raises is logged and disturbs nobody else; each object's last state
and each deletion reaches every handler at least once (intermediate states may be skipped by a relist).

An object whose newest state does not decode is in `undecodable`, by key, until it decodes or goes. Its last state that
did decode stays in the store meanwhile: stale, but what the object was, and its deletion is told with it. Where the UID
says that it is another object of the same name, the one before is gone and deleted from the store.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Generic, TypeVar

from kubeloop.client.back_off import BackOff
from kubeloop.client.writes import Write
from kubeloop.informer.reflector import IDLE_TIMEOUT_S, Reflector, Timing
from kubeloop.informer.selection import Selection
from kubeloop.informer.source import Source
from kubeloop.informer.store import Change, Indexer, Store
from kubeloop.informer.version import version_number
from kubeloop.informer.waiting import Waiting
from kubeloop.metrics import Metrics
from kubeloop.model.base import KubeObject, ObjectKey
from kubeloop.model.codec import Undecodable

T = TypeVar("T", bound=KubeObject)

log = logging.getLogger(__name__)

Handler = Callable[[Change[T]], None]

UNSURE_S = 1.0
"""How long to wait for an object that may be outside the selection, of which then no event ever comes."""


class Informer(Generic[T]):
    """Lists and watches one kind, or the part of it that the selectors choose.

    `transform` is applied to each object before it is stored, to drop what nobody needs; it leaves the metadata's name,
    namespace, UID, version and deletion timestamp alone. An object on which it fails counts as undecodable.
    `on_undecodable` is called once for each problem of each object. A watch that is silent for `idle_timeout_s` is
    replaced. `back_off` and `timing` keep the promise that the store is right within 5 s of a fault's end.
    `kubeloop_store_age_seconds` is of the kind's informer that ran last.
    """

    def __init__(
        self,
        source: Source,
        kind: type[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexers: Mapping[str, Indexer[T]] | None = None,
        transform: Callable[[T], T] | None = None,
        metrics: Metrics | None = None,
        on_undecodable: Callable[[Undecodable], None] | None = None,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        back_off: BackOff = BackOff(0.1, 2.0),  # noqa: B008 - frozen
        timing: Timing = Timing(),  # noqa: B008 - frozen
    ) -> None:
        metrics = metrics if metrics is not None else Metrics()
        self.store: Store[T] = Store(indexers)
        self.undecodable: dict[ObjectKey, Undecodable] = {}
        self.kind = kind
        self.resource_version = ""
        self.on_undecodable = on_undecodable
        self._reached = 0  # resource_version's number
        self._source = source
        self._selection = Selection(namespace, label_selector, field_selector)
        self._transform = transform
        self._handlers: list[Handler[T]] = []
        self._synced = asyncio.Event()
        self._waiting = Waiting()
        self._reflector = Reflector(
            source, kind, self, self._selection, back_off, idle_timeout_s=idle_timeout_s, timing=timing
        )
        self._relists = metrics.relists
        self._age = metrics.store_age.labels(kind.__name__)
        self._objects_count = metrics.store_objects.labels(kind.__name__)
        self._undecodable_count = metrics.undecodable.labels(kind.__name__)
        self._counted = (0, 0)  # what this informer has added to the two, which others of its kind share

    @property
    def synced(self) -> bool:
        """The store holds at least what one complete list had."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Returns once `synced`."""
        await self._synced.wait()

    def add_handler(self, handler: Handler[T]) -> Callable[[], None]:
        """Calls `handler` for every change from now on, and first, as initial ones, for what is there.

        Gives a function that takes the handler away again.
        """
        registered: Handler[T] = lambda change: handler(change)  # noqa: E731, PLW0108 - its own identity
        self._handlers.append(registered)
        for obj in self.store.list():
            self._call(registered, Change(None, obj, initial=True))

        def remove() -> None:
            if registered in self._handlers:
                self._handlers.remove(registered)

        return remove

    async def run(self) -> None:
        """Follows the collection until cancelled."""
        loop, reflector = asyncio.get_running_loop(), self._reflector
        self._age.set_function(lambda: loop.time() - reflector.heard_at)
        await reflector.run()

    async def list_anew(self) -> None:
        """Returns when the store shows a list that began after this call, whatever the watch has brought.

        For who must not act by a stale store: a watch may be dead for more than a minute before anybody notices.
        """
        await self._reflector.list_anew()

    async def wait_for(self, key: ObjectKey, predicate: Callable[[T | None], bool]) -> T | None:
        """The object of `key` (None: absent) as soon as it satisfies `predicate`; woken by the watch, without
        polling.
        """
        await self.wait_synced()
        while not predicate(obj := self.store.get(key)):
            await self._waiting.wait(key)
        return obj

    async def caught_up(self, write: Write, timeout_s: float = 10.0) -> None:
        """Returns once the store shows at least what `write` made of its object.

        That is: by the object's event, or any event or bookmark as new as the write. After `timeout_s`, or sooner when
        the object may be outside the selection, one live read brings the store up to date. Who writes an object that
        is certainly outside, or another kind, does not wait. Raises the live read's `ApiError`.
        """
        if self._shows(write):
            return
        sure = self.store.get(write.key) is not None or self._selection.holds(write.key, write.labels)
        try:
            async with asyncio.timeout(timeout_s if sure else min(timeout_s, UNSURE_S)):
                while not self._shows(write):
                    await self._waiting.wait(write.key, version_number(write.version))
        except TimeoutError:
            log.info("own write not seen in time, reading it: kind=%s key=%s", self.kind.__name__, write.key)
            await self._read_live(write.key)

    def _shows(self, write: Write) -> bool:
        if write.kind.resource != self.kind.resource:
            return True
        obj = self.store.get(write.key)
        if obj is None and self._selection.holds(write.key, write.labels) is False:
            return True
        version = version_number(write.version)
        broken = self.undecodable.get(write.key)
        if version and broken is not None and version_number(broken.resource_version) >= version:
            return True
        current = version_number(obj.metadata.resource_version) if obj is not None else 0
        if write.deleted:
            # Not by the version reached: some servers answer a delete with the version from before it.
            if obj is None or (write.uid and obj.metadata.uid != write.uid):
                return True
            # Without a version nothing but finalizers may be left to wait for; a namespace has others, in its spec.
            shown = version <= current if version else not obj.metadata.finalizers
            return obj.metadata.deleting and shown
        return 0 < version <= max(self._reached, current)

    async def _read_live(self, key: ObjectKey) -> None:
        one = self._selection.one(key)
        page = await self._source.list(
            self.kind, namespace=one.namespace, label_selector=one.label_selector, field_selector=one.field_selector
        )
        if 0 < version_number(page.resource_version) <= self._reached:
            return  # the watch has come this far meanwhile: an object here may have been deleted since
        for broken in page.undecodable:
            self._keep_broken(broken)
        for obj in page.items:
            self._put(obj)
        if not page.items and not page.undecodable:
            self._forget_broken(key, page.resource_version)
            self._publish(self.store.absent(key, page.resource_version))

    # the reflector's sink

    def replaced(
        self, objects: Collection[T], undecodable: Collection[Undecodable], version: str, reason: str = "initial"
    ) -> None:
        """See `Sink`."""
        self._relists.labels(self.kind.__name__, reason).inc()
        decoded, broken = self._sort(objects, undecodable)
        for key in self.undecodable.keys() - broken.keys():
            self._forget_broken(key, version)
        for each in broken.values():
            self._keep_broken(each)
        initial = not self.synced
        changes = self.store.replace(decoded, version=version, keep=self.undecodable, initial=initial)
        self._synced.set()
        self._publish(changes)
        self._advance(version)

    def changed(self, obj: T, version: str) -> None:
        """See `Sink`."""
        self._put(obj)
        self._advance(version)

    def deleted(self, key: ObjectKey, last: T | None, version: str) -> None:
        """See `Sink`."""
        self._forget_broken(key, version)
        if last is not None and self._transform is not None:
            result = self._transformed(last)
            last = None if isinstance(result, Undecodable) else result
        self._publish(self.store.remove(key, last, version=version))
        self._advance(version)

    def not_decoded(self, broken: Undecodable, version: str) -> None:
        """See `Sink`."""
        self._keep_broken(broken)
        self._advance(version)

    def advanced(self, version: str) -> None:
        """See `Sink`."""
        self._advance(version)

    def _sort(
        self, objects: Collection[T], undecodable: Collection[Undecodable]
    ) -> tuple[Collection[T], dict[ObjectKey, Undecodable]]:
        """A list after the transform: what is to be stored, and what is broken."""
        broken = {each.key: each for each in undecodable}
        if self._transform is None:
            return objects, broken
        done: list[T] = []
        for obj in objects:
            result = self._transformed(obj)
            if isinstance(result, Undecodable):
                broken[obj.key] = result
            else:
                done.append(result)
        return done, broken

    def _transformed(self, obj: T) -> T | Undecodable:
        if self._transform is None:
            return obj
        try:
            return self._transform(obj)
        except Exception as error:  # noqa: BLE001 - one poisoned object must not end the informer
            meta = obj.metadata
            return Undecodable(obj.key, meta.uid, meta.resource_version, f"transform: {error!r}")

    def _put(self, obj: T) -> None:
        result = obj if self._transform is None else self._transformed(obj)
        if isinstance(result, Undecodable):
            self._keep_broken(result)
            return
        if self.undecodable:
            self._forget_broken(obj.key, obj.metadata.resource_version)
        self._publish(self.store.put(result))

    def _keep_broken(self, broken: Undecodable) -> None:
        stored = self.store.get(broken.key)
        if stored is not None:
            if 0 < version_number(broken.resource_version) < version_number(stored.metadata.resource_version):
                return
            if broken.uid and stored.metadata.uid != broken.uid:
                self._publish(self.store.remove(broken.key))
        known = self.undecodable.get(broken.key)
        self.undecodable[broken.key] = broken
        self._count()
        if known is not None and (known.uid, known.problem) == (broken.uid, broken.problem):
            return
        log.error("object does not decode: kind=%s key=%s problem=%s", self.kind.__name__, broken.key, broken.problem)
        if self.on_undecodable is not None:
            try:
                self.on_undecodable(broken)
            except Exception:  # as for handlers
                log.exception("on_undecodable failed: kind=%s key=%s", self.kind.__name__, broken.key)

    def _forget_broken(self, key: ObjectKey, version: str) -> None:
        """The object decodes again or is gone, as of `version`."""
        broken = self.undecodable.get(key)
        if broken is not None and not 0 < version_number(version) < version_number(broken.resource_version):
            del self.undecodable[key]
            self._count()

    def _advance(self, version: str) -> None:
        reached = version_number(version)
        if reached >= self._reached:
            self.resource_version = version
            self._reached = reached
            self.store.caught_up(reached)
            self._waiting.reached(reached)

    def _publish(self, changes: Iterable[Change[T]]) -> None:
        self._count()
        for change in changes:
            for handler in tuple(self._handlers):
                self._call(handler, change)
            if self._waiting.for_keys:
                self._waiting.changed(change.object.key)

    def _call(self, handler: Handler[T], change: Change[T]) -> None:
        try:
            handler(change)
        except Exception:  # one handler's fault is no other's
            log.exception("handler failed: kind=%s key=%s", self.kind.__name__, change.object.key)

    def _count(self) -> None:
        """Brings the gauges up to date, at the cost of a comparison where nothing came or went."""
        stored, broken = len(self.store), len(self.undecodable)
        if (stored, broken) != self._counted:
            self._objects_count.inc(stored - self._counted[0])
            self._undecodable_count.inc(broken - self._counted[1])
            self._counted = (stored, broken)
