"""Too much waits for a person; another cluster's ports stop everything."""

from hypothesis import given
from hypothesis import strategies as st

from kuryr.model.ownership import PoolUid
from kuryr.sweeping.guard import FEW, Limits, Term, Verdict, judge, signs_of_another_cluster
from kuryr.sweeping.planner import DeletePort, Step

from .examples import port

LIMITS = Limits(max_count=20, max_percent=10.0)
SINCE = 1_700_000_000.0
TERM = Term(SINCE, frozenset({PoolUid("ours")}))
SOON, LATER = "2023-11-14T22:14:00Z", "2023-11-14T23:00:00Z"  # 40 s and 47 min after SINCE


def leaked(*numbers: int, status: str = "DOWN", pool: str = "gone", created_at: str | None = None) -> tuple[Step, ...]:
    return tuple(DeletePort(port(number, pool, status=status, created_at=created_at)) for number in numbers)


def judged(
    steps: tuple[Step, ...], *, due: tuple[Step, ...] | None = None, ports: int = 100, approved: tuple[Step, ...] = ()
) -> Verdict:
    return judge(
        steps,
        steps if due is None else due,
        ports=ports,
        limits=LIMITS,
        approved={step.identity for step in approved},
        term=TERM,
    )


def test_a_little_goes_by_itself() -> None:
    assert judged(()) == Verdict(True, "NothingToSweep")
    assert judged(leaked(1, 2)) == Verdict(True, "WithinLimits", steps=leaked(1, 2))


def test_more_than_the_count_or_the_percentage_goes_only_when_a_person_has_seen_exactly_that() -> None:
    by_count, by_percent = leaked(*range(21)), leaked(*range(11))
    assert judged(by_count, ports=1000).reason == "TooMuch"
    assert judged(by_percent, ports=100).reason == "TooMuch"
    assert judged(by_percent, ports=110).reason == "WithinLimits"
    assert judged(by_count, ports=1000, approved=by_count) == Verdict(
        True, "Approved", "a person has approved it", by_count
    )


def test_what_comes_after_an_approval_is_judged_by_itself() -> None:
    approved, few, many = leaked(*range(30)), leaked(*range(40, 42)), leaked(*range(40, 80))
    assert judged(approved + few, ports=100, approved=approved).steps == approved + few
    verdict = judged(approved + many, ports=100, approved=approved)
    assert (verdict.allowed, verdict.reason, verdict.steps) == (False, "TooMuch", approved)


def test_the_message_says_how_much_and_what_to_do() -> None:
    message = judged(leaked(*range(21)), ports=30).message
    assert "21 things" in message
    assert "more than the 5" in message
    assert "kuryr sweep --apply" in message


def test_a_port_in_use_that_nothing_explains_is_another_clusters_and_stops_what_was_approved() -> None:
    steps = leaked(1) + leaked(2, status="ACTIVE")
    verdict = judged(steps, approved=steps)
    assert (verdict.allowed, verdict.reason, verdict.steps) == (False, "ClusterIdShared", ())
    assert "port-2." in verdict.message
    assert "port-1" not in verdict.message


def test_a_port_in_use_at_one_look_stops_the_sweep_and_is_told_only_after_the_second() -> None:
    active = leaked(2, status="ACTIVE")
    verdict = judged(leaked(1) + active, due=leaked(1))
    assert (verdict.allowed, verdict.reason, verdict.steps) == (None, "LookingAgain", ())


def test_a_port_made_in_our_time_is_anothers_unless_its_pool_was_ours_or_it_may_be_a_late_request() -> None:
    assert judged(leaked(1, created_at=LATER)).reason == "ClusterIdShared"
    assert judged(leaked(1, created_at=SOON)).reason == "WithinLimits"
    assert judged(leaked(1, pool="ours", created_at=LATER)).reason == "WithinLimits"
    assert judged(leaked(1, created_at="lately")).reason == "WithinLimits"


_steps = st.lists(
    st.builds(
        lambda number, status, pool, created_at: leaked(number, status=status, pool=pool, created_at=created_at)[0],
        st.integers(0, 60),
        st.sampled_from(["DOWN", "DOWN", "DOWN", "ACTIVE"]),
        st.sampled_from(["gone", "ours"]),
        st.sampled_from([None, SOON, LATER]),
    ),
    unique_by=lambda step: step.identity,
    max_size=50,
)


@given(steps=_steps, seen_twice=st.integers(0, 50), approved=st.integers(0, 50), ports=st.integers(0, 500))
def test_whatever_is_found_no_more_goes_than_may_and_nothing_while_there_is_a_sign_of_another_cluster(
    steps: list[Step], seen_twice: int, approved: int, ports: int
) -> None:
    due = tuple(steps[:seen_twice])
    seen = {step.identity for step in steps[:approved]}
    verdict = judge(tuple(steps), due, ports=ports, limits=LIMITS, approved=seen, term=TERM)
    assert set(verdict.steps) <= set(due)
    unseen = [step for step in verdict.steps if step.identity not in seen]
    assert len(unseen) <= max(FEW, min(20, ports // 10))
    if signs_of_another_cluster(steps, TERM):
        assert verdict.steps == ()
        assert verdict.allowed is not True
    elif verdict.allowed:
        assert verdict.steps == due
