"""What people are told who write a scenario that is none: never that all is well."""

import asyncio
import os
import signal
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from kubeloop.testing import Process, Scenario, Workers, World
from kubeloop.testing.naming import target_of
from kubeloop.testing.plans import Failure, Plan
from kubeloop.testing.running import run_plan
from kubeloop.testing.workers import WorkerFailed


async def idle(_: Process) -> None:
    await asyncio.Event().wait()


async def returns(_: Process) -> None:
    """As a main that forgets to wait for what it has started."""


async def dies(_: Process) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def lives_on(_: World) -> None:
    await asyncio.sleep(1.0)


async def waits_until_quiet(world: World) -> None:
    await world.quiet()


async def raises(_: World) -> None:
    raise KeyError("no such thing")


def says_no(_: World) -> bool:
    return False


def does_not_hold(_: World, *, what: str) -> None:
    raise AssertionError(what)


async def asynchronous(_: World) -> None:
    raise AssertionError


IDLE = Scenario(name="idle", controller=idle, steps=(lives_on,))
DYING = Scenario(name="dying", controller=dies, steps=(lives_on,))


def failure_of(scenario: Scenario) -> Failure:
    outcome = run_plan(scenario, Plan(seed=1))
    assert outcome.failure is not None
    return outcome.failure


def test_a_controller_that_returns_by_itself_is_a_failure_even_if_nothing_else_is_wrong() -> None:
    failure = failure_of(Scenario(name="returns", controller=returns, steps=(lives_on,)))
    assert failure.invariant == "EndedByItself"
    assert "returns has returned" in failure.message


def test_an_invariant_that_returns_something_in_place_of_asserting_does_not_hold() -> None:
    failure = failure_of(Scenario(name="says-no", controller=idle, steps=(lives_on,), finally_=(says_no,), settle_s=1))  # type: ignore[arg-type]
    assert failure.invariant == "says_no"
    assert "has returned False" in failure.message


def test_a_partial_is_told_by_the_name_of_what_is_behind_it() -> None:
    broken = partial(does_not_hold, what="so it is")
    failure = failure_of(Scenario(name="partial", controller=idle, steps=(partial(lives_on),), always=(broken,)))
    assert (failure.invariant, failure.message) == ("does_not_hold", "so it is")


def test_a_step_that_waits_until_all_is_quiet_is_told_that_it_never_is() -> None:
    failure = failure_of(Scenario(name="quiet", controller=idle, steps=(waits_until_quiet,)))
    assert "it is never quiet in a step" in failure.message


def test_a_step_that_raises_fails_the_run_at_that_time() -> None:
    failure = failure_of(Scenario(name="raises", controller=idle, steps=(lives_on, raises), pause_s=0.0))
    assert failure.invariant == "KeyError"
    assert "no such thing" in failure.message
    assert failure.at_s == pytest.approx(1.0)  # when that step began: of the last line of its trace


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"steps": lives_on}, "`steps` is a tuple"),
        ({"steps": (lives_on,), "always": says_no}, "`always` is a tuple"),
        ({"steps": (), "finally_": (asynchronous,)}, "the invariant asynchronous must not be `async`"),
        ({"steps": (), "always": (partial(asynchronous),)}, "the invariant asynchronous must not be `async`"),
    ],
)
def test_what_could_not_be_run_is_refused_where_it_is_written(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        Scenario(name="wrong", controller=idle, **fields)


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers(2) as workers:
        yield workers


def test_a_worker_that_is_killed_says_so_and_another_one_takes_its_place(workers: Workers) -> None:
    with pytest.raises(WorkerFailed, match="SIGKILL: out of memory, perhaps"):
        workers.run(target_of(DYING), Plan(seed=1))
    outcomes = list(workers.stream(target_of(IDLE), (Plan(seed=seed) for seed in range(8))))
    assert [outcome.failure for outcome in outcomes] == 8 * [None]
