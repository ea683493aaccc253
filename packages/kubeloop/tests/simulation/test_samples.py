"""Right controllers survive: killed at each of their effects, and whatever chance has for them."""

from kubeloop.testing import Simulation

from .slots_scenario import SLOTS


def test_slots_are_given_once_and_freed_when_their_pod_is_gone(simulation: Simulation) -> None:
    simulation(SLOTS)
