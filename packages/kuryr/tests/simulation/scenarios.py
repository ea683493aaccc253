"""All scenarios."""

from kubeloop.testing import World

from . import steps
from .system import system


async def make(world: World) -> None:
    await steps.make_pod(world)
    await steps.running(world)


async def delete(world: World) -> None:
    await steps.delete_pod(world)
    await steps.gone(world)


POD = system("pod-comes-and-goes", make, delete, nodes=("node1",), module=__name__)
