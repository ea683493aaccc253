"""Nodes are lost, come back, register anew, fall silent."""

import contextlib

import kubeloop as k
from kubeloop.testing import World

from .pods import make_team
from .steps import (
    bring_back,
    cut_off,
    delete,
    kill_sandbox,
    lose,
    make,
    moment,
    pause_leaders,
    reboot,
    register_anew,
    replace_machine,
    step,
    taint_out_of_service,
    upgrade,
)
from .system import system

ONE = ("node1",)

make_there = step(make, node="node2")
delete_there = step(delete, wait=False)

LOST = system("node-lost", make_there, lose, step(make, "next"), module=__name__)

REPLACED = system("node-replaced", make_there, lose, replace_machine, make_there, module=__name__)

OUT_OF_SERVICE = system(
    "node-out-of-service", make_there, taint_out_of_service, bring_back, make_there, module=__name__
)


async def replace_under_its_pods(world: World) -> None:
    """The new machine is there before anybody has deleted what ran on the old one, which it then runs."""
    world.backend.switch_off("node2")
    with contextlib.suppress(k.NotFound):
        await world.client.delete(k.Node, "node2")
    await moment(world, 5.0)
    await replace_machine(world)


REPLACED_AT_ONCE = system("node-replaced-at-once", make_there, replace_under_its_pods, delete, module=__name__)

ANEW = system("node-registers-anew", make, register_anew, step(make, "next"), delete, nodes=ONE, module=__name__)


async def delete_and_register_anew(world: World) -> None:
    """What was deleted just before needs a receipt of a node with another UID."""
    await delete(world, wait=False)
    await register_anew(world)


ANEW_DELETED = system(
    "deleted-as-node-registers-anew", make, delete_and_register_anew, make, nodes=ONE, module=__name__
)

REBOOT = system("node-reboots", make, reboot, kill_sandbox, nodes=ONE, module=__name__)


async def delete_team_of_a_silent_node(world: World) -> None:
    """Its pods go by force, as nothing is heard of their node; on which they run."""
    await cut_off(world, "daemon-node1", "kubelet-node1", seconds=40.0)
    await delete(world, namespace="team", wait=False, grace_period_s=0)
    with contextlib.suppress(k.NotFound):
        await world.client.delete(k.Namespace, "team")


SILENT = system(
    "silent-node-in-a-namespace-that-goes",
    make_team,
    delete_team_of_a_silent_node,
    module=__name__,
    nodes=ONE,
    pause_s=20.0,
)


async def force_on_a_silent_node(world: World) -> None:
    """Its pod is deleted by force, and runs there all the same, for longer than a released port rests."""
    await cut_off(world, "daemon-node1", "kubelet-node1", seconds=30.0)
    await delete(world, wait=False, grace_period_s=0)
    await make(world, "next", wait=False)


SILENT_FORCED = system("forced-on-a-silent-node", make, force_on_a_silent_node, make, nodes=ONE, module=__name__)


async def lose_a_silent_node(world: World) -> None:
    """It never comes back."""
    await delete_team_of_a_silent_node(world)
    await moment(world, 30.0)
    world.backend.switch_off("node1")
    with contextlib.suppress(k.NotFound):
        await world.client.delete(k.Node, "node1")


SILENT_LOST = system("silent-node-is-lost", make_team, lose_a_silent_node, nodes=ONE, module=__name__)


async def churn_under(world: World, *names: str) -> None:
    """Upgrades, while pods come and go."""
    await make(world, "b", wait=False)
    await upgrade(world, *names)
    await delete(world, wait=False)
    await make(world, "c", wait=False)


async def upgrade_controllers(world: World) -> None:
    await churn_under(world, *world.backend.controllers)


async def upgrade_daemons(world: World) -> None:
    await churn_under(world, "daemon-node1")


CONTROLLERS = system("controllers-upgraded", make, upgrade_controllers, nodes=ONE, module=__name__)
DAEMONS = system("daemon-upgraded", make, upgrade_daemons, nodes=ONE, module=__name__)


async def churn_under_two_leaders(world: World) -> None:
    await make(world, "b", "c", wait=False)
    await delete(world, wait=False)
    await pause_leaders(world)
    await make(world, "d", wait=False)
    await delete(world, "b", wait=False)
    await pause_leaders(world)


DEPOSED = system("leader-deposed", make, churn_under_two_leaders, nodes=ONE, module=__name__)
