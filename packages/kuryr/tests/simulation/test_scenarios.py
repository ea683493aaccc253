"""The shipped controller and daemons, unmodified: killed at each of their effects, and whatever chance has for them."""

import pytest

from kubeloop.testing import Scenario, Simulation

from .scenarios import ALL


@pytest.mark.parametrize("scenario", ALL.values(), ids=lambda scenario: scenario.name)
def test_pods_survive(scenario: Scenario, simulation: Simulation) -> None:
    simulation(scenario)
