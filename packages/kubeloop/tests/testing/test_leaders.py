"""Replicas of one controller, for hours, under everything that happens to leaders: one writes at a time, and all comes
right.
"""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

import kubeloop as k
from kubeloop.leader import Lease
from kubeloop.testing.faults import Call, Fault, FaultKind, Rate, ScriptedFaults, SeededFaults
from kubeloop.testing.incarnation import Process
from kubeloop.testing.trace import Trace
from kubeloop.testing.world import World, simulate

from .mirror import LEASE, in_step, mirror, people, write
from .traces import trace as seeded


def terms(trace: Trace) -> list[tuple[float, float, str]]:
    """From its first write to its last, of each incarnation that wrote anything but leases."""
    found: dict[str, tuple[float, float]] = {}
    for line in trace:
        if line.call is not None and line.call.effect is not None and not line.call.resource.startswith("leases"):
            found[line.process] = (found.get(line.process, (line.at_s, 0))[0], line.at_s)
    return sorted((first, last, who) for who, (first, last) in found.items())


def one_at_a_time(trace: Trace) -> None:
    """No write left a process while another one led: a deposed leader ends, so terms do not interleave."""
    before = None
    for term in terms(trace):
        assert before is None or before[1] < term[0], f"{before} and {term}\n{trace}"
        before = term


async def leader(world: World) -> Process:
    holder = (await world.client.get(Lease, LEASE.name, namespace=LEASE.namespace)).spec.holder_identity
    return world.processes[holder.partition("_")[0]]


@pytest.mark.parametrize(
    "strike",
    [
        lambda one: one.kill(restart_s=5.0),
        lambda one: one.pause(60),
        lambda one: one.isolate(60),
        lambda one: one.pause(8),
        lambda one: one.isolate(8),
    ],
    ids=["killed", "paused for a minute", "cut off for a minute", "paused for 8 s", "cut off for 8 s"],
)
def test_hours_pass_and_the_leader_is_struck_again_and_again(strike: Callable[[Process], None]) -> None:
    async def scenario(world: World) -> None:
        for number in range(2):
            world.start(f"mirror-{number}", mirror(lease=LEASE))
        await people(world)
        for number in range(12):
            struck = await leader(world)
            strike(struck)
            await write(world, "c0", f"while the leader is struck for the {number}th time")
            await asyncio.sleep(world.random.uniform(0, 1200))
        await world.quiet()
        await in_step(world)

    one_at_a_time(simulate(scenario, seed=1))


def test_one_writes_at_a_time_under_all_faults_at_once() -> None:
    for seed in range(40):
        one_at_a_time(seeded(seed))


def test_one_writes_at_a_time_when_leaders_are_all_that_is_struck() -> None:
    kind = FaultKind
    rates = {kind.PAUSE: Rate(0.05, (1, 40)), kind.CUT_OFF: Rate(0.05, (1, 40)), kind.LATE_EFFECT: Rate(0.05, (1, 40))}

    async def scenario(world: World) -> None:
        for number in range(3):
            world.start(f"mirror-{number}", mirror(lease=LEASE))
        await people(world)
        await asyncio.sleep(100)
        await world.quiet()
        await in_step(world)

    terms_seen = 0
    for seed in range(15):
        trace = simulate(scenario, seed=seed, faults=SeededFaults(Random(seed), rates, until_s=120))
        one_at_a_time(trace)
        terms_seen += len(terms(trace))
    assert terms_seen > 30  # leaders did change


def test_a_write_that_left_in_time_takes_effect_late_and_a_deposed_leader_sends_no_other() -> None:
    """What the fence cannot stop: bytes that have left. Whatever leads by then must put it right again."""

    async def scenario(world: World) -> None:
        for number in range(2):
            world.start(f"mirror-{number}", mirror(lease=LEASE))
        await asyncio.sleep(5)
        deposed = await leader(world)
        await write(world, "c0", "first")
        await asyncio.sleep(0.5)
        deposed.isolate(60)
        await asyncio.sleep(40)
        assert (await leader(world)).name != deposed.name
        await write(world, "c0", "second")
        await world.quiet()
        assert (await world.client.get(k.ConfigMap, "c0-mirror", namespace="default")).data["text"] == "second"

    class LateOnce:
        until_s = 0.0

        def decide(self, call: Call) -> Fault | None:
            late = call.path.endswith("c0-mirror") and not struck
            struck.append(1) if late else None
            return Fault(FaultKind.LATE_EFFECT, 50.0) if late else None

    struck: list[int] = []
    trace = simulate(scenario, seed=1, faults=LateOnce())
    assert any(line.answer.startswith("late effect") for line in trace)
    one_at_a_time(trace)


def test_a_new_leader_lists_anew_in_the_order_in_which_its_informers_were_made() -> None:
    """So what was written to the second kind before it was taken away from the first is not missed."""

    async def main(process: Process) -> None:
        async with k.open_runtime(process, name="ordered", lease=LEASE) as runtime:
            for kind in (k.ConfigMap, k.Namespace):
                runtime.informer(kind)
            await runtime.run()

    async def scenario(world: World) -> None:
        process = world.start("ordered", main)
        await asyncio.sleep(60)
        await process.stop()

    trace = simulate(scenario, seed=1, faults=ScriptedFaults({5: Fault(FaultKind.UNAVAILABLE)}))
    calls = [(line.call.verb, line.call.resource) for line in trace if line.call is not None]
    assert calls[3] == ("create", "leases.coordination.k8s.io")
    again = [("watch", "configmaps"), ("watch", "namespaces")]  # they stream the list
    assert calls[4:7] == [("watch", "configmaps"), *again]


def writes_elsewhere(fenced: bool) -> Callable[[Process], Coroutine[Any, Any, None]]:
    """A controller that tells another system of every ConfigMap that changed."""

    async def main(process: Process) -> None:
        async with k.open_runtime(process, name="elsewhere", lease=LEASE) as runtime:

            async def reconcile(key: k.ObjectKey) -> k.Result:
                if fenced:
                    runtime.fence.check()
                async with process.effect(f"PUT /{key.name}"):
                    pass
                return k.DONE

            runtime.controller("elsewhere", reconcile).for_(runtime.informer(k.ConfigMap, namespace="default"))
            await runtime.run()

    return main


@pytest.mark.parametrize("fenced", [True, False])
def test_writes_to_another_system_need_the_runtimes_fence_too(fenced: bool) -> None:
    """A leader that was paused wakes up with news of a minute ago, and works on them before it knows of its fall."""

    async def scenario(world: World) -> None:
        for number in range(2):
            world.start(f"replica-{number}", writes_elsewhere(fenced))
        await asyncio.sleep(world.random.uniform(5, 10))
        (await leader(world)).pause(60)
        await people(world)
        await asyncio.sleep(60)
        await write(world, "c0", "last")
        await asyncio.sleep(5)

    def outlived() -> int:
        """How many of ten paused leaders wrote when others led."""
        count = 0
        for seed in range(10):
            trace = simulate(scenario, seed=seed)
            try:
                one_at_a_time(trace)
            except AssertionError:
                count += 1
        return count

    assert (outlived() > 0) is not fenced


def test_a_new_leader_does_not_act_by_what_its_watches_have_missed() -> None:
    """They fell silent while it stood by. It would make a mirror of what was deleted long ago."""

    class SilentStandby:
        until_s = 0.0

        def decide(self, call: Call) -> Fault | None:
            silent = call.process == "standby" and call.verb == "watch" and call.at_s < 1
            return Fault(FaultKind.WATCH_SILENT, 10.0) if silent else None

    async def scenario(world: World) -> None:
        world.start("leads", mirror(lease=LEASE))
        await asyncio.sleep(0.5)
        world.start("standby", mirror(lease=LEASE))
        await write(world, "deleted", "text")
        await asyncio.sleep(12)
        await world.client.delete(k.ConfigMap, "deleted", namespace="default")
        await asyncio.sleep(5)
        await world.stop("leads")
        await asyncio.sleep(10)
        assert (await leader(world)).name == "standby"

    trace = simulate(scenario, seed=1, faults=SilentStandby())
    mirrored = [line for line in trace if line.call and line.call.path.endswith("-mirror")]
    written = [(line.process, line.call.verb) for line in mirrored if line.call]
    assert written == [("leads#1", "patch"), ("leads#1", "delete")]
