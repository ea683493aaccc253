"""What tasks of one event loop do to each other, each beside what holds instead."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, suppress
from contextvars import ContextVar

import pytest

from kubeloop.testing.virtual_time import virtual_time


@virtual_time
async def test_what_was_read_before_an_await_may_be_wrong_after_it() -> None:
    free, given = ["port-1"], []

    async def take_late() -> None:
        if free:
            port = free[0]
            await asyncio.sleep(1)  # a call to the cloud
            given.append(port)
            with suppress(ValueError):
                free.remove(port)

    async with asyncio.TaskGroup() as group:
        group.create_task(take_late())
        group.create_task(take_late())
    assert given == ["port-1", "port-1"]  # two pods with one address

    free, given = ["port-1"], []

    async def take_at_once() -> None:
        if free:
            port = free.pop()  # looked at and taken without an await between
            await asyncio.sleep(1)
            given.append(port)

    async with asyncio.TaskGroup() as group:
        group.create_task(take_at_once())
        group.create_task(take_at_once())
    assert given == ["port-1"]


@virtual_time
async def test_a_dict_that_grows_while_it_is_walked_with_awaits_raises_and_a_copy_does_not() -> None:
    ports = {"a": 1}

    async def add() -> None:
        ports[f"port-{len(ports)}"] = 2

    async def walk(over: Iterable[str]) -> None:
        for _ in over:
            await add()

    with pytest.raises(RuntimeError, match="changed size during iteration"):
        await walk(ports)
    await walk(tuple(ports))


@virtual_time
async def test_as_many_calls_run_at_once_as_are_started_unless_something_bounds_them() -> None:
    running = most = 0

    async def call() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    await asyncio.gather(*(call() for _ in range(500)))
    assert most == 500

    most = 0
    bound = asyncio.Semaphore(10)

    async def bounded() -> None:
        async with bound:
            await call()

    async with asyncio.TaskGroup() as group:
        for _ in range(500):
            group.create_task(bounded())
    assert most == 10


async def test_a_stream_that_is_left_early_stays_open_until_somebody_closes_it() -> None:
    opened: set[str] = set()

    async def events(name: str) -> AsyncIterator[int]:
        opened.add(name)
        try:
            for number in range(10):
                yield number
        finally:
            opened.discard(name)

    left = events("left")
    async for _ in left:
        break
    assert opened == {"left"}  # its connection too

    async with aclosing(events("closed")) as closed:
        async for _ in closed:
            break
    assert opened == {"left"}


async def test_a_context_variable_goes_into_tasks_that_are_started_and_never_comes_back() -> None:
    key: ContextVar[str] = ContextVar("key", default="none")

    async def child() -> str:
        seen = key.get()
        key.set("of the child")
        return seen

    key.set("of the parent")
    assert await asyncio.create_task(child()) == "of the parent"
    assert key.get() == "of the parent"
    background = asyncio.create_task(child())
    key.set("the next reconcile")
    assert await background == "of the parent"  # what it logs is said to be of a reconcile that is over
