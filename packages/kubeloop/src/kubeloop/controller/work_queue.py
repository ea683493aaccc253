"""The work queue: add, get, done. One entry a key however many events; a key is never worked on twice at a time.

Three fields carry it, as in every correct controller queue since client-go:
- `_ready` keys to hand out, in order. Each is in `_dirty` and not in `_active`.
- `_dirty` keys that need work. A key added while active stays here, and goes to `_ready` when it is done.
- `_active` keys that a worker has.

Delayed adds live in one heap with one timer; the earliest wins, and a key that becomes ready anyway forgets its delay.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from kubeloop.client.back_off import BackOff

K = TypeVar("K", bound=Hashable)


class QueueClosed(Exception):
    """The queue was closed and is empty: the worker may go."""


class WorkQueue(Generic[K]):
    """See the module. All methods but `get` are synchronous; use from one event loop."""

    def __init__(self, back_off: BackOff) -> None:
        self._back_off = back_off
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._active: set[K] = set()
        self._failures: dict[K, int] = {}
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None
        self._getters: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: K) -> None:
        """The key needs work, now."""
        if self._closed:
            return
        self._due.pop(key, None)
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._active:
            self._push(key)

    def add_after(self, key: K, delay_s: float) -> None:
        """The key needs work in `delay_s`; an earlier time that is set already stays."""
        if delay_s <= 0:
            self.add(key)
            return
        if self._closed or (key in self._dirty and key not in self._active):
            return
        due = asyncio.get_running_loop().time() + delay_s
        if self._due.get(key, due + 1) <= due:
            return
        self._due[key] = due
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, key))
        self._set_timer()

    def add_failed(self, key: K, *, at_least_s: float = 0.0) -> float:
        """The key's work failed: it comes again after its back-off, whose seconds are returned."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay_s = max(self._back_off.delay_s(failures), at_least_s)
        self.add_after(key, delay_s)
        return delay_s

    def forget(self, key: K) -> None:
        """The key's work succeeded: its failures are over."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key; every `get` is answered with a `done`. Raises `QueueClosed`."""
        while not self._ready:
            if self._closed:
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
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._active.add(key)
        return key

    def done(self, key: K) -> None:
        """The worker has finished with the key; if it was added meanwhile it comes again."""
        self._active.discard(key)
        if key in self._dirty:
            self._push(key)

    def close(self) -> None:
        """No more adds and no more keys: every `get` raises `QueueClosed` from now on."""
        self._closed = True
        self._ready.clear()
        self._due.clear()
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
        while self._getters:
            self._wake()

    def _push(self, key: K) -> None:
        self._ready.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._timer = asyncio.get_running_loop().call_at(self._heap[0][0], self._expire)

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:  # else superseded
                self.add(key)
        self._set_timer()
