"""What people, the cluster's other controllers, and machines do meanwhile."""

import asyncio
import contextlib
from typing import Any

import kubeloop as k
from kubeloop.testing import World
from kuryr.simulator.node.kubelet import Container, NodePod, NodePodSpec

WAIT_S = 120.0


async def make_pod(world: World, name: str = "web-0", *, node: str = "node1", namespace: str = "default") -> None:
    spec = NodePodSpec(node_name=node, containers=(Container(name="main", image="example/main:1"),))
    pod = NodePod(metadata=k.ObjectMeta(name=name, namespace=namespace), spec=spec)
    with contextlib.suppress(k.AlreadyExists, k.Forbidden, k.NotFound):
        await world.client.create(pod)


async def delete_pod(world: World, name: str = "web-0", *, namespace: str = "default", **options: Any) -> None:
    with contextlib.suppress(k.NotFound):
        await world.client.delete(NodePod, name, namespace=namespace, **options)


async def running(world: World, name: str = "web-0", *, namespace: str = "default") -> None:
    """Or not, after a while: faults strike meanwhile."""
    await wait_until(
        lambda: (pod := world.get(NodePod, name, namespace=namespace)) is not None and pod.status.phase == "Running"
    )


async def gone(world: World, name: str = "web-0", *, namespace: str = "default") -> None:
    await wait_until(lambda: world.get(NodePod, name, namespace=namespace) is None)


async def wait_until(holds: Any) -> None:
    for _ in range(int(WAIT_S * 5)):
        if holds():
            return
        await asyncio.sleep(0.2)
