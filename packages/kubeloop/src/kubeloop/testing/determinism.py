"""One seed decides everything: chance, clocks, names, and when the cyclic collector runs. All is put back afterwards.

- `random`'s functions, `os.urandom`, UUIDs, `secrets`, and generators made without a seed.
- The wall clock (by time-machine, in C, so `from time import time` is caught too) and the clocks that only count:
  monotonic, performance and boot time are the virtual loop's. These are replaced in the module `time`: who has bound
  one at import, as a default argument does, has the real one.
- The cyclic collector is off, and works each hour of virtual time and at the end: weak references and `__del__`
  otherwise act whenever an allocation, anybody's, was one too many. What was there before the run is not looked at.
- The host's name is the simulated process's; `time.sleep` is an error, as it would stop all processes.

Not here: the order of sets of texts. That is Python's hash seed, fixed for a process (`PYTHONHASHSEED`).
"""

import asyncio
import gc
import itertools
import os
import random
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn

import time_machine

from kubeloop.testing.outside import InProcess, InProcessOnly
from kubeloop.testing.virtual_time import START_S, owner

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""The wall clock's time at the beginning of a run."""

HOST = "simulated"

COLLECT_EVERY_S = 3600.0


class Clock:
    """The one clock of a run: `moved` is told by the virtual loop, and all others show it."""

    def __init__(self, traveller: time_machine.Traveller) -> None:
        self.now_s = START_S
        self._wall = traveller
        self._collects_at = START_S + COLLECT_EVERY_S

    def moved(self, to_s: float) -> None:
        """The loop's time is now `to_s`."""
        self._wall.shift(to_s - self.now_s)
        self.now_s = to_s
        if to_s >= self._collects_at:
            self._collects_at = to_s + COLLECT_EVERY_S
            gc.collect()


@contextmanager
def determined(seed: int) -> Iterator[Clock]:
    """Everything above, while it lasts. Not to be nested."""
    if _collector_is_ours():
        raise RuntimeError("a simulated run is going on already")
    chance = random.Random(f"{seed}/system")  # noqa: S311 - the same for one seed: that is the point
    with ExitStack() as undo:
        undo.enter_context(_quiet_collector())
        clock = Clock(undo.enter_context(time_machine.travel(EPOCH, tick=False)))
        undo.callback(random.setstate, random.getstate())
        random.seed(f"{seed}/random")
        for module, name, replacement in _replacements(clock, chance):
            undo.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, replacement)
        yield clock


def _replacements(clock: Clock, chance: random.Random) -> tuple[tuple[Any, str, Any], ...]:
    real_gettime, real_gettime_ns, real_seed = time.clock_gettime, time.clock_gettime_ns, random.Random.seed
    counting = {getattr(time, f"CLOCK_{name}", None) for name in ("MONOTONIC", "MONOTONIC_RAW", "BOOTTIME", "TAI")}

    def now() -> float:
        return clock.now_s

    def now_ns() -> int:
        return round(clock.now_s * 1e9)

    def gettime(clock_id: int) -> float:
        return clock.now_s if clock_id in counting else real_gettime(clock_id)

    def gettime_ns(clock_id: int) -> int:
        return now_ns() if clock_id in counting else real_gettime_ns(clock_id)

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        real_seed(self, chance.getrandbits(64) if a is None else a, version)

    return (
        (time, "monotonic", now),
        (time, "monotonic_ns", now_ns),
        (time, "perf_counter", now),
        (time, "perf_counter_ns", now_ns),
        (time, "clock_gettime", gettime),
        (time, "clock_gettime_ns", gettime_ns),
        (time, "sleep", _no_sleep),
        (os, "urandom", chance.randbytes),
        (random, "_urandom", chance.randbytes),  # SystemRandom's, and so that of secrets
        (random.Random, "seed", seed),
        (uuid, "_node", 0x02_00_00_00_00_01),  # of uuid1
        (socket, "gethostname", _host_name),
    )


def _no_sleep(seconds: float) -> NoReturn:
    what = f"time.sleep({seconds}) blocks the event loop"
    loop = asyncio._get_running_loop()
    if isinstance(loop, InProcess):
        loop.refuse(what)
    raise InProcessOnly(what)


def _host_name() -> str:
    who = owner.get()
    return who.name if who is not None else HOST


def _collector_is_ours() -> bool:
    return time.sleep is _no_sleep


# Only for this: what a caller still holds of a run when that is over is garbage later, among what is not looked at.
_runs = itertools.count(1)
WHOLE_EVERY = 50


@contextmanager
def _quiet_collector() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    if not next(_runs) % WHOLE_EVERY:
        gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
        if was_on:
            gc.enable()
