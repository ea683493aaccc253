"""An event loop for tests whose clock stands still while there is work and jumps to the next timer when there is none.

Sleeps and timeouts of hours pass in no time, and in order. Only for code without real I/O: while the loop would wait
for a socket the clock jumps. A loop that has nothing to do and no timer would wait for ever: that is an error here.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class _NoWait(selectors.DefaultSelector):
    """Never waits; what it would have waited is what the clock moves on."""

    def __init__(self, moved: Callable[[float | None], None]) -> None:
        super().__init__()
        self._moved = moved

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout != 0:
            self._moved(timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at 1,000 s."""

    def __init__(self) -> None:
        self._clock = 1000.0
        super().__init__(_NoWait(self._move))

    def time(self) -> float:
        return self._clock

    def _move(self, by_s: float | None) -> None:
        if by_s is None:
            raise RuntimeError("deadlock: nothing is ready and no timer is set")
        self._clock += max(by_s, 1e-9)


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
