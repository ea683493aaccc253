"""The kubelet of one machine: makes sandboxes for the pods of its node, says in their status how they are, and takes
the sandboxes away.

One worker a pod, by the UID it knows it by: a pod that comes under the name of one that still goes does not wait for
it. It keeps nothing in memory that the runtime and the API do not have: stop it, and the next one goes on.

- A pod that is deleted while its ADD runs: the ADD is given up.
- A failed ADD is tried again, in a new sandbox, after the old ones have been stopped.
- Each sandbox is stopped several times: the real one makes 184 DELs for 40 ADDs.
- A pod is finalised (grace 0, by UID) only when its sandboxes are stopped; one that was deleted by force has its
  sandboxes taken away later.
- While STATUS fails the node is not Ready, and no sandbox is made. GC comes at the start and every minute.
- Static pods have a mirror in the API, which is made again when it is deleted; the sandbox stays.
"""

import asyncio
import itertools
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from typing import Any

import kubeloop as k
from kuryr.model.pods import FINISHED, sandbox_uid
from kuryr.simulator.node.cni import CniFailed
from kuryr.simulator.node.runtime import ContainerRuntime, PodSandbox, SandboxPod

_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
_LOOK_EVERY_S, _LOOKS_PER_GC = 10.0, 6
_MIRROR, _HASH = "kubernetes.io/config.mirror", "kubernetes.io/config.hash"


class Container(k.KubeStruct, frozen=True, kw_only=True):
    """A container, in part."""

    name: str
    image: str = ""


class NodePodSpec(k.PodSpec, frozen=True, kw_only=True):
    containers: tuple[Container, ...] = ()


class NodePod(k.Pod, frozen=True, kw_only=True):
    """A pod, with what the kubelet reads."""

    spec: NodePodSpec = NodePodSpec()


class Kubelet:
    """`run` is a process's main, to which no fault happens: what is tested is not the kubelet."""

    def __init__(
        self, node: str, address: str, runtime: ContainerRuntime, installed: asyncio.Event, random: Random
    ) -> None:
        self.node = node
        self._address = address
        self._sandboxes = runtime
        self._installed = installed
        self._random = random
        self._static: dict[str, SandboxPod] = {}  # by UID: files on its disk
        self._network_problem = "not looked yet"
        self._given_up: dict[str, asyncio.Event] = {}
        self._client: k.Client
        self._pods: k.Informer[NodePod]
        self._workers: k.Controller[str] | None = None

    async def run(self, cluster: k.Cluster) -> None:
        """Until cancelled. It registers the node where there is none of the name."""
        async with k.open_runtime(cluster, name="kubelet") as runtime:
            self._client = runtime.client
            self._pods = runtime.informer(
                NodePod,
                field_selector=f"spec.nodeName={self.node}",
                indexers={"uid": lambda pod: (sandbox_uid(pod),)},
            )
            self._pods.add_handler(self._heard)
            workers = runtime.controller("pods", self._sync, workers=50, deadline_s=600.0)
            workers.watches(self._pods, lambda pod: (sandbox_uid(pod),))
            self._workers = workers
            runtime.before_leading(self._begin)
            runtime.lead_with(self._watch_network)
            await runtime.run()

    def add_static_pod(self, namespace: str, name: str) -> str:
        """A file in its folder; gives the UID, the file's hash. The pod's name has the node's behind it."""
        uid = f"{self._random.getrandbits(128):032x}"
        self._static[uid] = SandboxPod(namespace=namespace, name=f"{name}-{self.node}", uid=uid)
        self._look(uid)
        return uid

    def remove_static_pod(self, uid: str) -> None:
        del self._static[uid]
        self._give_up(uid)
        self._look(uid)

    def kill_sandbox(self, uid: str) -> None:
        """The pod's sandbox dies; it gets a new one."""
        for sandbox in self._sandboxes.of(uid):
            self._sandboxes.kill(sandbox)
        self._look(uid)

    async def _begin(self) -> None:
        with suppress(k.AlreadyExists):
            await self._client.create(k.Node(metadata=k.ObjectMeta(name=self.node)))
        for uid in sorted({*self._static, *(one.pod.uid for one in self._sandboxes.sandboxes.values())}):
            self._look(uid)

    async def _watch_network(self) -> None:
        ready: bool | None = None
        for look in itertools.count():
            self._network_problem = await self._find_network_problem()
            if ready != (not self._network_problem):
                ready = not self._network_problem
                await self._report_node(ready)
            if ready and look % _LOOKS_PER_GC == 0:
                with suppress(CniFailed):
                    await self._sandboxes.collect()
            await asyncio.sleep(_LOOK_EVERY_S if ready else 1.0)

    async def _find_network_problem(self) -> str:
        if not self._installed.is_set():
            return "cni plugin not initialized"
        try:
            await self._sandboxes.status()
        except CniFailed as failed:
            return str(failed)
        return ""

    async def _report_node(self, ready: bool) -> None:
        reason = "KubeletReady" if ready else "KubeletNotReady"
        new = k.condition("Ready", ready, reason=reason, message=self._network_problem)
        address = {"type": "InternalIP", "address": self._address}
        status = {"conditions": k.set_condition((), new, datetime.now(UTC)), "addresses": [address]}
        with suppress(k.NotFound):
            await self._client.patch(k.Node, self.node, k.MergePatch({"status": status}), subresource="status")

    def _look(self, uid: str) -> None:
        self._sandboxes.changed()
        if self._workers is not None:
            self._workers.enqueue(uid)

    def _heard(self, change: k.Change[NodePod]) -> None:
        pod = change.new or change.old
        if pod is not None and (change.new is None or pod.metadata.deleting) and sandbox_uid(pod) not in self._static:
            self._give_up(sandbox_uid(pod))

    def _give_up(self, uid: str) -> None:
        if uid in self._given_up:
            self._given_up[uid].set()

    async def _sync(self, uid: str) -> k.Result:
        pod = next(iter(self._pods.store.by_index("uid", uid)), None)
        try:
            if uid in self._static and (pod is None or pod.metadata.deleting):
                await self._mirror(self._static[uid], pod)
            elif uid not in self._static and pod is not None and sandbox_uid(pod) != pod.metadata.uid:
                await self._end(uid, pod)
                await self._finalise(pod)
            elif pod is None or pod.metadata.deleting or pod.status.phase in FINISHED:
                await self._end(uid, pod)
            else:
                await self._report(pod, await self._start(pod))
        except CniFailed:
            return k.Result(requeue_after_s=self._random.uniform(1.0, 5.0))
        except k.Conflict:
            return k.Result(requeue_after_s=0.1)  # somebody else has written the status: look again
        return k.DONE

    async def _mirror(self, static: SandboxPod, pod: NodePod | None) -> None:
        if pod is not None:
            await self._finalise(pod)
            return
        annotations = {_MIRROR: static.uid, _HASH: static.uid}
        metadata = k.ObjectMeta(name=static.name, namespace=static.namespace, annotations=annotations)
        spec = NodePodSpec(node_name=self.node, containers=(Container(name="main", image="example/main:1"),))
        with suppress(k.AlreadyExists):
            await self._client.create(NodePod(metadata=metadata, spec=spec))

    async def _start(self, pod: NodePod) -> PodSandbox | None:
        """The pod's sandbox, one that is there or a new one. Raises CniFailed."""
        if pod.spec.host_network:
            return None
        uid = sandbox_uid(pod)
        there = self._sandboxes.of(uid)
        ready = next((one for one in there if one.ready), None)
        if ready is not None:
            return ready
        if self._network_problem:
            raise CniFailed(0, self._network_problem)
        for one in there:
            await self._stop(one)
        made = await self._add(SandboxPod(namespace=pod.key.namespace, name=pod.key.name, uid=uid))
        for one in there:
            self._sandboxes.remove(one)
        return made

    async def _add(self, pod: SandboxPod) -> PodSandbox:
        """Raises CniFailed, also when it is given up."""
        given_up = self._given_up[pod.uid] = asyncio.Event()
        adding = asyncio.ensure_future(self._sandboxes.run(pod))
        leaving = asyncio.ensure_future(given_up.wait())
        try:
            await asyncio.wait({adding, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._given_up[pod.uid]
            leaving.cancel()
            adding.cancel()
            await asyncio.wait({adding})
        if adding.cancelled():
            raise CniFailed(0, "the pod has gone meanwhile")
        return adding.result()

    async def _stop(self, sandbox: PodSandbox) -> None:
        for _ in range(self._random.randint(1, 6)):
            await self._sandboxes.stop(sandbox)

    async def _end(self, uid: str, pod: NodePod | None) -> None:
        """Raises CniFailed."""
        sandboxes = self._sandboxes.of(uid)
        if any(one.ready for one in sandboxes):
            await asyncio.sleep(self._random.uniform(0.0, 2.0))  # the containers end; or housekeeping has not looked
        for one in sandboxes:
            await self._stop(one)
        for one in sandboxes:
            self._sandboxes.remove(one)
        if pod is not None and pod.metadata.deleting:
            await self._finalise(pod)

    async def _finalise(self, pod: NodePod) -> None:
        meta = pod.metadata
        with suppress(k.NotFound, k.Conflict):
            await self._client.delete(NodePod, meta.name, namespace=meta.namespace, uid=meta.uid, grace_period_s=0)

    async def _report(self, pod: NodePod, sandbox: PodSandbox | None) -> None:
        ips = (self._address,) if sandbox is None else sandbox.ips
        if pod.status.phase == "Running" and pod.status.pod_ip == ips[0]:
            return
        meta = pod.metadata
        patch = k.MergePatch({"status": self._running(pod, ips)})
        with suppress(k.NotFound):
            await self._client.patch(
                NodePod,
                meta.name,
                patch,
                namespace=meta.namespace,
                subresource="status",
                uid=meta.uid,
                resource_version=meta.resource_version,
            )

    def _running(self, pod: NodePod, ips: tuple[str, ...]) -> dict[str, Any]:
        now = datetime.now(UTC)
        conditions = pod.status.conditions
        for one in _CONDITIONS:
            conditions = k.set_condition(conditions, k.Condition(type=one, status="True"), now)
        return {
            "phase": "Running",
            "hostIP": self._address,
            "podIP": ips[0],
            "podIPs": [{"ip": ip} for ip in ips],
            "conditions": conditions,
        }
