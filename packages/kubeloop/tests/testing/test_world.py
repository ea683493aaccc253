"""Processes in a world: what kills, pauses, cuts off and stops them, and when it is quiet."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

import kubeloop as k
from kubeloop.events import Event
from kubeloop.leader import Lease
from kubeloop.testing.faults import Fault, FaultKind, ScriptedFaults, SeededFaults
from kubeloop.testing.incarnation import DidNotStop, Process
from kubeloop.testing.virtual_time import Deadlock, InProcessOnly, Livelock, settled
from kubeloop.testing.world import SimulationFailed, StillChanging, World, simulate

from .mirror import LEASE, in_step, mirror, people, write

Scenario = Callable[[World], Coroutine[Any, Any, None]]


def note_of(error: pytest.ExceptionInfo[SimulationFailed]) -> BaseException:
    cause = error.value.__cause__
    assert cause is not None
    return cause


def test_a_controller_converges_and_hours_of_watching_cost_little() -> None:
    async def scenario(world: World) -> None:
        world.start("mirror", mirror())
        await people(world)
        await world.quiet()
        await in_step(world)
        calls = world.gate.calls
        await asyncio.sleep(6 * 3600)
        assert world.gate.calls - calls < 2 * 6 * 12 + 2  # a watch of each kind every five to ten minutes
        await write(world, "late", "after hours")
        await asyncio.sleep(1)
        assert (await world.client.get(k.ConfigMap, "late-mirror", namespace="default")).data["text"] == "after hours"

    simulate(scenario, seed=1)


def ticking(
    world: World, ticks: list[str], *, shielded: bool = False
) -> Callable[[Process], Coroutine[Any, Any, None]]:
    """Notes who runs, each second, and in its `finally`s."""

    async def forever(process: Process) -> None:
        try:
            while True:
                await asyncio.sleep(1)
                ticks.append(f"{int(world.now)} {process}")
        finally:
            ticks.append(f"finally of {process}")

    async def main(process: Process) -> None:
        try:
            if shielded:
                await asyncio.shield(asyncio.create_task(forever(process)))
            else:
                async with asyncio.TaskGroup() as group:
                    group.create_task(forever(process))
        finally:
            ticks.append(f"end of {process}")
            await asyncio.sleep(5)
            ticks.append(f"late end of {process}")

    return main


@pytest.mark.parametrize("shielded", [False, True])
def test_nothing_of_a_killed_process_runs_and_it_is_started_again(
    shielded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ticks: list[str] = []
    seen: list[str] = []

    async def scenario(world: World) -> None:
        process = world.start("one", ticking(world, ticks, shielded=shielded))
        await asyncio.sleep(2.5)
        process.kill(restart_s=2.0)
        await asyncio.sleep(3.5)
        seen.extend(ticks)
        world.processes["one"].kill(restart_s=1e6)

    trace = simulate(scenario, seed=1)
    assert seen == ["1 one#1", "2 one#1", "5 one#2"]
    assert [f"{line.process} {line.answer}" for line in trace] == [
        "one#1 starts",
        "one#1 killed",
        "one#2 starts",
        "one#2 killed",
    ]
    assert not caplog.records  # no task destroyed, no exception unretrieved


def test_a_paused_process_stands_still_while_time_passes() -> None:
    ticks: list[str] = []

    async def scenario(world: World) -> None:
        process = world.start("one", ticking(world, ticks))
        await asyncio.sleep(2.5)
        process.pause(10)
        await asyncio.sleep(12)
        process.kill()

    simulate(scenario, seed=1)
    assert ticks[:4] == ["1 one#1", "2 one#1", "12 one#1", "13 one#1"]


def test_a_stopped_process_ends_in_order_and_is_not_started_again() -> None:
    ticks: list[str] = []
    seen: list[str] = []

    async def scenario(world: World) -> None:
        world.start("one", ticking(world, ticks))
        await asyncio.sleep(1.5)
        await world.stop("one")
        seen.extend(ticks)
        await asyncio.sleep(100)

    trace = simulate(scenario, seed=1)
    assert seen == ["1 one#1", "finally of one#1", "end of one#1", "late end of one#1"]
    assert [(round(line.at_s, 1), line.answer) for line in trace] == [
        (0, "starts"),
        (1.5, "told to stop"),
        (6.5, "ended"),
    ]


def test_a_process_that_is_killed_while_it_stops_has_ended() -> None:
    async def gives_back(process: Process) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            async with process.effect("give the lease back"):
                pass

    async def scenario(world: World) -> None:
        world.start("one", gives_back)
        await asyncio.sleep(1)
        await world.stop("one")
        assert world.now == pytest.approx(1)

    trace = simulate(scenario, seed=1, faults=ScriptedFaults({1: Fault(FaultKind.KILL_BEFORE)}))
    assert [line.answer for line in trace if line.call is None] == ["starts", "told to stop", "killed"]


def test_a_process_that_waits_for_signals_gets_sigterm() -> None:
    ends: list[str] = []

    async def waits(process: Process) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(str(process))

    async def scenario(world: World) -> None:
        world.start("one", lambda process: k.until_signalled(waits(process)))
        await asyncio.sleep(1)
        assert signal.SIGTERM in world.processes["one"].signal_handlers
        await world.stop("one")
        assert world.processes["one"].error is None

    simulate(scenario, seed=1)
    assert ends == ["one#1"]


async def swallows_in_its_main(_: Process) -> None:
    while True:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            continue


async def swallows_in_a_task(_: Process) -> None:
    task = asyncio.create_task(swallows_in_its_main(_))
    await asyncio.sleep(1e9)
    await task


async def swallows_in_a_reconcile(process: Process) -> None:
    async with k.open_runtime(process, name="swallows") as runtime:
        maps = runtime.informer(k.ConfigMap)

        async def reconcile(_: k.ObjectKey) -> k.Result:
            while True:
                try:
                    await asyncio.sleep(1)
                except asyncio.CancelledError:
                    continue

        runtime.controller("swallows", reconcile).for_(maps)
        await runtime.run()


@pytest.mark.parametrize("main", [swallows_in_its_main, swallows_in_a_task, swallows_in_a_reconcile])
def test_a_swallowed_cancellation_fails_the_run_in_bounded_time(
    main: Callable[[Process], Coroutine[Any, Any, None]],
) -> None:
    async def scenario(world: World) -> None:
        world.start("one", main)
        await write(world, "one", "text")
        await asyncio.sleep(10)

    with pytest.raises(SimulationFailed) as error:
        simulate(scenario, seed=1)
    assert isinstance(note_of(error), DidNotStop)
    assert "sleep" in str(note_of(error))
    assert error.value.trace.lines[-1].at_s < 60


def test_a_cancellation_swallowed_without_ever_waiting_fails_the_run_too() -> None:
    async def spins(_: Process) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                while True:
                    await settled()

    async def scenario(world: World) -> None:
        world.start("one", spins)
        await asyncio.sleep(10)

    with pytest.raises(SimulationFailed) as error:
        simulate(scenario, seed=1)
    assert isinstance(note_of(error), Livelock)


def test_what_a_process_leaves_behind_is_cancelled_when_its_main_ends() -> None:
    ticks: list[str] = []

    async def scenario(world: World) -> None:
        async def main(process: Process) -> None:
            background.append(asyncio.create_task(ticking(world, ticks)(process)))
            await asyncio.sleep(1.5)

        background: list[asyncio.Task[None]] = []
        world.start("one", main)
        await asyncio.sleep(60)
        assert background[0].cancelled()

    simulate(scenario, seed=1)
    assert ticks == ["1 one#1", "finally of one#1", "end of one#1", "late end of one#1"]


async def fails_unexpectedly(_: Process) -> None:
    await asyncio.sleep(1)
    raise ValueError("a bug")


async def fails_in_a_task_nobody_looks_at(_: Process) -> None:
    async def fail() -> None:
        raise ValueError("a bug")

    _task = asyncio.create_task(fail())
    await asyncio.sleep(1)
    del _task
    await asyncio.sleep(1e6)


async def fails_in_a_callback(_: Process) -> None:
    asyncio.get_running_loop().call_later(1, int, "a bug")
    await asyncio.sleep(1e6)


@pytest.mark.parametrize("main", [fails_unexpectedly, fails_in_a_task_nobody_looks_at, fails_in_a_callback])
def test_an_unexpected_failure_of_a_process_fails_the_run(
    main: Callable[[Process], Coroutine[Any, Any, None]],
) -> None:
    async def scenario(world: World) -> None:
        world.start("one", main)
        await asyncio.sleep(10)

    with pytest.raises(SimulationFailed) as error:
        simulate(scenario, seed=1)
    assert isinstance(note_of(error), ValueError)


def test_a_process_that_ends_by_the_clusters_fault_is_started_again() -> None:
    async def main(process: Process) -> None:
        await asyncio.sleep(1)
        if process.incarnation < 3:
            raise ExceptionGroup("", [k.LeadershipLost("lost"), k.Unavailable("gone")])
        await asyncio.sleep(1e6)

    async def scenario(world: World) -> None:
        world.start("one", main)
        await asyncio.sleep(10)
        assert world.processes["one"].incarnation == 3

    simulate(scenario, seed=1)


async def connects(_: Process) -> None:
    await asyncio.open_connection("127.0.0.1", 80)


async def blocks(_: Process) -> None:
    time.sleep(1)  # noqa: ASYNC251 - that is the point


@pytest.mark.parametrize("outside", [connects, blocks])
def test_what_would_leave_the_process_or_block_it_fails_the_run_also_when_it_was_caught(
    outside: Callable[[Process], Coroutine[Any, Any, None]],
) -> None:
    async def main(process: Process) -> None:
        try:
            await outside(process)
        except RuntimeError:
            await asyncio.sleep(1e6)

    async def scenario(world: World) -> None:
        world.start("one", main)
        await asyncio.sleep(10)

    with pytest.raises(SimulationFailed) as error:
        simulate(scenario, seed=1)
    assert isinstance(note_of(error), InProcessOnly)


def test_a_program_may_end_itself_and_is_started_again() -> None:
    async def main(process: Process) -> None:
        await asyncio.sleep(1)
        if process.incarnation < 3:
            sys.exit("the lease is lost")
        await asyncio.sleep(1e6)

    async def scenario(world: World) -> None:
        world.start("one", main)
        await asyncio.sleep(10)
        assert world.processes["one"].incarnation == 3

    trace = simulate(scenario, seed=1)
    assert "exits: the lease is lost" in str(trace)


def test_a_system_that_never_gets_quiet_is_a_failure_that_shows_the_end_of_the_trace() -> None:
    async def restless(process: Process) -> None:
        async with k.connect(process, user_agent="restless") as client:
            for number in range(1_000_000):
                meta = k.ObjectMeta(name="one", namespace="default")
                await client.apply(k.ConfigMap(metadata=meta, data={"n": str(number)}))
                await asyncio.sleep(10)

    async def scenario(world: World) -> None:
        world.start("restless", restless)
        await world.quiet(within_s=600)

    with pytest.raises(SimulationFailed) as error:
        simulate(scenario, seed=1)
    cause = note_of(error)
    assert isinstance(cause, StillChanging)
    assert "still changing after 10 minutes" in str(cause)
    assert "restless#1" in str(cause).splitlines()[-1]


def test_a_scenario_that_waits_for_ever_fails() -> None:
    async def scenario(_: World) -> None:
        await asyncio.Event().wait()

    with pytest.raises(SimulationFailed) as error:
        simulate(scenario, seed=1)
    assert isinstance(note_of(error), Deadlock | StillChanging)


def test_a_failure_has_all_that_repeats_it() -> None:
    async def scenario(world: World) -> None:
        world.start("mirror", mirror())
        await people(world)
        world.fail(AssertionError("an invariant"))
        await asyncio.sleep(1e6)

    with pytest.raises(SimulationFailed, match=r"seed 7.*an invariant") as first:
        simulate(scenario, seed=7, faults=SeededFaults(Random(7), until_s=60))
    assert first.value.decisions
    with pytest.raises(SimulationFailed) as again:
        simulate(scenario, seed=7, faults=ScriptedFaults(first.value.decisions, until_s=60))
    assert again.value.trace == first.value.trace
    assert again.value.trace.digest() == first.value.trace.digest()


def test_an_effect_of_another_back_end_passes_the_gate() -> None:
    done: list[str] = []

    async def main(process: Process) -> None:
        while True:
            async with process.effect("POST /ports") as fault:
                done.append(f"{process} {fault}")
            await asyncio.sleep(1)

    async def scenario(world: World) -> None:
        world.start("one", main)
        await asyncio.sleep(5)

    faults = {
        2: Fault(FaultKind.KILL_AFTER, 1.0),
        3: Fault(FaultKind.KILL_BEFORE, 1.0),
        4: Fault(FaultKind.ANSWER_LOST),
    }
    trace = simulate(scenario, seed=1, faults=ScriptedFaults(by_effect=faults))
    assert done == ["one#1 None", "one#1 kill after 1 s", "one#3 answer lost", "one#3 None", "one#3 None"]
    assert "effect POST /ports  answer lost" in str(trace)


def test_a_process_sees_its_own_name_as_its_hosts() -> None:
    async def scenario(world: World) -> None:
        for name in ("one", "other"):
            world.start(name, mirror(lease=LEASE))
        await asyncio.sleep(10)
        holder = (await world.client.get(Lease, "mirror", namespace="default")).spec.holder_identity
        assert holder.partition("_")[0] in ("one", "other")

    simulate(scenario, seed=1)


def test_it_is_not_quiet_while_a_fault_goes_on_nor_right_after_it() -> None:
    """A watch that fell silent is noticed after 80 s; what comes of that must be waited for."""

    async def scenario(world: World) -> None:
        world.start("mirror", mirror())
        await asyncio.sleep(20)
        await write(world, "one", "text")
        await world.quiet()
        assert (await world.client.get(k.ConfigMap, "one-mirror", namespace="default")).data["text"] == "text"
        assert world.now > 80

    faults = {number: Fault(FaultKind.WATCH_SILENT, 10.0) for number in (1, 2)}
    simulate(scenario, seed=1, faults=ScriptedFaults(faults))


def test_a_program_may_serve_its_metrics_and_tell_events_as_it_does_in_earnest() -> None:
    async def main(process: Process) -> None:
        async with k.open_runtime(process, name="tells", serve_on=("127.0.0.1", 0)) as runtime:
            maps = runtime.informer(k.ConfigMap, namespace="default")

            async def reconcile(key: k.ObjectKey) -> k.Result:
                if (one := maps.store.get(key)) is not None:
                    runtime.recorder.event(one, type="Normal", reason="Seen", action="Look", note="as always")
                return k.Result(requeue_after_s=10)

            runtime.controller("tells", reconcile).for_(maps)
            await runtime.run()

    async def scenario(world: World) -> None:
        world.start("tells", main)
        await write(world, "one", "text")
        await asyncio.sleep(3600)
        events = await world.client.list(Event, namespace="default")
        assert [event.series.count for event in events.items if event.series] == [pytest.approx(360, abs=7)]
        writes = [line.call for line in world.trace if line.call and line.call.effect]
        assert 58 <= len(writes) <= 62  # once a minute, by the virtual clock

    simulate(scenario, seed=1)


def test_a_process_that_is_stopped_before_it_is_started_again_stays_away_and_it_is_quiet() -> None:
    async def scenario(world: World) -> None:
        world.start("one", mirror()).kill(restart_s=10)
        await asyncio.sleep(1)
        await world.stop("one")
        await world.quiet()
        assert world.processes["one"].incarnation == 1

    simulate(scenario, seed=1)


def test_a_process_that_stands_still_when_its_time_is_over_is_killed_and_not_blamed() -> None:
    async def main(process: Process) -> None:
        try:
            await asyncio.sleep(1e6)
        finally:
            process.pause(60)
            await asyncio.sleep(1)

    async def scenario(world: World) -> None:
        process = world.start("one", main)
        await asyncio.sleep(1)
        await world.stop("one")
        assert process.dead
        assert world.now == 31

    simulate(scenario, seed=1)
