"""The deadline of reconciles does what `asyncio.timeout` does, with one timer for many turns."""

import asyncio
from contextlib import closing

import pytest

from kubeloop.controller.deadline import Deadline
from kubeloop.testing.virtual_time import virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


@virtual_time
async def test_a_turn_that_takes_too_long_is_cancelled_as_a_timeout() -> None:
    with closing(Deadline(10)) as deadline:
        began = now()
        with pytest.raises(TimeoutError), deadline:
            await asyncio.sleep(60)
        assert deadline.expired
        assert now() - began == 10
        await asyncio.sleep(1)  # of the cancellation nothing is left


@virtual_time
async def test_each_turn_has_the_whole_time_though_there_is_one_timer() -> None:
    with closing(Deadline(10)) as deadline:
        for _ in range(5):
            with deadline:
                await asyncio.sleep(9)
            assert not deadline.expired
        began = now()
        with pytest.raises(TimeoutError), deadline:
            await asyncio.sleep(60)
        assert now() - began == 10


@virtual_time
async def test_what_the_task_does_between_turns_is_not_bounded() -> None:
    with closing(Deadline(10)) as deadline:
        with deadline:
            await asyncio.sleep(9)
        await asyncio.sleep(100)
        with deadline:
            await asyncio.sleep(9)


@virtual_time
async def test_a_turn_after_one_that_expired_is_bounded_again() -> None:
    with closing(Deadline(10)) as deadline:
        for _ in range(2):
            with pytest.raises(TimeoutError), deadline:
                await asyncio.sleep(60)
        with deadline:
            await asyncio.sleep(9)
        assert not deadline.expired


@virtual_time
async def test_a_cancellation_from_elsewhere_is_passed_on_even_at_the_deadline() -> None:
    async def work() -> None:
        with closing(Deadline(10)) as deadline, deadline:
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(1)
    asyncio.get_running_loop().call_at(now() + 9, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


@virtual_time
async def test_another_error_at_the_deadline_stays_what_it_is() -> None:
    async def clean_up_badly() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise KeyError from None

    with closing(Deadline(10)) as deadline:
        with pytest.raises(KeyError), deadline:
            await clean_up_badly()
        await asyncio.sleep(1)  # the cancellation was taken back
