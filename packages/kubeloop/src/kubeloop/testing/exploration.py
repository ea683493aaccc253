"""Which runs are made of a scenario, and what is made of the first that fails.

1. Twice without faults: the traces must be equal, else nothing that follows means anything. This counts the effects.
2. For each effect two runs, in which the process that makes it is killed right before and right after it, and started
   again.
3. Seeds, one after the other from a first one, with faults by chance, for a CPU time or a number of runs.

The first run that fails is shrunk, and told with everything that one needs to see it again.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kubeloop.testing.failures import NotDeterministic, ScenarioFailed, save, tell_difference
from kubeloop.testing.faults import Fault, FaultKind
from kubeloop.testing.naming import load_scenario, target_of
from kubeloop.testing.plans import Outcome, Plan
from kubeloop.testing.scenario import Scenario
from kubeloop.testing.shrinking import shrink
from kubeloop.testing.workers import Workers

RESTARTED_AFTER_S = 1.0

Progress = Callable[["Exploration"], None]


@dataclass
class Exploration:
    """What was run so far. `seeds` are those by chance, of which `random_runs` were run; `failed` is as it was found,
    `shrunk` the smallest that fails in the same way.
    """

    target: str
    scenario: Scenario
    first_seed: int
    effects: int = 0
    effect_runs: int = 0
    random_runs: int = 0
    last_seed: int | None = None
    cpu_s: float = 0.0
    random_cpu_s: float = 0.0
    failed: Outcome | None = None
    shrunk: Outcome | None = None

    @property
    def runs(self) -> int:
        """All runs but those of the shrinking."""
        return 2 + self.effect_runs + self.random_runs

    def summary(self) -> str:
        """One line for people."""
        seeds = f", seeds {self.first_seed} to {self.last_seed}" if self.random_runs else ""
        return (
            f"{self.scenario.name}: {self.effects} effects, {self.effect_runs} runs killed at one; "
            f"{self.random_runs} by chance{seeds}; {self.cpu_s:.1f} s of CPU"
        )

    def check(self) -> None:
        """Raises `ScenarioFailed` if a run failed: its message has all that one needs."""
        if self.failed is not None:
            raise ScenarioFailed(save(self.target, self.failed, self.shrunk or self.failed))


@dataclass
class _Explorer:
    workers: Workers
    found: Exploration
    progress: Progress | None
    taken: int = field(default=0, init=False)

    def without_faults(self) -> None:
        plan = Plan(seed=self.found.first_seed)
        self._same_twice(plan)

    def each_effect(self) -> None:
        seed, effects = self.found.first_seed, range(1, self.found.effects + 1)
        kinds = (FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER)
        plans = (
            Plan(seed=seed, effects={number: Fault(kind, RESTARTED_AFTER_S)}) for number in effects for kind in kinds
        )
        for outcome in self.workers.stream(self.found.target, plans):
            self.found.effect_runs += 1
            if self._told(outcome):
                return

    def by_chance(self, seconds: float, runs: int | None) -> None:
        if not runs and seconds <= 0:
            return
        self._same_twice(Plan(seed=self.found.first_seed, chance=True))
        if self.found.failed is not None:
            return
        for outcome in self.workers.stream(self.found.target, self._seeds(seconds, runs)):
            self.found.random_runs += 1
            self.found.random_cpu_s += outcome.cpu_s
            self.found.last_seed = max(self.found.last_seed or 0, outcome.plan.seed)
            if self._told(outcome):
                return

    def _seeds(self, seconds: float, runs: int | None) -> Iterator[Plan]:
        while self.taken < runs if runs is not None else self.found.random_cpu_s < seconds:
            self.taken += 1
            yield Plan(seed=self.found.first_seed + self.taken - 1, chance=True)

    def _same_twice(self, plan: Plan) -> None:
        first, second = self.workers.stream(self.found.target, (plan, plan))
        if not plan.chance:
            self.found.effects = first.effects
        self._told(second)
        if not self._told(first) and first.digest != second.digest:
            one, other = self.workers.stream(self.found.target, (plan, plan), traced=True)
            raise NotDeterministic(tell_difference(self.found.target, plan, one.trace, other.trace))

    def _told(self, outcome: Outcome) -> bool:
        self.found.cpu_s += outcome.cpu_s
        if outcome.failure is not None and self.found.failed is None:
            self.found.failed = outcome
        if self.progress is not None:
            self.progress(self.found)
        return outcome.failure is not None


def explore(
    scenario: Scenario | str,
    *,
    seconds: float = 0.0,
    runs: int | None = None,
    seed: int | None = None,
    each_effect: bool = True,
    shrunk: bool = True,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Exploration:
    """Runs a scenario, or the one of that name, as the module says: by chance `runs` times, or for `seconds` of CPU.

    `seed` is the first; another one each time by default. Stops at the first failure, which the result holds. Raises
    `NotDeterministic`, and what is raised where the scenario cannot be imported or run.
    """
    if isinstance(scenario, str):
        target, scenario = scenario, load_scenario(scenario)
    else:
        target = target_of(scenario)
    if workers is None:
        with Workers() as own:
            return explore(
                scenario,
                seconds=seconds,
                runs=runs,
                seed=seed,
                each_effect=each_effect,
                shrunk=shrunk,
                workers=own,
                progress=progress,
            )
    found = Exploration(target, scenario, first_seed=new_seed() if seed is None else seed)
    explorer = _Explorer(workers, found, progress)
    explorer.without_faults()
    if each_effect and found.failed is None:
        explorer.each_effect()
    if found.failed is None:
        explorer.by_chance(seconds, runs)
    if found.failed is not None and shrunk:
        run_one = workers
        found.shrunk = shrink(found.failed, len(scenario.steps), lambda plan: run_one.run(target, plan))
    return found


def new_seed() -> int:
    """One that was not used before, in all likelihood."""
    return random.SystemRandom().randrange(1_000_000_000)
