"""Shrinking, against runs that are only a rule: which faults and steps it takes to fail."""

from collections.abc import Callable

import msgspec

from kubeloop.testing.faults import Fault, FaultKind
from kubeloop.testing.plans import Failure, Outcome, Plan
from kubeloop.testing.shrinking import shrink

Rule = Callable[[frozenset[int], frozenset[int]], str]
"""From the faults that struck and the steps that were played to the invariant that fails, or an empty text."""

STEPS = 6
LOST = Fault(FaultKind.REQUEST_LOST)


class Runs:
    """Runs plans by a rule; by chance forty faults strike."""

    def __init__(self, rule: Rule, cpu_s: float = 0.01) -> None:
        self.rule = rule
        self.cpu_s = cpu_s
        self.count = 0

    def __call__(self, plan: Plan) -> Outcome:
        self.count += 1
        faults = dict.fromkeys(range(1, 41), LOST) if plan.chance else plan.faults
        invariant = self.rule(frozenset(faults), frozenset(range(STEPS)) - plan.without)
        failure = Failure(invariant=invariant, message="", at_s=0) if invariant else None
        return Outcome(plan=plan, effects=9, faults=faults, digest="", virtual_s=1, cpu_s=self.cpu_s, failure=failure)


def shrunk(rule: Rule, *, runs: int = 200, cpu_s: float = 0.01) -> tuple[Outcome, int]:
    run = Runs(rule, cpu_s)
    failed = run(Plan(seed=1, chance=True))
    found = shrink(failed, STEPS, run, runs=runs)
    return found, run.count - 1


def test_only_the_faults_and_steps_that_it_takes_are_left() -> None:
    found, _ = shrunk(lambda faults, steps: "broken" if {7, 31} <= faults and 2 in steps else "")
    assert set(found.plan.faults) == {7, 31}
    assert found.plan.without == {0, 1, 3, 4, 5}
    assert not found.plan.chance


def test_another_invariant_that_fails_is_not_the_same_failure() -> None:
    found, _ = shrunk(lambda faults, _: "broken" if len(faults) > 10 else "another")
    assert found.failure is not None
    assert found.failure.invariant == "broken"
    assert len(found.plan.faults) == 11


def test_a_failure_that_takes_no_fault_is_left_without_any() -> None:
    found, runs = shrunk(lambda _, __: "broken")
    assert found.plan.faults == {}
    assert runs < 10


def test_it_ends_early_where_each_run_takes_long() -> None:
    found, runs = shrunk(lambda faults, _: "broken" if {7, 31} <= faults else "", cpu_s=10.0)
    assert runs == 3
    assert found.failure is not None


def test_it_ends_after_the_runs_that_it_may_make() -> None:
    found, runs = shrunk(lambda faults, _: "broken" if {7, 31, 12, 13, 29} <= faults else "", runs=15)
    assert runs == 15
    assert {7, 31, 12, 13, 29} <= set(found.plan.faults)
    assert len(found.plan.faults) < 40


def test_what_fails_only_by_chance_keeps_its_seed() -> None:
    """The faults alone do not bring it back: the seed is all there is to tell."""
    run = Runs(lambda faults, _: "broken" if len(faults) == 40 else "")
    failed = run(Plan(seed=1, chance=True))
    scripted_never_fails = Runs(lambda _, __: "")
    found = shrink(failed, STEPS, scripted_never_fails)
    assert found == failed


def test_a_plan_is_the_same_after_it_was_written_to_a_file() -> None:
    plan = Plan(seed=3, faults={4: Fault(FaultKind.SLOW, 2.5)}, effects={1: LOST}, without=frozenset((1,)))
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
