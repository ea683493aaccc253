"""The cluster's own controllers, on one runtime: stand-ins for kube-controller-manager, kube-scheduler and kubelets.

They are ordinary controllers of kubeloop, but for two that hear of changes from the storage, as informers of every kind
would cost more than all the rest: the garbage collector and the namespace controller. What they do, they do through the
API.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Literal

import kubeloop as k
from kubeloop.simulator.controllers.garbage import GarbageCollector
from kubeloop.simulator.controllers.kinds import Deployment, Node, Pod, ReplicaSet
from kubeloop.simulator.controllers.namespaces import NamespaceController
from kubeloop.simulator.controllers.scheduling import Kubelet, NodeTaints, Scheduler
from kubeloop.simulator.controllers.workloads import Deployments, ReplicaSets, owner_uids, wanting
from kubeloop.simulator.server import ApiServer
from kubeloop.simulator.storage import Storage

Name = Literal["garbage", "namespaces", "scheduling", "pods", "workloads"]

CLEANING: tuple[Name, ...] = ("garbage", "namespaces")
"""What every cluster has, and what costs next to nothing."""

EVERYTHING: tuple[Name, ...] = (*CLEANING, "pods", "workloads")
"""Pods get nodes, and run; Deployments and ReplicaSets make pods. For kubelets of your own: `scheduling` in place of
`pods`.
"""


async def run_controllers(
    cluster: k.Cluster,
    server: ApiServer,
    *,
    only: Collection[Name] = EVERYTHING,
    pods_end_after_s: float = 0.0,
    clean_after_s: float = 0.0,
) -> None:
    """Until cancelled. `cluster` is how they reach the API, of which `server` is one.

    Pods that are deleted end after `pods_end_after_s`, or their grace where that is shorter. Garbage and namespaces are
    looked at `clean_after_s` after a change.
    """
    async with k.open_runtime(cluster, name="cluster-controllers") as runtime:
        if "garbage" in only:
            collector = GarbageCollector(runtime.client, server.storage, lambda: server.kinds)
            _hear(runtime, server.storage, "garbage", collector, clean_after_s)
        if "namespaces" in only:
            cleaner = NamespaceController(runtime.client, server.storage)
            _hear(runtime, server.storage, "namespaces", cleaner, clean_after_s)
        if not {"scheduling", "pods", "workloads"}.isdisjoint(only):
            pods = runtime.informer(Pod, indexers={"owner": owner_uids, "node": lambda pod: [pod.spec.node_name]})
            if not {"scheduling", "pods"}.isdisjoint(only):
                nodes = _run_scheduling(runtime, pods)
                if "pods" in only:
                    _run_pods(runtime, pods, nodes, pods_end_after_s)
            if "workloads" in only:
                _run_workloads(runtime, pods)
        await runtime.run()


def _hear(
    runtime: k.Runtime, storage: Storage, name: str, part: GarbageCollector | NamespaceController, after_s: float
) -> None:
    """Adds a controller whose keys come from the storage's changes."""
    controller: k.Controller[str] = runtime.controller(name, part.reconcile)

    def enqueue(keys: Iterable[str]) -> None:
        for key in keys:
            controller.enqueue(key, after_s=after_s)

    async def hear() -> None:
        enqueue(part.begin())
        stop = storage.subscribe(lambda change: enqueue(part.changed(change)))
        try:
            await asyncio.Event().wait()
        finally:
            stop()

    runtime.run_with(hear)


def _run_scheduling(runtime: k.Runtime, pods: k.Informer[Pod]) -> k.Informer[Node]:
    nodes = runtime.informer(Node)
    scheduler = Scheduler(runtime.client, pods, nodes)
    # one worker: each choice sees those before it
    runtime.controller("scheduler", scheduler.reconcile, workers=1).for_(pods).watches(nodes, scheduler.waiting)
    runtime.controller("taints", NodeTaints(runtime.client, nodes).reconcile).for_(nodes)
    return nodes


def _run_pods(runtime: k.Runtime, pods: k.Informer[Pod], nodes: k.Informer[Node], end_after_s: float) -> None:
    kubelet = Kubelet(runtime.client, pods, nodes, end_after_s=end_after_s)
    runtime.controller("kubelet", kubelet.reconcile).for_(pods).watches(nodes, _pods_of(pods))


def _run_workloads(runtime: k.Runtime, pods: k.Informer[Pod]) -> None:
    client = runtime.client
    sets = runtime.informer(ReplicaSet, indexers={"owner": owner_uids})
    replicas = ReplicaSets(client, sets, pods)
    controller = runtime.controller("replicasets", replicas.reconcile)
    controller.for_(sets).owns(pods, ReplicaSet).watches(pods, lambda pod: wanting(sets, pod))
    deployments = runtime.informer(Deployment)
    rollouts = Deployments(client, deployments, sets, pods)
    controller = runtime.controller("deployments", rollouts.reconcile)
    controller.for_(deployments).owns(sets, Deployment).watches(sets, lambda one: wanting(deployments, one))
    controller.watches(pods, rollouts.of_pod, lambda change: change.new is None)


def _pods_of(pods: k.Informer[Pod]) -> Callable[[Node], Iterable[k.ObjectKey]]:
    return lambda node: [pod.key for pod in pods.store.by_index("node", node.key.name)]
