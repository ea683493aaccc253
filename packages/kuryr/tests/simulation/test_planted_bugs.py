"""Each planted bug is found within a bounded number of runs."""

import pytest

from kubeloop.testing import Scenario, Workers, explore

from .planted import PLANTED

RUNS = 200


@pytest.mark.parametrize("scenario", PLANTED, ids=lambda scenario: scenario.name)
def test_it_is_found(scenario: Scenario, simulation_workers: Workers) -> None:
    found = explore(scenario, runs=RUNS, seed=1, shrunk=False, workers=simulation_workers)
    assert found.failed is not None, f"not in {found.runs} runs: {found.summary()}"
    failure = found.failed.failure
    assert failure is not None
    assert failure.invariant in {each.__name__ for each in (*scenario.always, *scenario.finally_)}, failure.message
    print(f"{scenario.name}: {failure.invariant} in run {found.runs}")
