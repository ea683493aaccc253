import asyncio

import pytest
from prometheus_client import CollectorRegistry

from kubeloop.client.back_off import BackOff
from kubeloop.controller.work_queue import LIVE_IN_A_ROW, Priority, QueueClosed, RetryLimit, WorkQueue
from kubeloop.metrics import Metrics
from kubeloop.testing.virtual_time import virtual_time


def _queue() -> WorkQueue[str]:
    return WorkQueue(BackOff(1.0, 10.0))


async def _take_all(queue: WorkQueue[str]) -> list[str]:
    taken = []
    while len(queue):
        taken.append(await queue.get())
        queue.done(taken[-1])
    return taken


@virtual_time
async def test_many_adds_of_a_key_give_one_entry() -> None:
    queue = _queue()
    for _ in range(3):
        queue.add("a")
    assert await queue.get() == "a"
    assert len(queue) == 0


@virtual_time
async def test_a_key_is_never_with_two_workers_and_comes_again_when_dirty() -> None:
    queue = _queue()
    queue.add("a")
    await queue.get()
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


@virtual_time
async def test_a_parked_key_is_not_handed_out_until_it_is_done() -> None:
    queue = _queue()
    queue.add("a")
    queue.park(await queue.get())
    queue.add("a")
    assert (len(queue), queue.active) == (0, 0)
    queue.done("a")
    assert await queue.get() == "a"


@virtual_time
async def test_a_key_that_was_not_added_meanwhile_does_not_come_again() -> None:
    queue = _queue()
    queue.add("a")
    queue.done(await queue.get())
    assert len(queue) == 0


@virtual_time
async def test_done_without_get_is_an_error() -> None:
    with pytest.raises(KeyError):
        _queue().done("a")


@virtual_time
async def test_the_earlier_of_two_delays_wins() -> None:
    queue = _queue()
    began = asyncio.get_running_loop().time()
    for delay_s in (60, 1, 30):
        queue.add_after("a", delay_s)
    assert await queue.get() == "a"
    assert asyncio.get_running_loop().time() - began == pytest.approx(1)
    queue.done("a")
    await asyncio.sleep(100)
    assert len(queue) == 0


@virtual_time
async def test_superseded_delays_do_not_pile_up() -> None:
    queue = _queue()
    for _ in range(10_000):
        queue.add_after("a", 3600)
        queue.add("a")
        queue.done(await queue.get())
    assert len(queue._heap) < 100


@virtual_time
async def test_a_failed_key_comes_again_and_another_is_not_delayed() -> None:
    queue = _queue()
    queue.add("poisoned")
    assert queue.add_failed(await queue.get(), at_least_s=7) == 7
    queue.done("poisoned")
    queue.add("healthy")
    began = asyncio.get_running_loop().time()
    assert await queue.get() == "healthy"
    assert asyncio.get_running_loop().time() == began
    assert await queue.get() == "poisoned"
    assert asyncio.get_running_loop().time() - began == pytest.approx(7)


@virtual_time
async def test_back_off_grows_until_the_key_succeeds() -> None:
    queue = _queue()
    queue.add("a")
    await queue.get()
    delays = [queue.add_failed("a") for _ in range(4)]
    assert all(2**n / 2 <= delay <= 2**n for n, delay in enumerate(delays))
    queue.forget("a")
    assert queue.add_failed("a") <= 1


@virtual_time
async def test_retries_of_many_keys_are_limited_and_live_adds_are_not() -> None:
    queue: WorkQueue[int] = WorkQueue(BackOff(0.001, 0.001), retry_limit=RetryLimit(per_s=10, burst=5))
    for key in range(25):
        queue.add(key)
        queue.add_failed(await queue.get())
        queue.done(key)
    await asyncio.sleep(0.01)
    assert len(queue) == 5
    await asyncio.sleep(1.0)
    assert len(queue) == 15
    queue.add(24)
    assert len(queue) == 16
    await asyncio.sleep(1.0)
    assert len(queue) == 25


@virtual_time
async def test_live_keys_go_first_and_a_low_key_that_gets_an_event_moves_up() -> None:
    queue = _queue()
    for key in "abc":
        queue.add(key, Priority.LOW)
    queue.add("d")
    queue.add("c")
    queue.add("d", Priority.LOW)
    assert await _take_all(queue) == ["d", "c", "a", "b"]


@virtual_time
async def test_a_flood_of_live_keys_does_not_starve_a_low_one() -> None:
    queue = _queue()
    queue.add("low", Priority.LOW)
    for n in range(3 * LIVE_IN_A_ROW):
        queue.add(f"live-{n}")
    assert (await _take_all(queue)).index("low") == LIVE_IN_A_ROW


@virtual_time
async def test_a_retry_has_the_priority_that_the_key_had() -> None:
    queue = _queue()
    queue.add("low", Priority.LOW)
    queue.add_failed(await queue.get())
    queue.done("low")
    await asyncio.sleep(5)
    queue.add("live")
    assert await _take_all(queue) == ["live", "low"]


@virtual_time
async def test_a_key_handed_to_a_worker_that_was_cancelled_reaches_another() -> None:
    queue = _queue()
    first = asyncio.create_task(queue.get())
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await second == "a"
    with pytest.raises(asyncio.CancelledError):
        await first


@virtual_time
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


@virtual_time
async def test_a_drained_queue_works_off_what_was_there_and_refuses_the_rest() -> None:
    queue = _queue()
    queue.add("active")
    await queue.get()
    queue.add("active")
    queue.add("ready")
    queue.add_after("later", 1)
    queue.close(drain=True)
    queue.add("refused")
    drained = asyncio.create_task(queue.drained())
    assert await queue.get() == "ready"
    waiting = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(10)
    assert not any(task.done() for task in waiting), "the active key was added again: somebody must wait for it"
    queue.done("ready")
    queue.done("active")
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert results[0] == "active"
    assert isinstance(results[1], QueueClosed)
    assert not drained.done()
    queue.done("active")
    await drained


@virtual_time
async def test_the_queue_is_measured() -> None:
    registry = CollectorRegistry()
    queue: WorkQueue[str] = WorkQueue(BackOff(), name="q", metrics=Metrics(registry))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"workqueue_{name}", {"name": "q", **labels})

    for key in "aab":
        queue.add(key)
    queue.add("c", Priority.LOW)
    await asyncio.sleep(3)
    queue.add_failed(await queue.get())
    await queue.get()
    await asyncio.sleep(2)
    assert (value("adds_total"), value("retries_total")) == (5, 1)
    assert (value("depth", priority="live"), value("depth", priority="low")) == (0, 1)
    assert value("unfinished_work_seconds") == pytest.approx(4)
    assert value("longest_running_processor_seconds") == pytest.approx(2)
    queue.done("b")
    assert value("queue_duration_seconds_sum") == pytest.approx(6)
    assert value("work_duration_seconds_sum") == pytest.approx(2)
