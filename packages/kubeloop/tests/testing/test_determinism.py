"""One seed decides all chance and all clocks, and afterwards everything is as it was."""

import gc
import os
import random
import secrets
import socket
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from time import time as bound_time

import pytest

from kubeloop import leader
from kubeloop.testing.determinism import EPOCH, WHOLE_EVERY, determined
from kubeloop.testing.virtual_time import START_S, InProcessOnly, VirtualTimeLoop

CHANCE: dict[str, Callable[[], object]] = {
    "random": random.random,
    "a generator without a seed": lambda: random.Random().random(),
    "a generator that is seeded anew": lambda: random.Random(1).seed(),
    "the system's": lambda: random.SystemRandom().random(),
    "secrets": secrets.token_hex,
    "urandom": lambda: os.urandom(8),
    "uuid1": uuid.uuid1,
    "uuid4": uuid.uuid4,
}


def drawn(seed: int) -> list[object]:
    with determined(seed):
        return [draw() for draw in CHANCE.values() for _ in range(2)]


def test_all_chance_is_the_seeds() -> None:
    assert drawn(1) == drawn(1)
    differ = [first != other for first, other in zip(drawn(1), drawn(2), strict=True)]
    seeding = 2 * list(CHANCE).index("a generator that is seeded anew")
    assert all(differ[:seeding] + differ[seeding + 2 :])


def _now(name: str, unit: float = 1.0) -> Callable[[], float]:
    return lambda: getattr(time, name)() * unit  # looked up when it is called


COUNTING: dict[str, Callable[[], float]] = {
    "monotonic": _now("monotonic"),
    "monotonic_ns": _now("monotonic_ns", 1e-9),
    "perf_counter": _now("perf_counter"),
    "perf_counter_ns": _now("perf_counter_ns", 1e-9),
    "CLOCK_BOOTTIME": lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    "CLOCK_MONOTONIC in ns": lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1e9,
    "the leader's": leader.boot_time,
}
WALL: dict[str, Callable[[], float]] = {
    "time": _now("time"),
    "time, bound at import": bound_time,
    "time_ns": _now("time_ns", 1e-9),
    "CLOCK_REALTIME": lambda: time.clock_gettime(time.CLOCK_REALTIME),
    "now": lambda: datetime.now(UTC).timestamp(),
}


def test_all_clocks_go_with_the_loops() -> None:
    with determined(1) as clock:
        loop = VirtualTimeLoop(on_move=clock.moved)
        for hours_s in (0.0, 5.25, 7200.5, 90_000.001):
            loop.call_at(START_S + hours_s, loop.stop)
            loop.run_forever()
            for name, now in COUNTING.items():
                assert now() == pytest.approx(START_S + hours_s, abs=1e-6), name
            for name, now in WALL.items():
                assert now() == pytest.approx(EPOCH.timestamp() + hours_s, abs=1e-5), name
        loop.close()


def test_everything_is_put_back_also_after_a_failure() -> None:
    random.seed(7)
    expected = random.Random(7).random()
    before = (time.monotonic, time.sleep, time.clock_gettime, os.urandom, random.Random.seed, socket.gethostname)
    with pytest.raises(ZeroDivisionError), determined(1):
        _ = 1 / (time.monotonic is before[0])
    assert before == (
        time.monotonic,
        time.sleep,
        time.clock_gettime,
        os.urandom,
        random.Random.seed,
        socket.gethostname,
    )
    assert random.random() == expected
    assert gc.isenabled()
    assert abs(time.time() - datetime.now(UTC).timestamp()) < 1
    assert time.time() > EPOCH.timestamp()
    assert uuid.uuid4() != uuid.uuid4()


class Loop:
    """Unreachable only to the cyclic collector."""

    def __init__(self, collected: list[str]) -> None:
        self.itself, self.collected = self, collected

    def __del__(self) -> None:
        self.collected.append("collected")


def test_the_collector_works_at_the_end_and_not_in_the_midst_of_it() -> None:
    collected: list[str] = []
    with determined(1):
        Loop(collected)
        for _ in range(100_000):
            Loop(collected).itself = None  # type: ignore[assignment]
        assert len(collected) == 100_000
    assert len(collected) == 100_001


def test_a_blocking_sleep_says_what_it_would_do() -> None:
    with determined(1), pytest.raises(InProcessOnly, match="blocks the event loop"):
        time.sleep(1)


def test_two_runs_in_one_another_are_refused() -> None:
    with determined(1):
        with pytest.raises(RuntimeError, match="going on already"), determined(2):
            pass
        assert time.monotonic() == START_S


def test_what_a_caller_held_longer_than_its_run_is_collected_some_runs_later() -> None:
    collected: list[str] = []

    def run() -> None:
        with determined(1):
            held = Loop(collected)
        del held

    for _ in range(2 * WHOLE_EVERY + 1):
        run()
    assert len(collected) >= WHOLE_EVERY
