"""Events (events.k8s.io/v1): what people see of an object's life in `kubectl describe`.

`event` only notes; `run` sends, one call at a time. Best effort by contract: no trouble with the API reaches the
caller, what is not sent is counted by reason, and everything held is bounded. As in client-go's recorder (KEP-383):

- Events that differ only in their note are one series while no more than 6 minutes pass between two of them: one Event,
  with the first note, whose count is patched, at most once a minute.
- An object gets 25 series at once and one more each 5 minutes; further ones are dropped.

What it does not do: it keeps no event over a restart.
Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

import asyncio
import heapq
import itertools
import logging
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import ClassVar, Literal

import msgspec

from kubeloop.client import errors
from kubeloop.client.back_off import BackOff
from kubeloop.client.client import Client, MergePatch
from kubeloop.metrics import Metrics
from kubeloop.model.base import KubeObject, KubeStruct, ObjectMeta, Resource
from kubeloop.model.times import micro_time_now

log = logging.getLogger(__name__)

EventKind = Literal["Normal", "Warning"]

_NOTE_BYTES = 1024
_WORD_LENGTH = 128
_NAME_LENGTH = 253
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")

_SERIES_END_S = 360.0
_SERIES_WRITE_S = 60.0
_BURST = 25
_REFILL_S = 300.0
_OBJECTS = 4096
_ATTEMPTS = 12
_BACK_OFF = BackOff(first_s=1, longest_s=10)


class ObjectReference(KubeStruct, frozen=True, kw_only=True):
    """Names an object in an Event. https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-reference/"""

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    field_path: str = ""


class EventSeries(KubeStruct, frozen=True, kw_only=True):
    count: int = 0
    last_observed_time: str = ""


class Event(KubeObject, frozen=True, kw_only=True):
    """events.k8s.io/v1 Event. Once created only its series may change. The times are MicroTimes."""

    resource: ClassVar[Resource] = Resource("events.k8s.io", "v1", "events", "Event")

    event_time: str = ""
    type: str = ""
    reason: str = ""
    action: str = ""
    note: str = ""
    reporting_controller: str = ""
    reporting_instance: str = ""
    regarding: ObjectReference = ObjectReference()
    related: ObjectReference | None = None
    series: EventSeries | None = None


def reference(obj: KubeObject | ObjectReference) -> ObjectReference:
    """What an Event says of an object."""
    if isinstance(obj, ObjectReference):
        return obj
    meta = obj.metadata
    return ObjectReference(
        api_version=obj.resource.api_version,
        kind=obj.resource.kind,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
    )


@dataclass(frozen=True, slots=True)
class _Key:
    """Events with the same key are a series."""

    regarding: ObjectReference
    related: ObjectReference | None
    type: str
    reason: str
    action: str


@dataclass(slots=True)
class _Series:
    """One Event on the server, or on its way there. `written` is the count that the server has, 0 before the create."""

    event: Event
    seen_at: float
    seen_time: str
    count: int = 1
    written: int = 0
    tried_at: float = float("-inf")
    failures: int = 0
    planned: bool = False
    counted: bool = False  # among the recorder's new ones while planned: the create may succeed meanwhile


@dataclass(slots=True)
class _Bucket:
    """The series that an object may still start."""

    tokens: float
    at: float

    def take(self, now: float) -> bool:
        self.tokens = min(_BURST, self.tokens + (now - self.at) / _REFILL_S)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class EventRecorder:
    """Records events for one component; `run` must be running for them to be sent. For one event loop's thread."""

    def __init__(
        self,
        client: Client,
        *,
        reporting_controller: str,
        reporting_instance: str,
        metrics: Metrics | None = None,
        queue_size: int = 1000,
        flush_s: float = 2.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`reporting_controller` is a qualified name, as `kubeloop.dev/widgets`; the instance is the process's name.

        Of new events at most `queue_size` wait to be sent. When `run` is cancelled it goes on sending for `flush_s`.
        Raises `ValueError` for an empty name: the server would refuse every event.
        """
        if not reporting_controller or not reporting_instance:
            raise ValueError("events need a reporting controller and a reporting instance")
        self._client = client
        self._controller = reporting_controller
        self._instance = reporting_instance[:_WORD_LENGTH]
        self._dropped = (metrics or Metrics()).events_dropped
        self._queue_size = queue_size
        self._flush_s = flush_s
        self._clock = clock if clock is not None else time.monotonic  # not a default: it would bind the real one
        # both least recently used first, and bounded
        self._series: dict[_Key, _Series] = {}
        self._buckets: dict[ObjectReference, _Bucket] = {}
        # each planned series once: when it is due, and its turn among those
        self._plan: list[tuple[float, int, _Series]] = []
        self._turns = itertools.count()
        # of those planned, the ones that the server did not know then
        self._new = 0
        self._planned = asyncio.Event()

    def event(
        self,
        regarding: KubeObject | ObjectReference,
        *,
        type: EventKind,
        reason: str,
        action: str,
        note: str = "",
        related: KubeObject | ObjectReference | None = None,
    ) -> None:
        """Notes an event; never waits and never raises for the API's trouble.

        `reason` (why) and `action` (what was done or failed) are CamelCase words of at most 128 characters, stable
        for machines; `note` is for people and is cut to 1024 bytes. The Event is in the object's namespace, in
        `default` for cluster-scoped kinds.
        """
        other = None if related is None else reference(related)
        key = _Key(reference(regarding), other, type, reason, action)
        now = self._clock()
        series = self._series.pop(key, None)
        if series is not None and now - series.seen_at < _SERIES_END_S:
            series.count += 1
            series.seen_at, series.seen_time = now, micro_time_now()
            self._send_at(series, max(now, series.tried_at + _SERIES_WRITE_S))
        elif self._new >= self._queue_size:
            self._drop("queue_full", key)
            return
        elif not self._bucket(key.regarding, now).take(now):
            self._drop("rate_limited", key)
            return
        else:
            series = _Series(self._first(key, note), now, micro_time_now())
            self._send_at(series, now)
        self._series[key] = series
        self._forget_old(now)

    async def run(self) -> None:
        """Sends until cancelled; then what still waits, for a moment."""
        try:
            while True:
                await self._send(await self._next())
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._flush_s):
                    for _ in range(len(self._plan)):
                        await self._send(self._take())
            while self._plan:
                self._drop("shutdown", self._take().event)
            raise

    def _first(self, key: _Key, note: str) -> Event:
        now = micro_time_now()
        distinct = blake2b(repr((key, self._controller, self._instance, now)).encode(), digest_size=8).hexdigest()
        name = key.regarding.name
        if not _SUBDOMAIN.fullmatch(name):
            name = "event"  # kinds whose names an Event may not have, as system:node
        name = name[: _NAME_LENGTH - 1 - len(distinct)].rstrip("-.")
        return Event(
            metadata=ObjectMeta(name=f"{name}.{distinct}", namespace=key.regarding.namespace or "default"),
            event_time=now,
            type=key.type,
            reason=key.reason[:_WORD_LENGTH],
            action=key.action[:_WORD_LENGTH],
            note=note.encode()[:_NOTE_BYTES].decode(errors="ignore"),
            reporting_controller=self._controller,
            reporting_instance=self._instance,
            regarding=key.regarding,
            related=key.related,
        )

    def _bucket(self, regarding: ObjectReference, now: float) -> _Bucket:
        bucket = self._buckets.pop(regarding, None) or _Bucket(_BURST, now)
        self._buckets[regarding] = bucket
        if len(self._buckets) > _OBJECTS:
            del self._buckets[next(iter(self._buckets))]
        return bucket

    def _forget_old(self, now: float) -> None:
        while self._series:
            key, oldest = next(iter(self._series.items()))
            if len(self._series) <= _OBJECTS and now - oldest.seen_at < _SERIES_END_S:
                return
            del self._series[key]

    def _send_at(self, series: _Series, at: float) -> None:
        if not series.planned:
            series.planned = True
            series.counted = series.written == 0
            self._new += series.counted
            heapq.heappush(self._plan, (at, next(self._turns), series))
            self._planned.set()

    def _take(self) -> _Series:
        _, _, series = heapq.heappop(self._plan)
        series.planned = False
        self._new -= series.counted
        return series

    async def _next(self) -> _Series:
        while True:
            wait_s = self._plan[0][0] - self._clock() if self._plan else None
            if wait_s is not None and wait_s <= 0:
                return self._take()
            self._planned.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._planned.wait()

    async def _send(self, series: _Series) -> None:
        count, seen_time = series.count, series.seen_time
        series.tried_at = self._clock()
        try:
            await self._write(series, EventSeries(count=count, last_observed_time=seen_time))
        except asyncio.CancelledError:
            self._send_at(series, self._clock())
            raise
        except (errors.Unavailable, errors.Throttled, errors.Unauthorized) as error:
            series.failures += 1
            if series.failures < _ATTEMPTS:
                self._send_at(series, self._clock() + (error.retry_after_s or _BACK_OFF.delay_s(series.failures)))
                return
            self._drop("unavailable", series.event, error)
        except errors.ApiError as error:
            self._drop(_why(error), series.event, error)
        else:
            series.written = count  # what was noted meanwhile has planned the next write
        series.failures = 0

    async def _write(self, series: _Series, seen: EventSeries) -> None:
        event = series.event
        meta = event.metadata
        body = {"series": {"count": seen.count, "lastObservedTime": seen.last_observed_time}}
        if series.written:
            with suppress(errors.NotFound):  # it lives for an hour by default: then it is created anew
                await self._client.patch(Event, meta.name, MergePatch(body), namespace=meta.namespace)
                return
        try:
            await self._client.create(_with_series(event, seen))
        except errors.AlreadyExists:
            # our own create, whose answer was lost: nobody else makes this name
            if seen.count > 1:
                await self._client.patch(Event, meta.name, MergePatch(body), namespace=meta.namespace)

    def _drop(self, why: str, what: _Key | Event, error: errors.ApiError | None = None) -> None:
        self._dropped.labels(why).inc()
        level = logging.WARNING if why == "refused" else logging.DEBUG
        about = {"object": f"{what.regarding.kind} {what.regarding.namespace}/{what.regarding.name}"}
        log.log(level, "event dropped", extra={**about, "why": why, "reason": what.reason, "error": str(error or "")})


def _with_series(event: Event, seen: EventSeries) -> Event:
    if seen.count < 2:
        return event

    return msgspec.structs.replace(event, series=seen)


def _why(error: errors.ApiError) -> str:
    if isinstance(error, errors.NotLeader):
        return "not_leader"
    if isinstance(error, errors.NotFound) or (isinstance(error, errors.Forbidden) and error.namespace_terminating):
        return "namespace_gone"
    return "refused"
