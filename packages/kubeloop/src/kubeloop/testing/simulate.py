"""`python -m kubeloop.testing.simulate`: runs scenarios, many times, or one of its runs again.

    python -m kubeloop.testing.simulate tests/scenarios.py --runs 10000           # all of a module, on all cores
    python -m kubeloop.testing.simulate tests/scenarios.py:disks --seed 17        # one run, with its trace
    python -m kubeloop.testing.simulate tests/scenarios.py:disks --faults FILE    # one that was shrunk

One run is made in this very process, so a debugger works; it starts itself anew where Python's hash seed is another.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from kubeloop.testing.exploration import Exploration, explore, new_seed
from kubeloop.testing.failures import NotDeterministic, ScenarioFailed
from kubeloop.testing.naming import UnknownScenario, load_scenario, load_scenarios
from kubeloop.testing.plans import Plan
from kubeloop.testing.workers import HASH_SEED, WorkerFailed, Workers

TOLD_EVERY_S = 10.0


def main() -> int:
    """Exit status 1 for a run that failed, 2 where nothing could be run."""
    parser = argparse.ArgumentParser(prog="python -m kubeloop.testing.simulate", description="runs scenarios")
    parser.add_argument("targets", nargs="+", metavar="MODULE[:SCENARIO]", help="a module's name, or its file")
    parser.add_argument("--seed", type=int, help="run this seed, with its faults, and print the trace")
    parser.add_argument("--faults", type=Path, metavar="FILE", help="run what this file says, and print the trace")
    parser.add_argument("--logs", action="store_true", help="with what the controllers log in that trace")
    parser.add_argument("--runs", type=int, help="so many runs by chance, of all scenarios together")
    parser.add_argument("--seconds", type=float, default=60.0, help="or for so long, of CPU (default: 60)")
    parser.add_argument("--first-seed", type=int, help="the first seed by chance (default: another one each time)")
    arguments = parser.parse_args()
    try:
        if arguments.faults is not None:
            plan = msgspec.json.decode(arguments.faults.read_bytes(), type=Plan)
            return replay(arguments.targets[0], plan, logs=arguments.logs)
        if arguments.seed is not None:
            return replay(arguments.targets[0], Plan(seed=arguments.seed, chance=True), logs=arguments.logs)
        return run_many(arguments.targets, arguments.runs, arguments.seconds, arguments.first_seed)
    except (UnknownScenario, WorkerFailed) as error:
        print(error, file=sys.stderr)
        return 2


def replay(target: str, plan: Plan, *, logs: bool) -> int:
    """One run, here; prints its trace."""
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        os.environ["PYTHONHASHSEED"] = HASH_SEED
        os.execv(sys.executable, [sys.executable, "-m", "kubeloop.testing.simulate", *sys.argv[1:]])  # noqa: S606
    from kubeloop.testing.running import run_plan

    outcome = run_plan(load_scenario(target), plan, traced=True, logs=logs)
    for line in outcome.trace:
        print(line)
    if outcome.failure is None:
        print(f"all held: {outcome.effects} effects in {outcome.virtual_s:.0f} s, which took {outcome.cpu_s:.3f} s")
        return 0
    print(f"{outcome.failure.invariant}: {outcome.failure.message}")
    return 1


def run_many(targets: list[str], runs: int | None, seconds: float, first_seed: int | None) -> int:
    """All scenarios of the targets, one after the other, each with its share."""
    scenarios = [each for target in targets for each, _ in load_scenarios(target)]
    first_seed = new_seed() if first_seed is None else first_seed
    print(f"{len(scenarios)} scenarios, seeds from {first_seed}", flush=True)
    status = 0
    with Workers() as workers:
        for number, target in enumerate(scenarios):
            left = len(scenarios) - number
            share = None if runs is None else runs // left
            runs = None if runs is None or share is None else runs - share
            status |= _run_one(workers, target, share, seconds / len(scenarios), first_seed)
    return status


def _run_one(workers: Workers, target: str, runs: int | None, seconds: float, seed: int) -> int:
    progress = _Progress()
    try:
        found = explore(target, seconds=seconds, runs=runs, seed=seed, workers=workers, progress=progress)
        print(found.summary(), flush=True)
        found.check()
    except (ScenarioFailed, NotDeterministic) as error:
        print(f"FAILED {error}", flush=True)
        return 1
    return 0


class _Progress:
    """A line now and then."""

    def __init__(self) -> None:
        self._told_at = time.monotonic()

    def __call__(self, found: Exploration) -> None:
        if time.monotonic() - self._told_at > TOLD_EVERY_S:
            self._told_at = time.monotonic()
            print(f"  {found.summary()}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
