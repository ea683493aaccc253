"""Each fault of a watch: what its reader sees, and that no event is lost with the next one arriving."""

import asyncio
from dataclasses import dataclass, field

import pytest

import kubeloop as k
from kubeloop.testing.faults import Fault, FaultKind, ScriptedFaults
from kubeloop.testing.incarnation import Process
from kubeloop.testing.world import World, simulate

KIND = FaultKind


@dataclass
class Seen:
    """Of one watch: the names of the objects, with their moments; how it ended, and when."""

    names: list[tuple[str, float]] = field(default_factory=list)
    end: Exception | str = "open"
    at_s: float = 0.0


async def _watch(client: k.Client, world: World, seen: Seen) -> None:
    try:
        async with client.watch(k.ConfigMap, resource_version="1", timeout_s=60, idle_timeout_s=70.0) as events:
            async for event in events:
                if event.object is not None:
                    seen.names.append((event.object.metadata.name, round(world.now, 1)))
        seen.end = "ended"
    except k.ApiError as error:
        seen.end = error
    seen.at_s = round(world.now, 1)


def watch_under(fault: Fault, *, paused_s: float = 0.0) -> Seen:
    """The fault meets a watch of 60 s, while one object a second is written, ten of them."""
    seen = Seen()

    async def main(process: Process) -> None:
        async with k.connect(process, user_agent="test") as client:
            await _watch(client, process.world, seen)

    async def scenario(world: World) -> None:
        process = world.start("one", main)
        for number in range(10):
            await world.client.create(k.ConfigMap(metadata=k.ObjectMeta(name=f"c{number}", namespace="default")))
            await asyncio.sleep(1)
            if number == 4 and paused_s:
                process.pause(paused_s)
        await asyncio.sleep(100)

    simulate(scenario, seed=1, faults=ScriptedFaults({1: fault}))
    return seen


ALL = [f"c{number}" for number in range(10)]


def names(seen: Seen) -> list[str]:
    return [name for name, _ in seen.names]


def test_without_a_fault_each_event_comes_at_once_and_the_server_ends_the_watch() -> None:
    seen = watch_under(Fault(KIND.WATCH_CLOSED, 1000))
    assert seen.names == [(name, float(number)) for number, name in enumerate(ALL)]
    assert (seen.end, seen.at_s) == ("ended", 60.0)


def test_a_closed_watch_ends_in_order() -> None:
    seen = watch_under(Fault(KIND.WATCH_CLOSED, 4.5))
    assert (names(seen), seen.end, seen.at_s) == (ALL[:5], "ended", 4.5)


def test_a_broken_watch_raises() -> None:
    seen = watch_under(Fault(KIND.WATCH_BROKEN, 4.5))
    assert (names(seen), seen.at_s) == (ALL[:5], 4.5)
    assert isinstance(seen.end, k.Unavailable)


def test_a_watch_whose_version_is_gone_says_so_in_an_event() -> None:
    seen = watch_under(Fault(KIND.WATCH_GONE, 4.5))
    assert (names(seen), seen.at_s) == (ALL[:5], 4.5)
    assert isinstance(seen.end, k.Gone)


def test_a_watch_may_be_refused_for_its_version() -> None:
    seen = watch_under(Fault(KIND.GONE))
    assert (names(seen), seen.at_s) == ([], 0)
    assert isinstance(seen.end, k.Gone)


def test_a_silent_watch_is_noticed_by_its_reader_alone() -> None:
    seen = watch_under(Fault(KIND.WATCH_SILENT, 4.5))
    assert (names(seen), seen.at_s) == (ALL[:5], 74.0)
    assert isinstance(seen.end, k.Unavailable)
    assert "silent" in str(seen.end)


def test_a_stalled_watch_brings_everything_late_and_in_order() -> None:
    seen = watch_under(Fault(KIND.WATCH_STALLED, 4.5))
    assert seen.names[:5] == [(name, 4.5) for name in ALL[:5]]
    assert seen.names[5:] == [(name, float(number)) for number, name in enumerate(ALL)][5:]


@pytest.mark.parametrize("seconds", [3.0, 12.0])
def test_a_short_cut_delays_what_comes(seconds: float) -> None:
    seen = Seen()

    async def main(process: Process) -> None:
        async with k.connect(process, user_agent="test") as client:
            await _watch(client, process.world, seen)

    async def scenario(world: World) -> None:
        process = world.start("one", main)
        await asyncio.sleep(1)
        process.isolate(seconds)
        await world.client.create(k.ConfigMap(metadata=k.ObjectMeta(name="one", namespace="default")))
        await asyncio.sleep(30)
        assert seen.names == [("one", 1 + seconds)]

    simulate(scenario, seed=1)


def test_a_long_cut_breaks_the_connection() -> None:
    seen = Seen()

    async def main(process: Process) -> None:
        async with k.connect(process, user_agent="test") as client:
            await _watch(client, process.world, seen)

    async def scenario(world: World) -> None:
        process = world.start("one", main)
        await asyncio.sleep(1)
        process.isolate(20)
        await world.client.create(k.ConfigMap(metadata=k.ObjectMeta(name="one", namespace="default")))
        await asyncio.sleep(30)
        assert (seen.names, seen.at_s) == ([], 16.0)

    simulate(scenario, seed=1)
    assert isinstance(seen.end, k.Unavailable)


def test_a_paused_process_finds_all_events_when_it_goes_on() -> None:
    seen = watch_under(Fault(KIND.WATCH_CLOSED, 1000), paused_s=20)
    assert names(seen) == ALL
    assert {at_s for _, at_s in seen.names[5:]} == {25.0}


def test_a_server_that_is_started_anew_breaks_its_watches() -> None:
    seen = Seen()

    async def main(process: Process) -> None:
        async with k.connect(process, user_agent="test") as client:
            if process.name == "watches":
                await _watch(client, process.world, seen)
            else:
                await asyncio.sleep(5)
                await client.list(k.ConfigMap)

    async def scenario(world: World) -> None:
        for name in ("watches", "lists"):
            world.start(name, main)
        await asyncio.sleep(30)

    simulate(scenario, seed=1, faults=ScriptedFaults({2: Fault(KIND.RESTART, 1.0)}))
    assert (type(seen.end), seen.at_s) == (k.Unavailable, 5.0)


def test_a_stale_replica_shows_one_resource_late_and_the_other_in_time() -> None:
    maps, namespaces = Seen(), Seen()

    async def main(process: Process) -> None:
        async with k.connect(process, user_agent="test") as client, asyncio.TaskGroup() as group:
            group.create_task(_watch(client, process.world, maps))
            group.create_task(_namespaces(client, process.world))

    async def _namespaces(client: k.Client, world: World) -> None:
        async with client.watch(k.Namespace, resource_version="1", timeout_s=60) as events:
            async for event in events:
                if event.object is not None:
                    namespaces.names.append((event.object.metadata.name, round(world.now, 1)))

    async def scenario(world: World) -> None:
        world.start("one", main)
        await asyncio.sleep(1)
        await world.client.create(k.ConfigMap(metadata=k.ObjectMeta(name="first", namespace="default")))
        await world.client.create(k.Namespace(metadata=k.ObjectMeta(name="second")))
        await asyncio.sleep(30)

    simulate(scenario, seed=1, faults=ScriptedFaults({1: Fault(KIND.STALE, 9.0)}))
    assert maps.names == [("first", 9.0)]
    assert ("second", 1.0) in namespaces.names
