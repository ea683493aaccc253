"""Pods come and go, in all the ways that are hard."""

import contextlib

import kubeloop as k
from kubeloop.testing import World
from kuryr.model.resources import SANDBOX_FINALIZER, KuryrNode, KuryrPort, KuryrPortPool
from kuryr.simulator.node.cni import CniFailed
from kuryr.simulator.node.kubelet import NodePod

from .steps import (
    WEB,
    cut_off,
    delete,
    finish,
    kill_sandbox,
    make,
    moment,
    recreate,
    runs,
    start_controllers,
    step,
    stop_controllers,
    until,
)
from .system import system

ONE = ("node1",)

POD = system("pod-comes-and-goes", make, delete, nodes=ONE, module=__name__)


async def make_a_burst(world: World) -> None:
    """Three pods at once, and events of them all the time."""
    names = ("a", "b", "c")
    await make(world, *names, wait=False)
    for number in range(3):
        for name in names:
            patch = k.MergePatch({"metadata": {"labels": {"changed": str(number)}}})
            await world.client.patch(NodePod, name, patch, namespace="default")
        await moment(world, 0.05)
    for name in names:
        await until(lambda name=name: runs(world, name))


BURST = system("burst-of-events", make_a_burst, step(delete, "a", "b"), nodes=ONE, module=__name__)


async def write_all_the_time(world: World) -> None:
    """Somebody's labels on all that is ours, while it is written."""
    await make(world, wait=False)
    for number in range(40):
        patch = k.MergePatch({"metadata": {"labels": {"theirs": str(number)}}})
        for kind in (KuryrPort, KuryrPortPool, KuryrNode):
            for one in world.list(kind):
                with contextlib.suppress(k.NotFound):
                    await world.client.patch(kind, one.key.name, patch, namespace=one.key.namespace)
        if number == 20:
            await delete(world, wait=False)
        await moment(world, 0.02)


CONFLICTS = system("conflicting-writes", write_all_the_time, make, nodes=ONE, module=__name__)


async def delete_while_nobody_looks(world: World) -> None:
    """Pod and claim are deleting before those are there who care."""
    await stop_controllers(world)
    await world.stop("daemon-node1")
    await delete(world, wait=False)
    with contextlib.suppress(k.NotFound):
        await world.client.delete(KuryrPort, WEB, namespace="default")
    await moment(world, 5.0)
    await start_controllers(world)
    world.backend.start("daemon-node1")


DELETING = system("deleting-at-restart", make, delete_while_nobody_looks, nodes=ONE, module=__name__)


async def make_and_delete_at_once(world: World) -> None:
    for name in ("a", "b"):
        await make(world, name, wait=False)
        await moment(world, 0.3)
        await delete(world, name, wait=False)


HASTY = system("made-and-deleted-at-once", make_and_delete_at_once, nodes=ONE, module=__name__)


async def remove_finalizers(world: World) -> None:
    """A person in frustration, as soon as the claim is deleting. What happens to its port then is theirs."""
    await delete(world, wait=False)
    await until(lambda: _claim_is_deleting(world))
    claim = world.get(KuryrPort, WEB, namespace="default")
    if claim is not None and claim.metadata.deleting:
        world.backend.excuse(claim.spec.interfaces[0].port_id)
        with contextlib.suppress(k.ApiError):
            await k.remove_finalizer(world.client, claim, SANDBOX_FINALIZER)


def _claim_is_deleting(world: World) -> bool:
    claim = world.get(KuryrPort, WEB, namespace="default")
    return claim is None or claim.metadata.deleting


VANISHING = system("finalizer-vanishes", make, remove_finalizers, make, nodes=ONE, module=__name__)


async def make_team(world: World) -> None:
    await world.client.create(k.Namespace(metadata=k.ObjectMeta(name="team")))
    await make(world, namespace="team")


async def delete_team_while_pods_are_made(world: World) -> None:
    await make(world, "late", namespace="team", wait=False)
    await moment(world, 0.05)
    with contextlib.suppress(k.NotFound):
        await world.client.delete(k.Namespace, "team")
    await make(world, "later", namespace="team", wait=False)


NAMESPACE = system("namespace-goes", make_team, delete_team_while_pods_are_made, nodes=ONE, module=__name__)


async def recreate_while_nobody_looks(world: World) -> None:
    """The controllers see neither the end of the one nor the beginning of the other."""
    await stop_controllers(world)
    await delete(world, wait=False, grace_period_s=0)
    await make(world, wait=False)
    await moment(world, 5.0)
    await start_controllers(world)
    await until(lambda: runs(world))


MISSED = system("recreated-while-controllers-are-away", make, recreate_while_nobody_looks, nodes=ONE, module=__name__)

STATEFUL = system("stateful-pod", make, recreate, nodes=ONE, module=__name__)

FORCED = system("forced-and-made-again", make, step(recreate, grace_period_s=0), nodes=ONE, module=__name__)


async def run_static(world: World) -> None:
    """Its mirror is deleted and made again, and the pod runs on; then its file goes, and another one comes."""
    kubelet = world.backend.machines["node1"].kubelet
    uid = kubelet.add_static_pod("default", "proxy")
    await until(lambda: runs(world, "proxy-node1"))
    await delete(world, "proxy-node1", wait=False)
    await moment(world, 5.0)
    kubelet.remove_static_pod(uid)
    await moment(world, 1.0)
    kubelet.add_static_pod("default", "proxy")
    await until(lambda: runs(world, "proxy-node1"))


STATIC = system("static-pod", run_static, nodes=ONE, module=__name__)

JOB = system("job-ends", make, finish, step(make, "next"), delete, nodes=ONE, module=__name__)


async def delete_before_its_claim(world: World) -> None:
    """Its ADD waits for a claim that never comes."""
    await stop_controllers(world)
    await make(world, wait=False)
    await moment(world, 5.0)
    await delete(world)
    await start_controllers(world)


UNCLAIMED = system("deleted-before-its-claim", delete_before_its_claim, nodes=ONE, module=__name__)

SANDBOX = system("sandbox-dies", make, kill_sandbox, delete, nodes=ONE, module=__name__)


async def delete_old_sandbox_late(world: World) -> None:
    """The kubelet's clean-up of the sandbox before comes when the new one runs."""
    runtime = world.backend.machines["node1"].runtime
    before = dict(runtime.sandboxes)
    await kill_sandbox(world)

    def is_rebuilt() -> bool:
        return any(one.ready for number, one in runtime.sandboxes.items() if number not in before)

    await until(is_rebuilt)
    if not is_rebuilt():
        return  # the one before is still the pod's: its ADD was not done when it was to be killed
    for one in before.values():
        with contextlib.suppress(CniFailed):
            await runtime.stop(one)


LATE_DEL = system("late-del", make, delete_old_sandbox_late, nodes=ONE, module=__name__)


async def delete_claim_during_add(world: World) -> None:
    """By a person's hand. The pod keeps its port; a new pod of its name gets another claim."""
    chassis = world.backend.machines["node1"].chassis
    chassis.stop()
    await make(world, wait=False)
    await until(lambda: world.get(KuryrPort, WEB, namespace="default") is not None)
    await moment(world, 0.1)
    with contextlib.suppress(k.NotFound):
        await world.client.delete(KuryrPort, WEB, namespace="default")
    await moment(world, 5.0)
    chassis.start()
    await until(lambda: runs(world))
    await moment(world, 10.0)
    await recreate(world, times=1)


BY_HAND = system("claim-deleted-by-hand", delete_claim_during_add, nodes=ONE, module=__name__)


async def lose_api_server(world: World) -> None:
    """Nobody reaches it; meanwhile a sandbox dies, and comes again with its address."""
    await cut_off(world)
    await moment(world, 5.0)
    await kill_sandbox(world)
    await moment(world, 5.0)
    await delete(world, "other", wait=False)


AWAY = system("api-server-away", step(make, WEB, "other"), lose_api_server, nodes=ONE, module=__name__)
