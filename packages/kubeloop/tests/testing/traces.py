"""A run of a seed, which other interpreters make too."""

from random import Random

from kubeloop.testing.faults import SeededFaults
from kubeloop.testing.trace import Trace
from kubeloop.testing.world import World, simulate

from .mirror import LEASE, in_step, mirror, people


async def scenario(world: World) -> None:
    """Two replicas, people, and what there must be in the end."""
    for number in range(2):
        world.start(f"mirror-{number}", mirror(lease=LEASE))
    await people(world)
    await world.quiet()
    await in_step(world)


def trace(seed: int) -> Trace:
    """With faults; with two API servers where the seed is odd."""
    return simulate(scenario, seed=seed, faults=SeededFaults(Random(seed), until_s=60), servers=1 + seed % 2)
