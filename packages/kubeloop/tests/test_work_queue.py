import asyncio

import pytest

from kubeloop.client.back_off import BackOff
from kubeloop.controller.work_queue import QueueClosed, WorkQueue


def _queue() -> WorkQueue[str]:
    return WorkQueue(BackOff(0.001, 0.01))


async def test_many_adds_of_a_key_give_one_entry() -> None:
    queue = _queue()
    for _ in range(3):
        queue.add("a")
    assert await queue.get() == "a"
    assert len(queue) == 0


async def test_a_key_is_never_with_two_workers_and_comes_again_when_dirty() -> None:
    queue = _queue()
    queue.add("a")
    await queue.get()
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


async def test_a_key_that_was_not_added_meanwhile_does_not_come_again() -> None:
    queue = _queue()
    queue.add("a")
    queue.done(await queue.get())
    assert len(queue) == 0


async def test_the_earlier_of_two_delays_wins() -> None:
    queue = _queue()
    queue.add_after("a", 60)
    queue.add_after("a", 0.001)
    queue.add_after("a", 30)
    async with asyncio.timeout(5):
        assert await queue.get() == "a"


async def test_a_failed_key_comes_again_and_another_is_not_delayed() -> None:
    queue = _queue()
    queue.add("poisoned")
    queue.add_failed(await queue.get(), at_least_s=0.01)
    queue.done("poisoned")
    queue.add("healthy")
    async with asyncio.timeout(5):
        assert await queue.get() == "healthy"
        assert await queue.get() == "poisoned"


async def test_a_key_handed_to_a_worker_that_was_cancelled_reaches_another() -> None:
    queue = _queue()
    first = asyncio.create_task(queue.get())
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    async with asyncio.timeout(5):
        assert await second == "a"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_closed_queue_lets_its_workers_go() -> None:
    queue = _queue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.close()
    with pytest.raises(QueueClosed):
        await waiting
    queue.add("a")
    with pytest.raises(QueueClosed):
        await queue.get()


def test_back_off_doubles_up_to_its_bound_and_never_below_half() -> None:
    back_off = BackOff(1.0, 10.0)
    for failures, most in ((1, 1.0), (2, 2.0), (3, 4.0), (5, 10.0), (1000, 10.0)):
        assert most / 2 <= back_off.delay_s(failures) <= most
