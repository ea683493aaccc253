"""Follows one collection of the API server: list, watch, resume, relist. An explicit state machine.

States: `Empty` (a list is due), `Collecting` (a WatchList stream sends what is there; nothing of it is told yet),
`Listed` (everything up to a version was told: a watch goes on from there). `step` takes one turn.

- First lists are consistent (no resourceVersion): a controller that starts must not decide by a stale cache. They come
  by WatchList (KEP-3157) where the server has it, whose stream simply goes on as the watch; else in pages of 500.
- A stream that breaks before its initial-events-end leaves nothing behind. A server that refuses WatchList is asked for
  lists for ten minutes: it may be upgraded meanwhile.
- A watch that ends orderly, breaks off or falls silent resumes from the last version seen, bookmarks included.
- 410 in any form (status, ERROR event, expired continue token) leads to `Empty`: one list, never again the same stale
  version. A continue token that expires twice is not used a third time: the list then comes whole.
- Who must not act by a stale store (a new leader) has it listed anew: a watch may have fallen silent, unnoticed yet.
- Never back in time: a list or event older than what was seen is not taken. So a cluster restored from a backup needs a
  restart of its controllers, as https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd says.
- Failures wait with jittered exponential back-off, or as long as Retry-After says.
"""

import asyncio
import logging
import random
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from kubeloop.client import errors
from kubeloop.client.back_off import BackOff
from kubeloop.client.watching import WatchEvent
from kubeloop.informer.selection import Selection
from kubeloop.informer.source import Sink, Source
from kubeloop.informer.version import version_number
from kubeloop.model.base import KubeObject, ObjectKey
from kubeloop.model.codec import Undecodable

T = TypeVar("T", bound=KubeObject)

log = logging.getLogger(__name__)

PAGE = 500

IDLE_TIMEOUT_S = 80.0
"""The API server sends a bookmark about every minute: a watch that is silent for longer is dead."""

STREAMS_BROKEN = 2
"""So many broken WatchList streams, for whatever reason, and this time it is a list."""

LASTING_S = 10.0
"""A watch that ends without an event after this time is quiet; sooner, again and again, it is spinning."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long to bear what, in seconds.

    `answer_s` is for an answer to begin, by failures in a row. Short at first: what was sent into a fault may be
    repeated by TCP only seconds after its end, a new connection is not. Then longer, because a server that is merely
    slow must get the time that it needs.

    A server that ignores `sendInitialEvents` never marks their end: it falls silent (`collect_silent_s`) or goes on for
    ever (`collect_longest_s`). One that refuses WatchList is asked again after `refused_s`.
    """

    answer_s: tuple[float, ...] = (5.0, 5.0, 5.0, 15.0, 30.0)
    collect_silent_s: float = 10.0
    collect_longest_s: float = 120.0
    refused_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Empty:
    """A list is due. `least` is the newest version seen so far: an older list is not taken. `asked` is how often
    somebody had asked for one when this became due.
    """

    least: int = 0
    reason: str = "initial"
    asked: int = 0
    streams_broken: int = 0
    tokens_expired: int = 0


@dataclass(slots=True)
class Collecting(Generic[T]):
    """A WatchList stream is open; what it sent so far. If it breaks, `due` is the state again."""

    due: Empty
    until: float
    objects: dict[ObjectKey, T] = field(default_factory=dict)
    undecodable: dict[ObjectKey, Undecodable] = field(default_factory=dict)

    def take(self, event: WatchEvent[T]) -> None:
        """Objects may also change or go while they are being sent."""
        thing = event.object if event.object is not None else event.undecodable
        if thing is None:
            return
        self.objects.pop(thing.key, None)
        self.undecodable.pop(thing.key, None)
        if event.type == "DELETED":
            return
        if isinstance(thing, Undecodable):
            self.undecodable[thing.key] = thing
        else:
            self.objects[thing.key] = thing


@dataclass(slots=True)
class Listed:
    """Everything up to `version` was told. Moves forward in place: there is one for each event."""

    version: str
    number: int

    @classmethod
    def at(cls, version: str) -> "Listed":
        return cls(version, version_number(version))


class _Silent(errors.Unavailable):
    """The server has not answered, or said nothing more, in time."""


class Reflector(Generic[T]):
    """Keeps a `Sink` equal to a collection. `run` ends only by cancellation.

    `heard_at` is when the server last said anything, in the event loop's time.
    """

    def __init__(
        self,
        source: Source,
        kind: type[T],
        sink: Sink[T],
        selection: Selection,
        back_off: BackOff,
        *,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        timing: Timing = Timing(),
    ) -> None:
        self._source = source
        self._kind = kind
        self._sink = sink
        self._selection = selection
        self._back_off = back_off
        self._idle_timeout_s = idle_timeout_s
        self._timing = timing
        self.state: Empty | Collecting[T] | Listed = Empty()
        self.heard_at = 0.0
        self._list_until = 0.0  # the server has refused WatchList: loop time until when not to ask again
        self._failures = 0  # in a row
        self._asked = 0
        self._askers: list[tuple[int, asyncio.Future[None]]] = []
        self._following: asyncio.Timeout | None = None  # of the stream that is open
        self._told = 0  # events that led to another version: what tells progress from spinning

    async def list_anew(self) -> None:
        """Returns when a list that began after this call was told."""
        loop = asyncio.get_running_loop()
        self._asked += 1
        done: asyncio.Future[None] = loop.create_future()
        self._askers.append((self._asked, done))
        if self._following is not None and not self._following.expired():  # that ends by itself
            self._following.reschedule(loop.time())
        await done

    def _heed(self) -> None:
        """Who asked for a list gets one that begins now."""
        asked = self._askers[-1][0] if self._askers else 0
        if isinstance(self.state, Empty):
            self.state = replace(self.state, asked=asked)
        elif isinstance(self.state, Listed) and asked:
            self.state = Empty(self.state.number, "asked", asked)

    def _asked_since(self, due: Empty | None) -> bool:
        """Somebody wants a list that began later than this stream, which is the list that was `due`, or none."""
        return bool(self._askers) and (due is None or due.asked < self._askers[-1][0])

    async def run(self) -> None:
        """Follows the collection until cancelled."""
        loop = asyncio.get_running_loop()
        self.heard_at = loop.time()
        while True:
            self._heed()
            told, began_at, was_empty = self._told, loop.time(), isinstance(self.state, Empty)
            error: errors.ApiError | None = None
            try:
                await self.step()
            except errors.ApiError as caught:
                error = caught
            lasting = error is None and loop.time() - began_at >= LASTING_S
            if self._told > told or lasting:
                self._failures = 0
            elif error is None and was_empty and isinstance(self.state, Listed):
                continue  # a list: whether it led anywhere the watch will tell
            await self._recover(error)

    async def step(self) -> None:
        """One list, or one stream until it ends, and the state it leads to.

        Raises `ApiError`; what was told before counts.
        """
        if isinstance(self.state, Listed):
            await self._watch(self.state)
        elif isinstance(self.state, Empty) and self._may_stream(self.state):
            await self._stream(self.state)
        else:
            await self._list(self.state if isinstance(self.state, Empty) else self.state.due)

    async def _recover(self, error: errors.ApiError | None) -> None:
        """After a turn that failed or came to nothing: the state to go on from, and a pause.

        An orderly end and a 410 cost no pause unless they come again at once.
        """
        if isinstance(self.state, Collecting):
            self.state = self.state.due
        if error is not None and _is_gone(error):
            log.info("version is gone, listing anew: kind=%s cause=%s", self._kind.__name__, error)
            self.state = self._after_gone()
        elif error is not None:
            log.warning("watch failed, will resume: kind=%s cause=%s", self._kind.__name__, error)
            self._failures += 1
            await self._pause(self._failures, error.retry_after_s)
            return
        self._failures += 1
        if self._failures > 1:
            await self._pause(self._failures - 1, error.retry_after_s if error else None)

    def _after_gone(self) -> Empty:
        if isinstance(self.state, Listed):
            return Empty(self.state.number, "gone")
        assert isinstance(self.state, Empty), "what was collected has been dropped"
        return replace(self.state, tokens_expired=self.state.tokens_expired + 1)

    async def _pause(self, failures: int, retry_after_s: float | None) -> None:
        # added, not the longer of the two: many were told the same Retry-After
        await asyncio.sleep(self._back_off.delay_s(failures) + (retry_after_s or 0.0))

    def _answer_s(self) -> float:
        bounds = self._timing.answer_s
        return bounds[min(self._failures, len(bounds) - 1)]

    # the paged list

    async def _list(self, due: Empty) -> None:
        objects: list[T] = []
        undecodable: list[Undecodable] = []
        whole = due.tokens_expired > 1
        continue_ = ""
        while True:
            answer_s = self._timing.answer_s[-1] if whole else self._answer_s()
            try:
                async with asyncio.timeout(answer_s):
                    page = await self._source.list(
                        self._kind,
                        namespace=self._selection.namespace,
                        label_selector=self._selection.label_selector,
                        field_selector=self._selection.field_selector,
                        limit=0 if whole else PAGE,
                        continue_=continue_,
                    )
            except TimeoutError as error:
                raise _Silent(f"list: no answer within {answer_s} s") from error
            self.heard_at = asyncio.get_running_loop().time()
            objects += page.items
            undecodable += page.undecodable
            continue_ = page.continue_
            if not continue_:
                break
        self._replace(due, objects, undecodable, page.resource_version)

    def _replace(self, due: Empty, objects: list[T], undecodable: list[Undecodable], version: str) -> None:
        listed = Listed.at(version)
        if listed.number < due.least:
            raise errors.Unavailable(f"the list at {version} is older than {due.least}, which was seen")
        self._sink.replaced(objects, undecodable, version, due.reason)
        self.state = listed
        self._tell_askers(due.asked)

    def _tell_askers(self, until: int) -> None:
        for asked, done in self._askers:
            if asked <= until and not done.done():
                done.set_result(None)
        self._askers = [(asked, done) for asked, done in self._askers if not done.done()]

    # WatchList

    def _may_stream(self, due: Empty) -> bool:
        return due.streams_broken < STREAMS_BROKEN and asyncio.get_running_loop().time() >= self._list_until

    async def _stream(self, due: Empty) -> None:
        try:
            await self._follow("", due)
        except errors.ApiError as error:
            if isinstance(self.state, Listed):
                raise
            refused = _refuses_stream(error) or (isinstance(error, _Silent) and isinstance(self.state, Collecting))
            self.state = replace(due, streams_broken=due.streams_broken + 1)
            if not refused:
                raise
            log.info("no WatchList here, listing instead: kind=%s cause=%s", self._kind.__name__, error)
            self._list_until = asyncio.get_running_loop().time() + self._timing.refused_s
            await self._list(self.state)
        else:
            if isinstance(self.state, Collecting):
                self.state = replace(due, streams_broken=due.streams_broken + 1)

    # the watch

    async def _watch(self, state: Listed) -> None:
        await self._follow(state.version, None)

    async def _follow(self, version: str, due: Empty | None) -> None:
        """One stream until it ends; with `due` one that begins with what is there."""
        loop = asyncio.get_running_loop()
        answer_s = self._answer_s()
        silence = asyncio.timeout(answer_s)
        try:
            async with (
                silence,
                self._source.watch(
                    self._kind,
                    resource_version=version,
                    namespace=self._selection.namespace,
                    label_selector=self._selection.label_selector,
                    field_selector=self._selection.field_selector,
                    timeout_s=random.randint(300, 600),  # noqa: S311 - spreads the reconnects of many watchers
                    send_initial_events=due is not None,
                ) as events,
            ):
                if due is not None:
                    self.state = Collecting(due, loop.time() + self._timing.collect_longest_s)
                armed = self._heard(loop.time(), silence, 0.0)
                self._following = silence
                if self._asked_since(due):
                    return
                async for event in events:
                    self._take(event)
                    armed = self._heard(loop.time(), silence, armed)
                    if self._askers and self._asked_since(due):
                        return  # the event came first, and has put off the end that was asked for
        except TimeoutError as error:
            if self._asked_since(due):
                return
            raise _Silent("watch: silent for too long") from error
        finally:
            self._following = None

    def _heard(self, now: float, silence: asyncio.Timeout, armed: float) -> float:
        """Notes that the server said something; gives the time until which it may now be silent."""
        self.heard_at = now
        if isinstance(self.state, Collecting):
            until = min(now + self._timing.collect_silent_s, self.state.until)
        else:
            until = now + self._idle_timeout_s
        if 0 <= until - armed <= 1:
            return armed  # a timer for each event would cost more than the event
        silence.reschedule(until)
        return until

    def _take(self, event: WatchEvent[T]) -> None:
        """One event, by state."""
        state = self.state
        if isinstance(state, Listed):
            version = event.resource_version
            number = version_number(version)
            if not version and event.undecodable is not None:
                self._tell(event, state.version)  # not even its version decodes
            elif number >= state.number:
                self._tell(event, version)
                self._told += version != state.version
                state.version, state.number = version, number
        elif isinstance(state, Collecting):
            if event.initial_events_end:
                objects, undecodable = list(state.objects.values()), list(state.undecodable.values())
                self._replace(state.due, objects, undecodable, event.resource_version)
            else:
                state.take(event)

    def _tell(self, event: WatchEvent[T], version: str) -> None:
        obj, broken = event.object, event.undecodable
        if event.type == "DELETED":
            if obj is not None:
                self._sink.deleted(obj.key, obj, version)
            elif broken is not None:
                self._sink.deleted(broken.key, None, version)
        elif obj is not None:
            self._sink.changed(obj, version)
        elif broken is not None:
            self._sink.not_decoded(broken, version)
        else:
            self._sink.advanced(version)


def _is_gone(error: errors.ApiError) -> bool:
    return isinstance(error, errors.Gone) or error.reason in ("Expired", "Gone")


def _refuses_stream(error: errors.ApiError) -> bool:
    """Whether a server without WatchList says so.

    400 or 422 from one that knows the parameter or not; an ERROR event of 500 with etcd 3.4 ("storage feature
    RequestWatchProgress is disabled").
    """
    return isinstance(error, (errors.BadRequest, errors.Invalid)) or error.status == 500
