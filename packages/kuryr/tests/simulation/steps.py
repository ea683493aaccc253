"""What people, the cluster's other controllers, machines and clouds do meanwhile.

Each is a step, or made into one by `step`; what it waits for it waits for in vain after a while, as faults strike.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import kubeloop as k
from kubeloop.testing import World
from kuryr.model.machines import OUT_OF_SERVICE, Machine
from kuryr.model.pods import sandbox_uid
from kuryr.simulator.node.kubelet import Container, NodePod, NodePodSpec

WEB = "web-0"
WAIT_S = 90.0

Step = Callable[[World], Coroutine[Any, Any, None]]


def step(act: Callable[..., Coroutine[Any, Any, None]], *given: Any, **options: Any) -> Step:
    """`step(make, "web-1", node="node2")`."""

    async def run(world: World) -> None:
        await act(world, *given, **options)

    run.__name__ = " ".join((act.__name__, *map(str, given)))
    return run


async def make(world: World, *names: str, node: str = "node1", namespace: str = "default", wait: bool = True) -> None:
    """Pods; until they run."""
    for name in names or (WEB,):
        spec = NodePodSpec(node_name=node, containers=(Container(name="main", image="example/main:1"),))
        pod = NodePod(metadata=k.ObjectMeta(name=name, namespace=namespace), spec=spec)
        with contextlib.suppress(k.AlreadyExists, k.Forbidden, k.NotFound):
            await world.client.create(pod)
    for name in names or (WEB,):
        if wait:
            await until(partial(runs, world, name, namespace=namespace))


async def delete(world: World, *names: str, namespace: str = "default", wait: bool = True, **options: Any) -> None:
    """Until they are gone. `grace_period_s=0` is by force."""
    for name in names or (WEB,):
        with contextlib.suppress(k.NotFound):
            await world.client.delete(NodePod, name, namespace=namespace, **options)
    for name in names or (WEB,):
        if wait:
            await until(lambda name=name: world.get(NodePod, name, namespace=namespace) is None)


async def recreate(world: World, name: str = WEB, *, times: int = 2, **options: Any) -> None:
    """As a StatefulSet does it: in the moment in which the name is free."""
    for _ in range(times):
        await delete(world, name, **options)
        await make(world, name, wait=False)
        await moment(world, 3.0)
    await until(partial(runs, world, name))


async def finish(world: World, name: str = WEB) -> None:
    """Its containers end, as a Job's."""
    with contextlib.suppress(k.NotFound, k.Conflict):
        patch = k.MergePatch({"status": {"phase": "Succeeded"}})
        await world.client.patch(NodePod, name, patch, namespace="default", subresource="status")


def runs(world: World, name: str = WEB, *, namespace: str = "default") -> bool:
    pod = world.get(NodePod, name, namespace=namespace)
    return pod is not None and pod.status.phase == "Running"


async def until(holds: Callable[[], bool]) -> None:
    """Or not, after a while."""
    for _ in range(int(WAIT_S * 10)):
        if holds():
            return
        await asyncio.sleep(0.1)


async def moment(world: World, most_s: float = 1.0) -> None:
    await asyncio.sleep(world.random.uniform(0, most_s))


# processes


async def stop(world: World, *names: str) -> None:
    """In order, as `systemctl stop` does."""
    for name in names:
        await world.stop(name)


async def start(world: World, *names: str) -> None:
    for name in names:
        world.backend.start(name)


async def stop_controllers(world: World) -> None:
    await stop(world, *world.backend.controllers)


async def start_controllers(world: World) -> None:
    await start(world, *world.backend.controllers)


async def upgrade(world: World, *names: str) -> None:
    """One after the other is stopped, and started again."""
    for name in names:
        await world.stop(name)
        await moment(world, 3.0)
        world.backend.start(name)
        await moment(world, 3.0)


async def pause_leaders(world: World, seconds: float = 25.0) -> None:
    """One after the other stands still for longer than a lease: whoever leads then does not any more, and goes on as if
    it did.
    """
    for name in world.backend.controllers:
        world.processes[name].pause(seconds)
        await asyncio.sleep(seconds / 2)


async def cut_off(world: World, *names: str, seconds: float = 40.0) -> None:
    """Nothing of them reaches the API server."""
    for name in names or tuple(world.processes):
        if world.processes[name].alive:
            world.processes[name].isolate(seconds)


# nodes


async def lose(world: World, node: str = "node2") -> None:
    """Its machine dies, and whoever watches machines deletes the Node; its pods go with it."""
    world.backend.switch_off(node)
    await moment(world, 5.0)
    with contextlib.suppress(k.NotFound):
        await world.client.delete(k.Node, node)
    await collect_pods(world, node)


async def collect_pods(world: World, node: str) -> None:
    """As kube-controller-manager's pod GC does it."""
    await moment(world, 5.0)
    for pod in world.list(NodePod):
        if pod.spec.node_name == node:
            await delete(world, pod.key.name, namespace=pod.key.namespace, wait=False, grace_period_s=0)


async def taint_out_of_service(world: World, node: str = "node2") -> None:
    """Its machine dies, and a person says so; its pods go."""
    world.backend.switch_off(node)
    await moment(world, 5.0)
    taint = {"key": OUT_OF_SERVICE, "effect": "NoExecute"}
    await world.client.patch(Machine, node, k.MergePatch({"spec": {"taints": [taint]}}))
    await collect_pods(world, node)


async def bring_back(world: World, node: str = "node2") -> None:
    """The machine is mended; then the taint goes."""
    world.backend.switch_on(node)
    await moment(world, 20.0)
    with contextlib.suppress(k.NotFound):
        await world.client.patch(Machine, node, k.MergePatch({"spec": {"taints": None}}))


async def replace_machine(world: World, node: str = "node2") -> None:
    """Another machine comes under the name."""
    world.backend.install(node)
    world.backend.start_node(node)


async def register_anew(world: World, node: str = "node1") -> None:
    """Somebody deletes the Node; its kubelet, started again, registers it anew. Its pods run all the time."""
    with contextlib.suppress(k.NotFound):
        await world.client.delete(k.Node, node)
    await moment(world, 5.0)
    # not in order: that could wait for a CNI command, and so for a daemon that stands still
    world.processes[f"kubelet-{node}"].kill()


async def reboot(world: World, node: str = "node1") -> None:
    world.backend.switch_off(node)
    await moment(world, 10.0)
    world.backend.switch_on(node)


async def kill_sandbox(world: World, name: str = WEB, *, node: str = "node1") -> None:
    pod = world.get(NodePod, name, namespace="default")
    if pod is not None:
        world.backend.machines[node].kubelet.kill_sandbox(sandbox_uid(pod))


async def quiet_for(_: World, seconds: float = 250.0) -> None:
    """Long enough for two looks of the sweeper."""
    await asyncio.sleep(seconds)
