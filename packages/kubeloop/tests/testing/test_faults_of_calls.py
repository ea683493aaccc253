"""Each fault of a single call: what its sender sees, and whether it took effect."""

import asyncio
from dataclasses import dataclass
from random import Random

import pytest

import kubeloop as k
from kubeloop.client.client import Client
from kubeloop.testing.faults import Call, Fault, FaultKind, ScriptedFaults, SeededFaults, default_rates
from kubeloop.testing.incarnation import Process
from kubeloop.testing.world import World, simulate

KIND = FaultKind


@dataclass
class Seen:
    """Of one create: what it raised, when, and the writes that took effect, with their moments."""

    error: Exception | None = None
    at_s: float = 0.0
    effects: list[float] | None = None
    lives: int = 0


def create_under(fault: Fault, *, timeout_s: float = 10.0) -> Seen:
    """One process's first call is a create, which meets the fault; then 100 s pass."""
    seen = Seen(effects=[])

    async def main(process: Process) -> None:
        if process.incarnation == 1:
            async with k.connect(process, user_agent="test", timeout_s=timeout_s) as client:
                try:
                    await client.create(k.ConfigMap(metadata=k.ObjectMeta(name="one", namespace="default")))
                except k.ApiError as error:
                    seen.error = error
                seen.at_s = process.world.now

    async def scenario(world: World) -> None:
        assert seen.effects is not None
        world.storage.subscribe(lambda _, effects=seen.effects: effects.append(world.now))
        world.start("one", main)
        await asyncio.sleep(100)
        seen.lives = world.processes["one"].incarnation

    simulate(scenario, seed=1, faults=ScriptedFaults({1: fault}))
    return seen


def test_a_lost_request_has_no_effect_and_its_sender_cannot_know() -> None:
    seen = create_under(Fault(KIND.REQUEST_LOST))
    assert isinstance(seen.error, k.Unavailable)
    assert seen.error.sent
    assert seen.effects == []


def test_a_lost_answer_comes_after_the_effect() -> None:
    seen = create_under(Fault(KIND.ANSWER_LOST))
    assert isinstance(seen.error, k.Unavailable)
    assert seen.error.sent
    assert len(seen.effects or ()) == 1


def test_a_late_effect_comes_when_its_sender_gave_up_long_ago() -> None:
    seen = create_under(Fault(KIND.LATE_EFFECT, 30.0))
    assert isinstance(seen.error, k.Unavailable)
    assert seen.at_s < 0.1
    assert seen.effects == [30.0]


def test_without_an_answer_the_sender_waits_until_its_deadline() -> None:
    seen = create_under(Fault(KIND.NO_ANSWER))
    assert isinstance(seen.error, k.Unavailable)
    assert 9.9 < seen.at_s <= 10
    assert seen.effects == []


def test_a_slow_answer_comes_later_than_its_effect() -> None:
    seen = create_under(Fault(KIND.SLOW, 5.0))
    assert seen.error is None
    assert 5 < seen.at_s < 5.1
    assert [at_s < 0.1 for at_s in seen.effects or ()] == [True]


def test_an_answer_slower_than_the_senders_patience_is_not_seen() -> None:
    seen = create_under(Fault(KIND.SLOW, 15.0))
    assert isinstance(seen.error, k.Unavailable)
    assert len(seen.effects or ()) == 1


@pytest.mark.parametrize(
    ("kind", "error", "effects"),
    [
        (KIND.CONFLICT, k.Conflict, 0),
        (KIND.UNAVAILABLE, k.Unavailable, 0),
        (KIND.FAILED, k.Unavailable, 1),
    ],
)
def test_a_refusal_is_answered_with_or_without_effect(kind: FaultKind, error: type[k.ApiError], effects: int) -> None:
    seen = create_under(Fault(kind))
    assert type(seen.error) is error
    assert seen.error.status in (409, 500, 503)
    assert len(seen.effects or ()) == effects


def test_a_throttled_call_is_repeated_after_the_time_it_was_told() -> None:
    seen = create_under(Fault(KIND.THROTTLED, 3.0))
    assert seen.error is None
    assert [3 < at_s < 3.1 for at_s in seen.effects or ()] == [True]


def test_a_kill_before_an_effect_lets_nothing_out() -> None:
    seen = create_under(Fault(KIND.KILL_BEFORE, 1.0))
    assert (seen.error, seen.at_s, seen.effects, seen.lives) == (None, 0, [], 2)


def test_a_kill_after_an_effect_comes_before_the_sender_knows() -> None:
    seen = create_under(Fault(KIND.KILL_AFTER, 1.0))
    assert (seen.error, seen.at_s, len(seen.effects or ()), seen.lives) == (None, 0, 1, 2)


def test_a_paused_process_gets_its_answer_when_it_goes_on() -> None:
    seen = create_under(Fault(KIND.PAUSE, 8.0))
    assert (seen.error, seen.at_s) == (None, 8.0)
    assert [at_s < 0.1 for at_s in seen.effects or ()] == [True]


def test_a_process_that_is_cut_off_reaches_nothing_and_hears_nothing() -> None:
    seen = create_under(Fault(KIND.CUT_OFF, 8.0))
    assert isinstance(seen.error, k.Unavailable)
    assert seen.effects == []
    assert seen.at_s >= 8


def test_a_server_that_is_started_anew_refuses_connections_and_writes_are_repeated() -> None:
    seen = create_under(Fault(KIND.RESTART, 2.0))
    assert seen.error is None
    assert [at_s > 2 for at_s in seen.effects or ()] == [True]


def test_a_create_of_several_at_once_dies_with_the_one_at_which_its_process_is_killed() -> None:
    names: list[str] = []

    async def main(process: Process) -> None:
        if process.incarnation > 1:
            return
        async with k.connect(process, user_agent="test") as client, asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(_create(client, f"c{number}"))

    async def scenario(world: World) -> None:
        world.storage.subscribe(lambda change: names.append(change.key))
        world.start("one", main)
        await asyncio.sleep(100)

    simulate(scenario, seed=1, faults=ScriptedFaults(by_effect={3: Fault(KIND.KILL_BEFORE, 1.0)}))
    assert names == []  # two had left, and were lost on the way with their sender


async def _create(client: Client, name: str) -> None:
    await client.create(k.ConfigMap(metadata=k.ObjectMeta(name=name, namespace="default")))


def a_call(verb: str, *, effect: int | None = None, at_s: float = 0.0, **query: str) -> Call:
    return Call(1, at_s, "one", 1, verb, "/api/v1/configmaps", "configmaps", tuple(query.items()), effect)


def decided(call: Call) -> set[FaultKind]:
    faults = SeededFaults(Random(1), until_s=100)
    return {fault.kind for _ in range(20_000) if (fault := faults.decide(call)) is not None}


def test_chance_finds_every_fault_and_only_where_it_can_happen() -> None:
    write, read = a_call("create", effect=1), a_call("list")
    page, watch = a_call("list", **{"continue": "x"}), a_call("watch", resourceVersion="7")
    assert decided(write) | decided(page) | decided(watch) == set(FaultKind) == default_rates().keys()
    of_writes = {KIND.CONFLICT, KIND.LATE_EFFECT, KIND.KILL_BEFORE, KIND.KILL_AFTER}
    assert not decided(read) & of_writes
    assert KIND.GONE not in decided(read) | decided(write)
    assert not {kind for kind in decided(write) | decided(page) if kind.startswith("watch")}
    assert not decided(watch) & {KIND.ANSWER_LOST, KIND.SLOW, *of_writes}


def test_nothing_goes_wrong_by_chance_in_the_quiet_phase() -> None:
    assert decided(a_call("create", effect=1, at_s=100.0)) == set()
