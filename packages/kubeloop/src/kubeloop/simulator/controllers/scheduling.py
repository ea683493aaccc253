"""Pods get a node that takes them, run, and end when they are deleted: a scheduler, a kubelet, and who taints nodes.

The scheduler knows readiness, taints of NoSchedule, node selectors and gates, and takes the node with the fewest pods;
it counts no resources. The kubelet is that of every node: containers are ready as soon as the pod is bound, and
nothing ever fails of itself.
"""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import kubeloop as k
from kubeloop.model.times import time_text
from kubeloop.simulator.controllers.kinds import Binding, Node, Pod, Reference

NOT_READY = "node.kubernetes.io/not-ready"
READY = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


class Scheduler:
    def __init__(self, client: k.Client, pods: k.Informer[Pod], nodes: k.Informer[Node]) -> None:
        self._client = client
        self._pods = pods
        self._nodes = nodes

    def waiting(self, _: Node) -> list[k.ObjectKey]:
        """Pods that may fit when a node changes."""
        return [pod.key for pod in self._pods.store.by_index("node", "")]

    async def reconcile(self, key: k.ObjectKey) -> k.Result:
        pod = self._pods.store.get(key)
        if pod is None or pod.metadata.deleting or pod.spec.node_name or pod.ended:
            return k.DONE
        if pod.spec.scheduling_gates or pod.spec.scheduler_name not in ("", "default-scheduler"):
            return k.DONE
        fitting = [node for node in self._nodes.store.list() if _takes(node, pod)]
        if not fitting:
            await self._tell_unschedulable(pod)
            return k.DONE
        node = min(fitting, key=lambda one: (len(self._pods.store.by_index("node", one.key.name)), one.key.name))
        binding = Binding(
            metadata=k.ObjectMeta(name=key.name, namespace=key.namespace, uid=pod.metadata.uid),
            target=Reference(name=node.key.name),
        )
        try:
            await self._client.create_subresource(
                Pod, key.name, "binding", binding, k.KubeStruct, namespace=key.namespace
            )
        except k.NotFound:
            return k.DONE
        return k.DONE

    async def _tell_unschedulable(self, pod: Pod) -> None:
        total = len(self._nodes.store)
        message = f"0/{total} nodes are available" if total else "no nodes available to schedule pods"
        new = k.condition("PodScheduled", False, reason="Unschedulable", message=message)
        conditions = k.set_condition(pod.status.conditions, new, datetime.now(UTC))
        patch = k.conditions_patch(pod.status.conditions, conditions)
        if patch:
            await _patch_status(self._client, pod, patch)


class NodeTaints:
    """A node that is not ready takes no new pods: it is tainted, from its creation until it is ready."""

    def __init__(self, client: k.Client, nodes: k.Informer[Node]) -> None:
        self._client = client
        self._nodes = nodes

    async def reconcile(self, key: k.ObjectKey) -> k.Result:
        node = self._nodes.store.get(key)
        if node is None:
            return k.DONE
        others = [taint for taint in node.spec.taints if taint["key"] != NOT_READY]
        ready = k.is_true(node.status.conditions, "Ready")
        if ready == (len(others) < len(node.spec.taints)):
            taints = others if ready else [*others, {"key": NOT_READY, "effect": "NoSchedule"}]
            patch = k.MergePatch({"spec": {"taints": taints or None}})
            version = node.metadata.resource_version
            await self._client.patch(Node, key.name, patch, resource_version=version)
        return k.DONE


class Kubelet:
    """Of all nodes. A pod that is deleted ends after `end_after_s`, or its grace where that is shorter."""

    def __init__(
        self, client: k.Client, pods: k.Informer[Pod], nodes: k.Informer[Node], *, end_after_s: float = 0.0
    ) -> None:
        self._client = client
        self._pods = pods
        self._nodes = nodes
        self._end_after_s = end_after_s
        self._addresses = (f"10.244.{number // 250}.{number % 250 + 1}" for number in itertools.count())

    async def reconcile(self, key: k.ObjectKey) -> k.Result:
        pod = self._pods.store.get(key)
        node = self._nodes.store.get(k.ObjectKey("", pod.spec.node_name)) if pod is not None else None
        if pod is None or node is None:
            return k.DONE
        if pod.metadata.deleting:
            return await self._end(pod)
        if pod.status.phase == "Pending":
            await _patch_status(self._client, pod, {"status": self._running(pod, node)})
        return k.DONE

    async def _end(self, pod: Pod) -> k.Result:
        meta = pod.metadata
        at = datetime.fromisoformat(meta.deletion_timestamp)
        early = timedelta(seconds=max(meta.deletion_grace_period_seconds - self._end_after_s, 0))
        left_s = (at - early - datetime.now(UTC)).total_seconds()
        if left_s > 0 and self._end_after_s:
            return k.Result(requeue_after_s=left_s)
        try:
            await self._client.delete(Pod, meta.name, namespace=meta.namespace, uid=meta.uid, grace_period_s=0)
        except (k.NotFound, k.Conflict):
            return k.DONE  # it is gone, or another by now
        return k.DONE

    def _running(self, pod: Pod, node: Node) -> dict[str, Any]:
        now = time_text(datetime.now(UTC))
        ip = node.ip if pod.spec.host_network else self._free_address()
        started = {"running": {"startedAt": now}}
        return {
            "phase": "Running",
            "hostIP": node.ip,
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "startTime": now,
            "conditions": [{"type": one, "status": "True", "lastTransitionTime": now} for one in READY],
            "containerStatuses": [
                {
                    "name": one.name,
                    "image": one.image,
                    "imageID": "",
                    "ready": True,
                    "started": True,
                    "restartCount": 0,
                    "state": started,
                }
                for one in pod.spec.containers
            ],
        }

    def _free_address(self) -> str:
        used = {pod.status.pod_ip for pod in self._pods.store.list()}
        return next(address for address in self._addresses if address not in used)


async def _patch_status(client: k.Client, pod: Pod, patch: dict[str, Any]) -> None:
    meta = pod.metadata
    try:
        await client.patch(
            Pod, meta.name, k.MergePatch(patch), namespace=meta.namespace, subresource="status", uid=meta.uid
        )
    except (k.NotFound, k.Conflict):
        return  # it is gone, or another by now


def _takes(node: Node, pod: Pod) -> bool:
    if node.spec.unschedulable or node.metadata.deleting or not k.is_true(node.status.conditions, "Ready"):
        return False
    if any(node.metadata.labels.get(name) != value for name, value in pod.spec.node_selector.items()):
        return False
    hard = [taint for taint in node.spec.taints if taint["effect"] in ("NoSchedule", "NoExecute")]
    return all(any(_tolerates(one, taint) for one in pod.spec.tolerations) for taint in hard)


def _tolerates(toleration: dict[str, Any], taint: dict[str, Any]) -> bool:
    if toleration.get("effect", "") not in ("", taint["effect"]):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key", "") in ("", taint["key"])
    return (toleration.get("key"), toleration.get("value", "")) == (taint["key"], taint.get("value", ""))
