"""What asyncio does with tasks, cancellation and errors that nobody expects, each beside what holds instead."""

import asyncio
import gc
import re
import threading
import time
import weakref
from contextlib import suppress

import pytest

from kubeloop.controller.controller import DONE, Controller, Result
from kubeloop.testing.virtual_time import passed, settled, virtual_time


async def test_a_call_that_blocks_stops_every_other_task_and_a_thread_does_not() -> None:
    loop = asyncio.get_running_loop()

    async def turns_while(work: asyncio.Task[None]) -> int:
        turns = 0
        while not work.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    async def blocking() -> None:
        time.sleep(0.05)  # noqa: ASYNC251 - the point

    async def in_a_thread() -> None:
        await asyncio.to_thread(time.sleep, 0.05)

    began = loop.time()
    assert await turns_while(loop.create_task(blocking())) <= 2
    assert loop.time() - began >= 0.05
    assert await turns_while(loop.create_task(in_a_thread())) > 2


def test_asyncio_tells_of_a_step_that_took_long_in_its_debug_mode(caplog: pytest.LogCaptureFixture) -> None:
    async def slow() -> None:
        time.sleep(0.11)  # noqa: ASYNC251 - the point

    asyncio.run(slow(), debug=True)
    assert re.search(r"Executing .*slow.* took 0\.1\d+ seconds", caplog.text)


async def test_a_thread_goes_on_after_its_task_was_cancelled() -> None:
    started, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        release.wait(10)
        ended.set()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.to_thread(work)
    assert not ended.is_set()  # the reconcile has failed, is tried again, and its first run still works
    release.set()
    assert await asyncio.to_thread(ended.wait, 10)


@virtual_time
async def test_a_swallowed_cancellation_outlives_its_deadline() -> None:
    async def deaf() -> str:
        for _ in range(3):
            with suppress(asyncio.CancelledError):  # as `except BaseException` and a bare `except` do
                await asyncio.sleep(60)
        return "180 s later"

    async def attentive() -> str:
        try:
            await asyncio.sleep(180)
        finally:
            cleaned.append("and the cancellation goes on")
        return "never"

    cleaned: list[str] = []

    loop = asyncio.get_running_loop()
    began = loop.time()
    with suppress(TimeoutError):
        async with asyncio.timeout(10):
            await deaf()
    assert loop.time() - began == pytest.approx(130)  # the first sleep was cut at 10 s, the others were not

    began = loop.time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await attentive()
    assert loop.time() - began == pytest.approx(10)
    assert cleaned


@virtual_time
async def test_a_controller_whose_reconcile_swallows_its_cancellation_does_not_stop_in_time() -> None:
    loop = asyncio.get_running_loop()
    ends: dict[str, float] = {}

    async def deaf(key: str) -> Result:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(60)  # goes on as if nothing had happened
        return DONE

    async def attentive(key: str) -> Result:
        await asyncio.sleep(3600)
        return DONE

    for name, reconcile in (("deaf", deaf), ("attentive", attentive)):
        controller: Controller[str] = Controller(name, reconcile, workers=1, stop_grace_s=5)
        running = loop.create_task(controller.run())
        await settled()
        controller.enqueue("a")
        await passed(1)
        began = loop.time()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        ends[name] = loop.time() - began
    assert ends["attentive"] == pytest.approx(5, abs=0.1)  # its grace
    assert ends["deaf"] > 60


async def test_a_task_that_nobody_holds_can_be_collected_before_it_ends() -> None:
    ended: list[str] = []

    async def work() -> None:
        await asyncio.get_running_loop().create_future()  # held by nobody else, as the task that waits for it
        ended.append("never")

    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["message"]))
    task = weakref.ref(asyncio.create_task(work()))
    await asyncio.sleep(0)
    gc.collect()
    assert task() is None
    assert told == ["Task was destroyed but it is pending!"]
    assert not ended


async def test_an_error_in_a_lost_task_is_nobodys_and_in_a_group_it_is_the_callers() -> None:
    async def fails() -> None:
        raise ValueError("the watch has ended")

    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["message"]))
    lost = asyncio.create_task(fails())
    await asyncio.sleep(0.001)
    assert lost.done()  # and the program goes on: half of it is dead
    del lost
    gc.collect()
    assert told == ["Task exception was never retrieved"]  # perhaps hours later

    async def in_a_group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            group.create_task(asyncio.sleep(3600))

    with pytest.raises(ExceptionGroup) as caught:
        await in_a_group()
    assert caught.group_contains(ValueError, match="the watch has ended")


@virtual_time
async def test_gather_raises_the_first_error_while_the_others_go_on() -> None:
    written: list[str] = []

    async def write(name: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        if name == "bad":
            raise ValueError(name)
        written.append(name)

    with pytest.raises(ValueError, match="bad"):
        await asyncio.gather(write("bad", 1), write("late", 2))
    assert written == []
    await passed(5)
    assert written == ["late"]  # after the reconcile had failed, perhaps while it ran again

    async def in_a_group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(write("bad", 1))
            group.create_task(write("later", 2))

    with pytest.raises(ExceptionGroup):
        await in_a_group()
    await passed(5)
    assert written == ["late"]  # a group has ended when it is left


async def test_gather_with_exceptions_returned_hides_them() -> None:
    async def fails() -> None:
        raise ValueError("a write failed")

    results = await asyncio.gather(fails(), return_exceptions=True)
    assert isinstance(results[0], ValueError)  # nobody who does not look ever knows


@virtual_time
async def test_a_shielded_write_goes_on_without_anybody_who_waits_for_it() -> None:
    written: list[str] = []

    async def write() -> None:
        await asyncio.sleep(30)
        written.append("a")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await asyncio.shield(write())
    assert written == []
    await passed(30)
    assert written == ["a"]  # its lease, its key and its deadline may be gone by then


@virtual_time
async def test_a_timeout_error_need_not_be_ours_and_the_timeout_tells() -> None:
    async def cloud() -> None:
        raise TimeoutError("the cloud's client gave up")  # also what a socket raises

    ours = asyncio.timeout(60)
    with pytest.raises(TimeoutError):
        async with ours:
            await cloud()
    assert not ours.expired()

    ours = asyncio.timeout(1)
    with pytest.raises(TimeoutError):
        async with ours:
            await asyncio.sleep(60)
    assert ours.expired()


async def test_a_plain_except_clause_does_not_see_what_is_in_a_group() -> None:
    async def fails() -> None:
        raise ConnectionError

    caught = ""
    try:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
        except ConnectionError:
            caught = "plain"
    except* ConnectionError:
        caught = "group"
    assert caught == "group"
