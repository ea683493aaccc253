"""Each planted bug is found within a bounded number of runs: the harness would find it in your controller too."""

import pytest

from kubeloop.testing import Scenario, Workers, explore

from .planted import PLANTED

RUNS = 1000


@pytest.mark.parametrize("scenario", PLANTED, ids=lambda scenario: scenario.name)
def test_it_is_found(scenario: Scenario, simulation_workers: Workers) -> None:
    found = explore(scenario, runs=RUNS, seed=1, shrunk=False, workers=simulation_workers)
    assert found.failed is not None, f"not in {found.runs} runs: {found.summary()}"
    assert found.failed.failure is not None
    print(f"{scenario.name}: {found.failed.failure.invariant} in run {found.runs}")
