"""The work queue: add, get, done. One entry a key however many events; a key is never worked on twice at a time.

Three fields carry it, as in every correct controller queue since client-go:
- `_live`, `_low`: ready keys by priority, each since when, in order. A key is in at most one of them, and not active.
- `_active`: keys that a worker has, or that are parked.
- `_again`: the active keys that were added meanwhile, by priority: they are ready again once done.

Delayed adds live in one heap with one timer; the earliest wins, and a key that becomes ready anyway forgets its delay:
whoever works on it sees everything there is and can ask anew.

Priorities: what just happened goes before resyncs and first lists, and a key that waits low moves up when something
happens to it. After `LIVE_IN_A_ROW` live keys one low key is handed out, so no flood of events starves the low ones.

Retries wait for their key's back-off and for a token of the `RetryLimit`, which all keys share; adds never do.
"""

import asyncio
import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

from kubeloop.client.back_off import BackOff
from kubeloop.metrics import Metrics

K = TypeVar("K", bound=Hashable)

LIVE_IN_A_ROW = 16


class QueueClosed(Exception):
    """The queue was closed, and nothing is left for this worker: it may go."""


class Priority(IntEnum):
    """`LIVE`: something happened. `LOW`: nobody waits for it (the first list, a resync)."""

    LOW = 0
    LIVE = 1


@dataclass(frozen=True, slots=True)
class RetryLimit:
    """How many retries a second one queue makes, all keys together, after `burst` at once: a token bucket.

    client-go's default is 10 a second, by which 10,000 keys that failed in an outage need 1,000 s after it. The API
    server has limits of its own (429 is obeyed), so ours only keeps one process from spending itself on retries.
    """

    per_s: float = 100.0
    burst: int = 100


@dataclass(slots=True)
class _Work:
    """An active key's: from when to when a worker had it (`until` is 0 while one has), and as what it came."""

    since: float
    priority: Priority
    until: float = 0.0


class WorkQueue(Generic[K]):
    """Keys that need work, each once, and never with two workers.

    All methods but `get` and `drained` are synchronous; use within one running event loop.
    """

    def __init__(
        self,
        back_off: BackOff,
        *,
        retry_limit: RetryLimit = RetryLimit(),
        name: str = "",
        metrics: Metrics | None = None,
    ) -> None:
        """`name` is the metrics' label: of queues of one name in one `Metrics` the last made shows its gauges."""
        self._back_off = back_off
        self._retry_limit = retry_limit
        self._next_retry = float("-inf")  # when the bucket is full again, less its burst
        self._live: OrderedDict[K, float] = OrderedDict()
        self._low: OrderedDict[K, float] = OrderedDict()
        self._live_in_a_row = 0
        self._active: dict[K, _Work] = {}
        self._again: dict[K, Priority] = {}
        self._failures: dict[K, int] = {}
        self._due: dict[K, tuple[float, int, Priority]] = {}  # when, its entry's number in the heap, as what
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None
        self._getters: deque[asyncio.Future[None]] = deque()
        self._closing = False
        self._idle = asyncio.Event()
        self._measure(name, metrics if metrics is not None else Metrics())

    def _measure(self, name: str, metrics: Metrics) -> None:
        self._adds = metrics.queue_adds.labels(name)
        self._retries = metrics.queue_retries.labels(name)
        self._queue_seconds = metrics.queue_seconds.labels(name)
        self._work_seconds = metrics.work_seconds.labels(name)
        # what can be counted when somebody looks costs nothing before
        metrics.queue_depth.labels(name, "live").set_function(lambda: len(self._live))
        metrics.queue_depth.labels(name, "low").set_function(lambda: len(self._low))
        metrics.unfinished_seconds.labels(name).set_function(lambda: sum(self._in_work_s()))
        metrics.longest_seconds.labels(name).set_function(lambda: max(self._in_work_s(), default=0.0))
        self._now: Callable[[], float] | None = None

    def _time(self) -> float:
        if self._now is None:
            self._now = asyncio.get_running_loop().time
        return self._now()

    def _in_work_s(self) -> list[float]:
        if not self._active:
            return []
        now = self._time()
        return [now - work.since for work in tuple(self._active.values()) if not work.until]

    def __len__(self) -> int:
        """How many keys are ready."""
        return len(self._live) + len(self._low)

    @property
    def active(self) -> int:
        """How many keys are with workers; parked ones do not count."""
        return sum(not work.until for work in self._active.values())

    @property
    def closing(self) -> bool:
        """No adds are taken any more."""
        return self._closing

    def add(self, key: K, priority: Priority = Priority.LIVE) -> None:
        """The key needs work, now. A closed queue takes no adds."""
        if self._closing:
            return
        self._adds.inc()
        if self._due:
            self._due.pop(key, None)
        if key in self._active:
            if self._again.get(key, Priority.LOW) <= priority:
                self._again[key] = priority
        else:
            self._push(key, priority)

    def add_after(self, key: K, delay_s: float, priority: Priority = Priority.LIVE) -> None:
        """The key needs work in `delay_s`; an earlier time that is set already stays, and so does being ready."""
        if delay_s <= 0:
            self.add(key, priority)
            return
        if self._closing or key in self._live or key in self._low:
            return
        due = self._time() + delay_s
        known = self._due.get(key)
        if known is not None:
            priority = max(priority, known[2])
            if known[0] <= due:
                self._due[key] = known[0], known[1], priority
                return
        self._sequence += 1
        self._due[key] = due, self._sequence, priority
        heapq.heappush(self._heap, (due, self._sequence, key))
        self._compact()
        if self._timer is None or due < self._timer.when():
            self._set_timer()

    def add_failed(self, key: K, *, at_least_s: float = 0.0) -> float:
        """The active key's work failed: it comes again, with the priority it had, after its back-off, whose seconds
        are returned.
        """
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self._retries.inc()
        delay_s = max(self._back_off.delay_s(failures), at_least_s, self._take_token())
        self.add_after(key, delay_s, self.priority_of(key))
        return delay_s

    def _take_token(self) -> float:
        # the bucket as one number (GCRA): each retry moves it on by its share, never more than a burst behind now
        now = self._time()
        share_s = 1.0 / self._retry_limit.per_s
        self._next_retry = max(self._next_retry, now - self._retry_limit.burst * share_s) + share_s
        return max(0.0, self._next_retry - now)

    def priority_of(self, key: K) -> Priority:
        """With what priority an active key was handed out; LIVE for one that is not active."""
        work = self._active.get(key)
        return work.priority if work is not None else Priority.LIVE

    def forget(self, key: K) -> None:
        """The key's work succeeded: its failures are over."""
        if self._failures:
            self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key; every `get` is answered with a `done`. Raises `QueueClosed`."""
        while not (self._live or self._low):
            if self._closing and not self._again:
                raise QueueClosed
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake()  # we were chosen and go: somebody else must take it
                raise
            finally:
                if getter in self._getters:
                    self._getters.remove(getter)
        return self._take()

    def _take(self) -> K:
        priority = Priority.LIVE
        if self._live and not (self._low and self._live_in_a_row >= LIVE_IN_A_ROW):
            self._live_in_a_row = self._live_in_a_row + 1 if self._low else 0
            key, ready = self._live.popitem(last=False)
        else:
            self._live_in_a_row = 0
            priority = Priority.LOW
            key, ready = self._low.popitem(last=False)
        now = self._time()
        self._queue_seconds.observe(now - ready)
        self._active[key] = _Work(now, priority)
        return key

    def park(self, key: K) -> None:
        """The worker has finished with the key, but nobody may have it before `done`."""
        work = self._active[key]
        if not work.until:
            work.until = self._time()
            self._work_seconds.observe(work.until - work.since)

    def done(self, key: K) -> None:
        """The key is not worked on any more; if it was added meanwhile it is ready again. Raises KeyError for a key
        that is not active.
        """
        self.park(key)
        del self._active[key]
        if self._again and (again := self._again.pop(key, None)) is not None:
            self._due.pop(key, None)
            self._push(key, again)
        if self._closing:
            self._end()

    def close(self, *, drain: bool = False) -> None:
        """No adds any more, and delayed ones are given up. With `drain` what is ready, or was added while active, is
        still handed out; without, every `get` raises `QueueClosed` from now on.
        """
        self._closing = True
        self._due.clear()
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not drain:
            self._live.clear()
            self._low.clear()
            self._again.clear()
        self._end()

    async def drained(self) -> None:
        """Waits until a closed queue has nothing ready and nothing active."""
        await self._idle.wait()

    def _end(self) -> None:
        if not self._again:
            while self._getters:
                self._wake()
            if not self._active and not len(self):
                self._idle.set()

    def _push(self, key: K, priority: Priority) -> None:
        if key in self._live:
            return
        since = self._low.get(key)
        if since is not None:
            if priority is Priority.LIVE:
                self._live[key] = self._low.pop(key)
            return
        (self._live if priority is Priority.LIVE else self._low)[key] = self._time()
        if self._getters:
            self._wake()

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _compact(self) -> None:
        # superseded entries would pile up until their time: a key with an hour's delay and many events
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [(due, number, key) for key, (due, number, _) in self._due.items()]
            heapq.heapify(self._heap)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._timer = asyncio.get_running_loop().call_at(self._heap[0][0], self._expire)

    def _expire(self) -> None:
        now = self._time()
        self._timer = None
        while self._heap and self._heap[0][0] <= now:
            _, number, key = heapq.heappop(self._heap)
            known = self._due.get(key)
            if known is not None and known[1] == number:  # else superseded
                self.add(key, known[2])
        self._set_timer()
