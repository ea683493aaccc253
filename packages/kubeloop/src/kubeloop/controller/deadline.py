"""A deadline for each of a worker's reconciles, at a fifth of `asyncio.timeout`'s cost, a third of a short reconcile.

One timer serves many turns. When it is due it looks whether the turn that runs by then has had its time, and is set
anew if not. All else is as with `asyncio.timeout`: the task is cancelled, and that leaves the turn as `TimeoutError`.
"""

import asyncio
from types import TracebackType
from typing import Self


class Deadline:
    """A context manager for the turns of the task that makes it, one after the other. `expired`: the last one's was."""

    __slots__ = ("_cancelling", "_loop", "_running", "_seconds", "_task", "_timer", "_until", "expired")

    def __init__(self, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None, "a deadline is made within a task"
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._running = False
        self._until = 0.0
        self._cancelling = 0
        self._timer: asyncio.TimerHandle | None = None
        self.expired = False

    def __enter__(self) -> Self:
        self.expired = False
        self._running = True
        self._cancelling = self._task.cancelling()
        self._until = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._until, self._look)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = False
        # a cancellation from elsewhere, before ours or beside it, is passed on as what it is
        if self.expired and self._task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def close(self) -> None:
        """No more turns: takes the timer back."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if not self._running:
            return
        if self._loop.time() < self._until:
            self._timer = self._loop.call_at(self._until, self._look)
        else:
            self.expired = True
            self._task.cancel()
