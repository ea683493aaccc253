"""Leader election between processes on a virtual clock, over a network that loses, delays and refuses."""

import asyncio
import contextlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeloop.client import errors
from kubeloop.leader import LeaderElection, LeadershipLost, boot_time, unique_identity

from .world import Passage, Process, World, a_world

LOST = itertools.repeat(Passage("request lost"))


def _led(process: Process) -> bool:
    return process.election.leading


def _spec(world: World) -> dict[str, object]:
    assert world.server.lease is not None
    spec: dict[str, object] = world.server.lease["spec"]
    return spec


def _leader_and_standby(world: World) -> tuple[Process, Process]:
    leader = Process(world, "a")
    world.run_until(lambda: _led(leader), 1)
    standby = Process(world, "b")
    world.run_for(3)
    return leader, standby


def test_the_first_candidate_leads_at_once_and_the_second_waits() -> None:
    with a_world() as world:
        leader, standby = _leader_and_standby(world)
        world.run_for(120)
        assert _led(leader)
        assert not standby.terms
        assert not standby.written
        assert world.server.writes[-1] == "a"


def test_after_a_clean_end_the_standby_leads_within_a_retry_period() -> None:
    with a_world() as world:
        leader, standby = _leader_and_standby(world)
        leader.cancel()
        assert world.run_until(lambda: _led(standby), 10) <= 2.0 * 1.2 + 0.2
        assert leader.task.cancelled()
        assert _spec(world)["holderIdentity"] == "b"
        assert _spec(world)["leaseTransitions"] == 1


def test_the_lease_is_given_back_when_lead_returns() -> None:
    async def lead_briefly(process: Process) -> None:
        await asyncio.sleep(5)

    with a_world() as world:
        leader = Process(world, "a", lead_briefly)
        world.run_until(leader.task.done, 10)
        assert leader.failure() is None
        assert _spec(world)["holderIdentity"] == ""
        assert _spec(world)["leaseDurationSeconds"] == 1


def test_what_lead_raises_is_raised_and_the_lease_given_back() -> None:
    async def fail(process: Process) -> None:
        raise ValueError("mine")

    with a_world() as world:
        leader = Process(world, "a", fail)
        world.run_until(leader.task.done, 10)
        assert isinstance(leader.failure(), ValueError)
        assert _spec(world)["holderIdentity"] == ""


def test_the_lease_is_renewed_while_lead_winds_down() -> None:
    async def wind_down_slowly(process: Process) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(40)
            process.write()

    with a_world() as world:
        leader = Process(world, "a", wind_down_slowly)
        world.run_for(3)
        standby = Process(world, "b")
        leader.cancel()
        world.run_for(39)
        assert not standby.terms
        assert not _led(standby)
        world.run_until(lambda: _led(standby), 5)
        assert leader.written
        assert not leader.refused


def test_a_leader_without_an_api_gives_up_before_others_may_lead() -> None:
    with a_world() as world:
        leader, standby = _leader_and_standby(world)
        cut_at = world.now
        world.network(LOST)
        world.run_until(leader.task.done, 15)
        assert isinstance(leader.failure(), LeadershipLost)
        assert leader.written[-1] <= cut_at + 10
        assert leader.terms[0][1] <= cut_at + 10.1
        world.network(iter(()))
        world.run_until(
            lambda: _led(standby), 25
        )  # it may see the last renewal only now: a request in vain, 15 s, a try
        assert standby.written[0] > leader.written[-1]


def test_faults_shorter_than_the_renew_deadline_cost_nothing() -> None:
    with a_world() as world:
        leader, _ = _leader_and_standby(world)
        world.network(iter([Passage("unavailable"), Passage("answer lost"), Passage("request lost")]))
        world.run_for(60)
        assert _led(leader)
        assert not leader.terms


def test_the_standby_leads_soon_after_the_lease_of_a_dead_leader_ends() -> None:
    with a_world() as world:
        leader, standby = _leader_and_standby(world)
        leader.stopped = True
        assert world.run_until(lambda: _led(standby), 30) <= 15 + 2 * 1.2 * 2 + 0.2


def test_a_paused_leader_writes_nothing_when_it_wakes() -> None:
    with a_world() as world:
        leader, standby = _leader_and_standby(world)
        leader.stopped = True
        before = list(leader.written)
        world.run_for(60)
        assert _led(standby)
        leader.stopped = False
        world.run_until(leader.task.done, 5)
        assert leader.written == before
        assert isinstance(leader.failure(), LeadershipLost)
        assert _led(standby)


def test_an_answer_that_was_waited_for_too_long_opens_no_fence() -> None:
    with a_world() as world:
        late = Process(world, "a")
        world.network(iter([Passage(), Passage(back_s=1)]))
        world.run_for(0.5)
        assert world.server.writes == ["a"]
        late.stopped = True
        world.run_for(60)
        late.stopped = False
        late.turn()
        assert not _led(late)
        assert not late.written
        world.run_until(lambda: _led(late), 3)


def test_a_lead_that_does_not_end_is_not_waited_for_longer_than_the_lease() -> None:
    async def deaf(process: Process) -> None:
        for _ in range(60):
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                continue

    with a_world() as world:
        leader = Process(world, "a", deaf)
        world.run_for(3)
        cut_at = world.now
        world.network(LOST)
        world.run_until(leader.task.done, 20)
        assert isinstance(leader.failure(), LeadershipLost)
        assert world.now <= cut_at + 15.1


def test_the_lease_is_not_given_back_while_something_of_its_holder_still_runs() -> None:
    async def deaf(process: Process) -> None:
        for _ in range(3):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(100)

    with a_world() as world:
        leader = Process(world, "a", deaf)
        world.run_for(3)
        leader.cancel()
        world.run_for(1)
        leader.cancel()
        world.run_until(leader.task.done, 20)
        assert not _led(leader)
        assert set(world.server.writes) == {"a"}


def test_of_two_that_find_the_lease_free_one_gets_it() -> None:
    with a_world() as world:
        leader, standby = _leader_and_standby(world)
        other = Process(world, "c")
        world.run_for(3)
        leader.stopped = True
        world.network(itertools.repeat(Passage(back_s=1.5)))
        world.run_until(lambda: _led(standby) or _led(other), 30)
        world.run_for(10)
        assert len(set(world.server.writes)) == 2


def test_a_namesake_is_another_process() -> None:
    with a_world() as world:
        first = Process(world, "a")
        world.run_for(3)
        second = Process(world, "a")
        world.run_for(60)
        assert _led(first)
        assert not _led(second)


def test_a_lease_that_was_deleted_is_the_leaders_again() -> None:
    with a_world() as world:
        leader, standby = _leader_and_standby(world)
        world.server.lease = None
        world.run_for(30)
        assert _led(leader)
        assert not standby.terms
        assert not _led(standby)


def test_a_holder_with_a_longer_lease_is_waited_for_as_long() -> None:
    with a_world() as world:
        leader, standby = _leader_and_standby(world)
        leader.stopped = True
        assert world.server.lease is not None
        world.server.lease["spec"]["leaseDurationSeconds"] = 60
        world.run_for(59)
        assert not _led(standby)
        world.run_until(lambda: _led(standby), 10)


@pytest.mark.parametrize("ahead_s", [-7200, 7200])
def test_a_standby_whose_wall_clock_differs_takes_the_lease_no_sooner_and_no_later(ahead_s: float) -> None:
    with a_world() as world:
        leader, standby = _leader_and_standby(world)
        standby.wall_ahead_s = ahead_s
        world.run_for(60)
        assert not _led(standby)
        leader.stopped = True
        world.run_for(10)
        assert not _led(standby)
        world.run_until(lambda: _led(standby), 10)


def test_transitions_and_times_are_kept_right() -> None:
    with a_world() as world:
        leader, standby = _leader_and_standby(world)
        acquired, renewed = _spec(world)["acquireTime"], _spec(world)["renewTime"]
        world.run_for(5)
        assert _spec(world)["acquireTime"] == acquired
        assert str(_spec(world)["renewTime"]) > str(renewed)
        leader.stopped = True
        world.run_until(lambda: _led(standby), 30)
        assert str(_spec(world)["acquireTime"]) > str(acquired)
        assert _spec(world)["leaseTransitions"] == 1


_passages = st.builds(
    Passage,
    st.sampled_from(["fine", "fine", "fine", "request lost", "answer lost", "unavailable"]),
    st.sampled_from([0.0, 0.1, 1.0, 4.0, 20.0]),
    st.sampled_from([0.0, 0.1, 1.0, 4.0, 20.0]),
)
_pauses = st.tuples(st.integers(0, 2), st.floats(0, 60), st.sampled_from([1.0, 9.0, 11.0, 30.0]))


@settings(max_examples=40, deadline=None)
@given(st.lists(_passages, max_size=60), st.lists(_pauses, max_size=4), st.integers(0, 40))
def test_never_are_two_fences_open_and_somebody_leads_in_the_end(
    passages: list[Passage], pauses: list[tuple[int, float, float]], end_at: int
) -> None:
    with a_world() as world:
        processes = [Process(world, name) for name in "abc"]
        world.network(iter(passages))
        while world.now < 70:
            for index, process in enumerate(processes):
                process.stopped = any(of == index and at <= world.now < at + length for of, at, length in pauses)
            if end_at <= world.now < end_at + 0.06:
                processes[0].cancel()
            world.step()  # asserts that at most one fence is open, at each turn of each process
        world.network(iter(()))
        for process in processes:
            process.stopped = False
        world.run_for(1)
        alive = [process for process in processes if not process.task.done()]
        if alive:
            world.run_until(lambda: any(_led(process) for process in alive), 40)
        writes = sorted((at, process.name) for process in processes for at in process.written)
        changes = [name for name, _ in itertools.groupby(name for _, name in writes)]
        assert len(changes) == len(set(changes)), "somebody wrote after another had"


@pytest.mark.parametrize(
    ("durations", "problem"),
    [
        ({"lease_duration_s": 10}, "must last longer than the renew deadline"),
        ({"renew_deadline_s": 2.3}, "must be above 1.2 retry periods"),
        ({"retry_period_s": 0}, "must be above 0"),
        ({"lease_duration_s": 15.5}, "whole seconds"),
    ],
)
def test_durations_with_which_two_could_lead_are_refused(durations: dict[str, float], problem: str) -> None:
    with a_world() as world:
        client = Process(world, "a").client
        with pytest.raises(ValueError, match=problem):
            LeaderElection(client, namespace="n", name="l", **durations)  # type: ignore[arg-type]


def test_a_suspended_machine_does_not_wake_up_as_the_leader() -> None:
    with a_world() as world:
        leader, _ = _leader_and_standby(world)
        leader.suspended_s = 3600.0  # its event loop's clock stood still
        with pytest.raises(errors.NotLeader):
            leader.write()
        world.run_until(leader.task.done, 4)
        assert isinstance(leader.failure(), LeadershipLost)


def test_identities_are_of_one_process_and_the_clock_runs() -> None:
    assert unique_identity() != unique_identity()
    assert boot_time() <= boot_time()
