"""Makes a failing plan smaller: fewer faults, then fewer steps, as long as the same invariant fails. Bounded.

The faults that struck are taken as data and replayed without chance. First all are left out, then halves, then smaller
parts, until no single one can go. Leaving one out renumbers the calls after it; a smaller plan counts only by its
result. Where it took faults, steps are left out only if what is left holds without faults: else a scenario would be
blamed that nobody wrote.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import msgspec

from kubeloop.testing.plans import Outcome, Plan

T = TypeVar("T", bound=Hashable)

RUNS = 120
CPU_S = 30.0
"""Of all these runs: those of a controller that never rests are long."""


class _Spent(Exception):
    """As many runs were made as may be, or as much time was spent."""


def shrink(failed: Outcome, steps: int, run: Callable[[Plan], Outcome], *, runs: int = RUNS) -> Outcome:
    """The smallest failing outcome that was found with at most `runs` runs; at worst the one that was given."""
    assert failed.failure is not None, "there is nothing to shrink"
    search = _Search(failed, run, runs)
    try:
        search.scripted(failed)
        for _ in range(2):  # without a step other faults may have become superfluous
            before = search.best.plan
            search.fewer_faults()
            search.fewer_steps(steps)
            if search.best.plan == before:
                break
    except _Spent:
        pass
    return search.best


class _Search:
    def __init__(self, failed: Outcome, run: Callable[[Plan], Outcome], runs: int) -> None:
        assert failed.failure is not None
        self._invariant = failed.failure.invariant
        self._run = run
        self._left = runs
        self._cpu_left_s = CPU_S
        self.best = failed

    def scripted(self, failed: Outcome) -> None:
        """From faults by chance, or by effects, to the list of what struck."""
        self._try(msgspec.structs.replace(failed.plan, chance=False, effects={}, faults=failed.faults))

    def fewer_faults(self) -> None:
        if self.best.plan.chance:
            return  # the list alone does not fail
        plan = self.best.plan
        self._reduce(
            sorted(plan.faults),
            lambda kept: msgspec.structs.replace(self.best.plan, faults={n: plan.faults[n] for n in kept}),
        )

    def fewer_steps(self, steps: int) -> None:
        there = [number for number in range(steps) if number not in self.best.plan.without]
        self._reduce(
            there,
            lambda kept: msgspec.structs.replace(self.best.plan, without=frozenset(range(steps)) - frozenset(kept)),
            self._holds_without_faults,
        )

    def _holds_without_faults(self, plan: Plan) -> bool:
        if not plan.faults and not plan.chance:
            return True  # it takes none
        return self._outcome(Plan(seed=plan.seed, without=plan.without)).failure is None

    def _reduce(
        self,
        items: Sequence[T],
        plan_with: Callable[[Iterable[T]], Plan],
        allowed: Callable[[Plan], bool] = lambda _: True,
    ) -> None:
        """Delta debugging: leaves out parts of `items`, from all of them down to single ones."""
        parts = 1
        while items and parts <= len(items):
            size = -(-len(items) // parts)
            for begin in range(0, len(items), size):
                kept = [*items[:begin], *items[begin + size :]]
                if self._try(plan_with(kept), allowed):
                    items, parts = kept, max(parts - 1, 1)
                    break
            else:
                if size == 1:
                    return
                parts = min(parts * 2, len(items))

    def _try(self, plan: Plan, allowed: Callable[[Plan], bool] = lambda _: True) -> bool:
        outcome = self._outcome(plan)
        if outcome.failure is None or outcome.failure.invariant != self._invariant or not allowed(plan):
            return False
        self.best = outcome
        return True

    def _outcome(self, plan: Plan) -> Outcome:
        if self._left <= 0 or self._cpu_left_s <= 0:
            raise _Spent
        outcome = self._run(plan)
        self._left -= 1
        self._cpu_left_s -= outcome.cpu_s
        return outcome
