"""A list for who must not act by a stale store, on a simulated server: it begins after it was asked for."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import kubeloop as k
from kubeloop.testing.faults import Fault, FaultKind, ScriptedFaults
from kubeloop.testing.incarnation import Process
from kubeloop.testing.trace import Trace
from kubeloop.testing.world import World, simulate

KIND = FaultKind


def informing(
    part: Callable[[World, k.Informer[k.ConfigMap]], Coroutine[Any, Any, None]], faults: dict[int, Fault] | None = None
) -> Trace:
    """Runs an informer, and beside it the part, which must end within a minute."""

    async def main(process: Process) -> None:
        async with k.connect(process, user_agent="test") as client:
            informer = k.Informer(client, k.ConfigMap)
            running = asyncio.create_task(informer.run())
            async with asyncio.timeout(60):
                await part(process.world, informer)
            running.cancel()

    async def scenario(world: World) -> None:
        process = world.start("one", main)
        await process.over.wait()
        assert process.error is None

    return simulate(scenario, seed=1, faults=ScriptedFaults(faults or {}))


async def create(world: World, name: str) -> None:
    await world.client.create(k.ConfigMap(metadata=k.ObjectMeta(name=name, namespace="default")))


def names(informer: k.Informer[k.ConfigMap]) -> list[str]:
    return [one.key.name for one in informer.store.list() if one.key.namespace == "default"]


def test_what_a_silent_watch_has_left_out_is_in_the_store() -> None:
    async def part(world: World, informer: k.Informer[k.ConfigMap]) -> None:
        await informer.wait_synced()
        await asyncio.sleep(5)
        await create(world, "late")
        await asyncio.sleep(1)
        assert names(informer) == []
        await informer.list_anew()
        assert names(informer) == ["late"]
        assert world.now < 6.5

    informing(part, {1: Fault(KIND.WATCH_SILENT, 3.0)})


def test_a_list_that_was_under_way_does_not_count() -> None:
    async def part(world: World, informer: k.Informer[k.ConfigMap]) -> None:
        await asyncio.sleep(2)
        await create(world, "late")
        assert not informer.synced
        await informer.list_anew()
        assert names(informer) == ["late"]

    trace = informing(part, {1: Fault(KIND.WATCH_BROKEN), 2: Fault(KIND.WATCH_BROKEN), 3: Fault(KIND.SLOW, 4.0)})
    assert [line.call.verb for line in trace if line.call] == ["watch", "watch", "list", "watch"]


def test_initial_events_that_were_coming_do_not_count() -> None:
    async def part(world: World, informer: k.Informer[k.ConfigMap]) -> None:
        await asyncio.sleep(2)
        await create(world, "late")
        await informer.list_anew()
        assert names(informer) == ["late"]
        assert world.now < 3

    informing(part, {1: Fault(KIND.WATCH_STALLED, 8.0)})


def test_it_waits_for_a_server_that_is_away() -> None:
    async def part(world: World, informer: k.Informer[k.ConfigMap]) -> None:
        await informer.wait_synced()
        world.processes["one"].isolate(20)
        await create(world, "late")
        await informer.list_anew()
        assert names(informer) == ["late"]
        assert world.now >= 20

    informing(part)


def test_who_asks_at_once_shares_a_list_and_who_gives_up_disturbs_nobody() -> None:
    async def part(world: World, informer: k.Informer[k.ConfigMap]) -> None:
        await informer.wait_synced()
        first, second, third = (asyncio.create_task(informer.list_anew()) for _ in range(3))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait((first, second, third))
        assert (first.cancelled(), second.cancelled(), third.cancelled()) == (False, True, False)
        await asyncio.sleep(20)

    trace = informing(part)
    assert len([line for line in trace if line.call]) == 2


def test_an_event_that_comes_at_that_very_moment_does_not_put_the_list_off() -> None:
    async def part(world: World, informer: k.Informer[k.ConfigMap]) -> None:
        async def ask() -> None:
            await asyncio.sleep(2.0)
            await informer.list_anew()

        await informer.wait_synced()
        await asyncio.sleep(5)
        asking = asyncio.create_task(ask())
        await asyncio.sleep(0)
        world.processes["one"].isolate(2.0)  # what comes meanwhile is delivered when it ends
        await create(world, "one")
        began_s = world.now
        await asking
        assert world.now - began_s < 3

    informing(part)


def test_it_may_be_asked_for_when_the_watch_is_just_given_up() -> None:
    async def part(world: World, informer: k.Informer[k.ConfigMap]) -> None:
        await informer.wait_synced()
        await asyncio.gather(*(ask_after(informer, turns) for turns in range(6)))

    async def ask_after(informer: k.Informer[k.ConfigMap], turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await informer.list_anew()

    informing(part)
