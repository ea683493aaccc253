"""A sample: numbered slots are handed to pods, as addresses are. The claim on slot 3 is the object of the name
`slot-3`: its create succeeds once. A claim is of a pod's UID, for a name may come back; it ends when that very pod is
gone.
"""

import contextlib
from typing import ClassVar

import kubeloop as k

SIZE = 4
ANNOTATION = "slots.example.dev/slot"
FULL_AGAIN_S = 5.0


class SlotSpec(k.KubeStruct, frozen=True, kw_only=True):
    pod_uid: str
    pod_namespace: str
    pod_name: str


class Slot(k.KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[k.Resource] = k.Resource("slots.example.dev", "v1", "slots", "Slot", namespaced=False)

    spec: SlotSpec

    @property
    def pod(self) -> k.ObjectKey:
        return k.ObjectKey(self.spec.pod_namespace, self.spec.pod_name)


def slot_name(number: int) -> str:
    return f"slot-{number}"


class Slots:
    """One reconcile function, whose keys are pods, and its steps."""

    def __init__(self, client: k.Client, pods: k.Store[k.Pod], slots: k.Store[Slot]) -> None:
        self.client = client
        self.pods = pods
        self.slots = slots

    async def reconcile(self, key: k.ObjectKey) -> k.Result:
        pod = self.pods.get(key)
        held = self.slots.by_index("pod", str(key))
        for slot in held:
            if pod is None or slot.spec.pod_uid != pod.metadata.uid:
                await self.free(slot)
        if pod is None or pod.metadata.deleting:
            return k.DONE
        mine = sorted(slot.metadata.name for slot in held if slot.spec.pod_uid == pod.metadata.uid)
        name = self.chosen(pod, mine) if mine else await self.take(pod)
        if name is None:
            return k.Result(requeue_after_s=FULL_AGAIN_S)
        if pod.metadata.annotations.get(ANNOTATION) != name:
            await self.tell(pod, name)
            return k.DONE
        for slot in held:
            if slot.metadata.name in mine and slot.metadata.name != name:
                await self.delete(slot)  # of a create whose answer was lost; the pod was told of another
        return k.DONE

    def chosen(self, pod: k.Pod, mine: list[str]) -> str:
        told = pod.metadata.annotations.get(ANNOTATION, "")
        return told if told in mine else mine[0]

    async def free(self, slot: Slot) -> None:
        """The store may be behind: the server says whether the pod is really gone."""
        try:
            pod = await self.client.get(k.Pod, slot.spec.pod_name, namespace=slot.spec.pod_namespace)
        except k.NotFound:
            pod = None
        if pod is None or pod.metadata.uid != slot.spec.pod_uid:
            await self.delete(slot)

    async def delete(self, slot: Slot) -> None:
        """Raises `Conflict` where the name is another pod's by now: the store will show it."""
        with contextlib.suppress(k.NotFound):
            await self.client.delete(Slot, slot.metadata.name, uid=slot.metadata.uid)

    async def take(self, pod: k.Pod) -> str | None:
        taken = {slot.metadata.name for slot in self.slots.list()}
        for name in map(slot_name, range(SIZE)):
            if name not in taken and await self.claim(pod, name):
                return name
        return None

    async def claim(self, pod: k.Pod, name: str) -> bool:
        """False when it is another pod's: the store may not show it yet."""
        meta = pod.metadata
        spec = SlotSpec(pod_uid=meta.uid, pod_namespace=meta.namespace, pod_name=meta.name)
        try:
            await self.client.create(Slot(metadata=k.ObjectMeta(name=name), spec=spec))
        except k.AlreadyExists:
            try:
                return (await self.client.get(Slot, name)).spec.pod_uid == meta.uid
            except k.NotFound:
                return False
        return True

    async def tell(self, pod: k.Pod, name: str) -> None:
        """Only as the pod was looked at: what takes effect late must not bring back what was decided anew since."""
        meta = pod.metadata
        patch = k.MergePatch({"metadata": {"annotations": {ANNOTATION: name}}})
        await self.client.patch(
            k.Pod, meta.name, patch, namespace=meta.namespace, uid=meta.uid, resource_version=meta.resource_version
        )


async def run(cluster: k.ClusterConfig | k.Cluster, slots: type[Slots] = Slots) -> None:
    async with k.open_runtime(cluster, name="slots", lease=k.LeaseName("default", "slots")) as runtime:
        pods = runtime.informer(k.Pod)
        claims = runtime.informer(Slot, indexers={"pod": lambda slot: (str(slot.pod),)})
        controller = runtime.controller("slots", slots(runtime.client, pods.store, claims.store).reconcile)
        controller.for_(pods).watches(claims, lambda slot: (slot.pod,))
        await runtime.run()
