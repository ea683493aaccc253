"""The sweeper among all the rest: what it must clear away, and what it must leave, whoever is killed when."""

import pytest

from kubeloop.testing import Scenario, Simulation

from .sweeping_scenarios import LEAKS, SHARED


@pytest.mark.parametrize("scenario", [LEAKS, SHARED], ids=lambda scenario: scenario.name)
def test_leaks_go_and_what_another_cluster_may_have_stays(scenario: Scenario, simulation: Simulation) -> None:
    simulation(scenario)
