"""Who waits is woken in the order in which he came: a set of futures would give another order in each run."""

import asyncio

import pytest

from kubeloop.informer.waiting import Waiting
from kubeloop.model.base import ObjectKey

KEY = ObjectKey("default", "one")


@pytest.mark.parametrize("by", ["key", "version"])
async def test_waiters_are_woken_in_the_order_in_which_they_came(by: str) -> None:
    waiting, woken = Waiting(), list[int]()

    async def wait(number: int) -> None:
        await waiting.wait(KEY, 0 if by == "key" else 7)
        woken.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(wait(number))
        await asyncio.sleep(0)
        waiting.changed(KEY) if by == "key" else waiting.reached(7)
    assert woken == list(range(50))
