"""An event loop whose clock stands still while there is work, and jumps to the next timer when there is none.

Sleeps and time-outs of hours pass in no time, and in order: by their moment, then by when they were set. Nothing leaves
this process: whatever would wait for a socket, a program, a thread or a signal raises `InProcessOnly`. A loop with
nothing to do and no timer would wait for ever (`Deadlock`); one that is never done at one moment would spin for ever
(`Livelock`). Both are raised out of the loop, past the code that runs on it.

Tasks hash by their number, not their address, so that sets of them (a task group's) have the same order in each run.

Code may have an `Owner`, which its context carries: while that is halted its callbacks are withheld and the others go
on. So one loop runs several simulated processes, of which one may stand still or be dead.
"""

import asyncio
import contextvars
import heapq
import logging
import threading
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from kubeloop.testing.outside import InProcess
from kubeloop.testing.outside import InProcessOnly as InProcessOnly

P = ParamSpec("P")
R = TypeVar("R")

START_S = 1000.0

TURNS_AT_ONE_MOMENT = 100_000
"""Of the loop. A burst of ten thousand objects takes about a tenth."""


class Deadlock(RuntimeError):
    """Nothing is ready and no timer is set: the loop would wait for ever."""


class Livelock(RuntimeError):
    """The loop is never done with one moment: no time can pass."""


class Owner:
    """Whose code it is. While `halted`, its callbacks wait in `withheld`, in their order; of a dead one they are
    dropped.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.halted = False
        self.withheld: deque[events.Handle] = deque()
        self.signal_handlers: dict[int, Callable[[], object]] = {}

    @property
    def dead(self) -> bool:
        """Nothing of it ever runs again."""
        return self.withheld.maxlen == 0


owner: ContextVar[Owner | None] = ContextVar("kubeloop_simulated_owner", default=None)


class _Task(asyncio.Task[Any]):
    def __init__(self, coro: Generator[Any, Any, Any], *, number: int, **options: Any) -> None:
        self.number = number
        given: contextvars.Context | None = options.get("context")
        self.context = given if given is not None else contextvars.copy_context()  # an empty one is false
        self.owner = self.context.get(owner)
        super().__init__(coro, **{**options, "context": self.context})

    def __hash__(self) -> int:
        return self.number


class VirtualTimeLoop(InProcess):
    """See the module. `on_move` is called with the new time whenever the clock has moved."""

    _ready: "deque[events.Handle]"  # of asyncio's base class, as are _stopping and _timer_cancelled_count

    def __init__(self, *, start_s: float = START_S, on_move: Callable[[float], None] | None = None) -> None:
        super().__init__()
        self._clock = start_s
        self._on_move = on_move
        self._timers: list[tuple[float, int, events.TimerHandle]] = []
        self._sequence = 0
        self._tasks = 0
        self._turns = 0
        self._thread = threading.get_ident()
        self._buried = False
        self._remains: list[asyncio.Task[Any]] = []  # of dead owners
        self.set_task_factory(self._new_task)

    def time(self) -> float:
        """The virtual clock, in seconds."""
        return self._clock

    @property
    def timers(self) -> int:
        """How many are set, or were cancelled and are not yet forgotten."""
        return len(self._timers)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> events.TimerHandle:
        """As of any loop; of two timers for one moment the first set runs first."""
        self._check_closed()  # type: ignore[attr-defined]
        timer = events.TimerHandle(when, callback, args, self, context)
        timer._scheduled = True  # type: ignore[attr-defined]
        self._sequence += 1
        heapq.heappush(self._timers, (when, self._sequence, timer))
        return timer

    def resume(self, who: Owner) -> None:
        """Ends a halt: what was withheld runs, in its order."""
        who.halted = False
        self._ready.extend(who.withheld)
        who.withheld.clear()

    def kill(self, who: Owner) -> None:
        """Nothing of `who` ever runs again."""
        # held, as the collector would run their `finally` in the midst of the run
        self._remains += tasks_of(self, who)
        who.halted = True
        who.withheld = deque(maxlen=0)

    def bury(self) -> None:
        """Ends what is left on a loop that will not run again: without a word, wherever it stands.

        The code of tasks does run once more, up to the first thing that it would wait for: `finally`, which nobody may
        look at any more.
        """
        self._buried = True
        silent = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            for _ in range(10):  # they may start others
                tasks = sorted(asyncio.all_tasks(self), key=hash)
                for task in tasks:
                    _close(task)
                if not tasks:
                    break
        finally:
            logging.disable(silent)

    def close(self) -> None:
        """As of any loop."""
        self._timers.clear()
        super().close()

    def _run_once(self) -> None:
        """One turn, as asyncio's: the clock moves if it must, then what was ready at its beginning runs."""
        ready = self._ready
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            self._move()
        else:
            self._turns += 1
            if self._turns > TURNS_AT_ONE_MOMENT:
                self._turns = 0
                raise Livelock(f"{TURNS_AT_ONE_MOMENT} turns at one moment; {_whose(ready[0]) if ready else ''}")
        self._take_due()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            who = handle._context.get(owner)  # type: ignore[attr-defined]
            if who is not None and who.halted:
                who.withheld.append(handle)
            else:
                handle._run()

    def _move(self) -> None:
        """To the next timer's moment."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)[2]._scheduled = False  # type: ignore[attr-defined]
            self._timer_cancelled_count -= 1
        if not timers or timers[0][0] == float("inf"):
            raise Deadlock("nothing is ready and no timer is set")
        if timers[0][0] > self._clock:
            self._turns = 0
            self._clock = timers[0][0]
            if self._on_move is not None:
                self._on_move(self._clock)

    def _take_due(self) -> None:
        timers = self._timers
        if self._timer_cancelled_count > 100 and self._timer_cancelled_count * 2 > len(timers):
            self._forget_cancelled()
            timers = self._timers
        while timers and timers[0][0] <= self._clock:
            timer = heapq.heappop(timers)[2]
            timer._scheduled = False  # type: ignore[attr-defined]
            if timer._cancelled:
                self._timer_cancelled_count -= 1
            else:
                self._ready.append(timer)

    def _forget_cancelled(self) -> None:
        kept = []
        for entry in self._timers:
            if entry[2]._cancelled:
                entry[2]._scheduled = False  # type: ignore[attr-defined]
            else:
                kept.append(entry)
        heapq.heapify(kept)
        self._timers = kept
        self._timer_cancelled_count = 0

    def _new_task(self, _: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> "asyncio.Task[Any]":
        self._tasks += 1
        if options.get("name") is None:
            options["name"] = f"Task-{self._tasks}"
        task = _Task(coro, loop=self, number=self._tasks, **options)
        task._log_destroy_pending = not self._buried  # type: ignore[attr-defined]
        return task

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        who = owner.get()
        if not (self._buried or (who is not None and who.dead)):
            super()._asyncgen_finalizer_hook(agen)  # type: ignore[misc]

    def _write_to_self(self) -> None:
        """Asked for by `call_soon_threadsafe`, to wake a loop that waits: this one never does."""
        if threading.get_ident() != self._thread:
            self.refuse("a call from another thread")

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        """Of the owner whose code asks, who sends it the signal."""
        who = owner.get()
        if who is None:
            self.refuse("a signal to code without an owner")
        who.signal_handlers[sig] = partial(callback, *args)

    def remove_signal_handler(self, sig: int) -> bool:
        """As of any loop."""
        who = owner.get()
        return who is not None and who.signal_handlers.pop(sig, None) is not None


def _whose(handle: events.Handle) -> str:
    callback = handle._callback  # type: ignore[attr-defined]
    task = getattr(callback, "__self__", None)
    return f"next is {task if isinstance(task, asyncio.Task) else callback!r}"


def _close(task: "asyncio.Task[Any]") -> None:
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    coroutine = task.get_coro()
    context = task.context if isinstance(task, _Task) else contextvars.copy_context()
    with suppress(BaseException):
        context.run(coroutine.close)
    asyncio.tasks._unregister_task(task)


def tasks_of(loop: asyncio.AbstractEventLoop, who: Owner) -> "list[asyncio.Task[Any]]":
    """What `who` has started and has not ended, oldest first."""
    tasks = [task for task in asyncio.all_tasks(loop) if isinstance(task, _Task) and task.owner is who]
    return sorted(tasks, key=hash)


def run_virtual(main: Coroutine[Any, Any, R]) -> R:
    """As `asyncio.run`, on virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def virtual_time(test: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """Makes a coroutine function a plain one that runs on virtual time: `@virtual_time` on `async def test_...`."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return run_virtual(test(*args, **kwargs))

    return run


async def settled(turns: int = 20) -> None:
    """Lets everything that is ready run, without time passing."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def passed(seconds: float) -> None:
    """Lets time pass, and what became ready run."""
    await asyncio.sleep(seconds)
    await settled()
