"""The shipped controller and daemons, unmodified: killed at each of their effects, and whatever chance has for them."""

import pytest

from kubeloop.testing import Scenario, Simulation

from . import scenarios

ALL = tuple(one for one in vars(scenarios).values() if isinstance(one, Scenario))


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_pods_survive(scenario: Scenario, simulation: Simulation) -> None:
    simulation(scenario)
