"""Right controllers survive: killed at each of their effects, and whatever chance has for them."""

from kubeloop.testing import Simulation

from .disks_scenario import DISKS
from .fleets_scenario import FLEETS
from .shared_config import SHARED_CONFIG
from .slots_scenario import SLOTS


def test_copies_of_a_shared_config_are_as_it_says(simulation: Simulation) -> None:
    simulation(SHARED_CONFIG)


def test_each_disk_is_one_in_the_cloud(simulation: Simulation) -> None:
    simulation(DISKS)


def test_slots_are_given_once_and_freed_when_their_pod_is_gone(simulation: Simulation) -> None:
    simulation(SLOTS)


def test_a_fleet_keeps_its_promise_while_it_rolls(simulation: Simulation) -> None:
    simulation(FLEETS)
