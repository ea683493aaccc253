"""The virtual clock: time passes only when nothing is to be done, and nothing leaves the process."""

import asyncio
import contextvars
import socket
import time
from collections.abc import Awaitable, Callable

import pytest

from kubeloop.testing.virtual_time import (
    START_S,
    Deadlock,
    InProcessOnly,
    Livelock,
    Owner,
    VirtualTimeLoop,
    owner,
    passed,
    run_virtual,
    settled,
    virtual_time,
)


def test_a_year_passes_in_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(365 * 86400)
        return asyncio.get_running_loop().time() - START_S

    began = time.monotonic()
    assert run_virtual(main()) == 365 * 86400
    assert time.monotonic() - began < 0.5


@virtual_time
async def test_timers_run_by_their_moment_and_those_of_one_moment_in_the_order_in_which_they_were_set() -> None:
    loop = asyncio.get_running_loop()
    ran: list[int] = []
    moments = [3.0, 1.0, 2.0, 1.0, 3.0, 1.0, 2.0, 1.0, 1.0, 3.0]
    for number, moment in enumerate(moments):
        loop.call_at(loop.time() + moment, ran.append, number)
    await passed(5)
    assert ran == sorted(range(len(moments)), key=lambda number: (moments[number], number))


@virtual_time
async def test_cancelled_timers_are_forgotten_before_their_time() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    for _ in range(10_000):
        loop.call_later(3600, print).cancel()
        await asyncio.sleep(0)
    assert loop.timers < 1000
    await passed(7200)


def test_a_loop_that_would_wait_for_ever_says_so() -> None:
    with pytest.raises(Deadlock):
        run_virtual(asyncio.Event().wait())


def test_a_loop_that_never_lets_time_pass_says_so_and_names_what_runs() -> None:
    async def spins() -> None:
        while True:
            await settled(1)

    loop = VirtualTimeLoop()
    with pytest.raises(Livelock, match="spins"):
        loop.run_until_complete(spins())
    loop.bury()
    loop.close()


async def _opens_a_connection() -> object:
    return await asyncio.open_connection("127.0.0.1", 1)


async def _resolves_a_name() -> object:
    return await asyncio.get_running_loop().getaddrinfo("localhost", 80)


async def _runs_a_thread() -> object:
    return await asyncio.to_thread(print)


async def _runs_a_program() -> object:
    return await asyncio.create_subprocess_exec("true")


async def _reads_a_socket() -> object:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        return await asyncio.get_running_loop().sock_recv(ours, 1)


async def _waits_for_a_signal() -> object:
    asyncio.get_running_loop().add_signal_handler(15, print)
    return None


@pytest.mark.parametrize(
    "outside",
    [
        _opens_a_connection,
        _resolves_a_name,
        _runs_a_thread,
        _runs_a_program,
        _reads_a_socket,
        _waits_for_a_signal,
    ],
)
def test_what_would_wait_for_something_outside_is_an_error_and_no_jump_in_time(
    outside: Callable[[], Awaitable[object]],
) -> None:
    async def main() -> float:
        with pytest.raises(InProcessOnly):
            await outside()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == START_S


def test_what_was_refused_is_known_to_the_loop_also_when_somebody_caught_it() -> None:
    async def main() -> None:
        with pytest.raises(InProcessOnly):
            await _runs_a_thread()

    loop = VirtualTimeLoop()
    loop.run_until_complete(main())
    loop.close()
    assert "thread" in str(loop.misuse)


@virtual_time
async def test_a_task_group_cancels_its_tasks_in_the_order_in_which_they_were_started() -> None:
    ended: list[int] = []

    async def wait(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    async def fail() -> None:
        await asyncio.sleep(1)
        raise ValueError

    async def a_group() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(wait(number))
            group.create_task(fail())

    with pytest.raises(ExceptionGroup):
        await a_group()
    assert ended == list(range(20))


def _of(who: Owner) -> "asyncio.Future[None]":
    """A task of `who`, that notes each second in its `seconds`."""

    async def count() -> None:
        while True:
            await asyncio.sleep(1)
            SECONDS[who.name].append(asyncio.get_running_loop().time() - START_S)

    token = owner.set(who)
    try:
        return asyncio.get_running_loop().create_task(count())
    finally:
        owner.reset(token)


SECONDS: dict[str, list[float]] = {}


@virtual_time
async def test_a_halted_owner_stands_still_while_others_go_on_and_then_goes_on_itself() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    one, other = Owner("one"), Owner("other")
    SECONDS.update(one=[], other=[])
    tasks = [_of(one), _of(other)]
    await passed(2.5)
    one.halted = True
    await passed(3)
    assert SECONDS == {"one": [1, 2], "other": [1, 2, 3, 4, 5]}
    loop.resume(one)
    await passed(1.2)
    assert SECONDS["one"] == [1, 2, 5.5, 6.5]  # its sleep was over long ago
    for task in tasks:
        task.cancel()


@virtual_time
async def test_nothing_of_a_dead_owner_ever_runs_again() -> None:
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualTimeLoop)
    one = Owner("one")
    SECONDS.update(one=[])
    task = _of(one)
    await passed(1.5)
    running.kill(one)
    await passed(10)
    task.cancel()
    await passed(10)
    assert SECONDS["one"] == [1]
    assert not task.done()
    running.bury()


def test_what_is_buried_ends_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)

    async def main() -> None:
        loop.create_task(stubborn())
        loop.create_task(stubborn())
        await passed(1)

    loop = VirtualTimeLoop()
    loop.run_until_complete(main())
    loop.bury()
    loop.close()
    assert asyncio.all_tasks(loop) == set()
    assert not caplog.records


@virtual_time
async def test_a_task_in_an_empty_context_is_nobodys() -> None:
    one = Owner("one")
    token = owner.set(one)
    task = asyncio.get_running_loop().create_task(asyncio.sleep(1), context=contextvars.Context())
    owner.reset(token)
    one.halted = True
    await passed(2)
    assert task.done()
