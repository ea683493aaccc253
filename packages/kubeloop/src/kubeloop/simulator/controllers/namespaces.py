"""The namespace controller: what a namespace that ends has goes, pods first, then the namespace itself.

Conditions and their words are those of kube-controller-manager 1.37: while pods are left nothing else is deleted, and
no condition says so. It hears of deletions from the storage, so it does not have to ask again and again.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import kubeloop as k
from kubeloop.model.times import time_text
from kubeloop.simulator.controllers.kinds import Finalizers, Namespace, metadata_of
from kubeloop.simulator.refusals import Body
from kubeloop.simulator.storage import Change, Storage

NAMESPACES = "namespaces"
_FINE = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


class NamespaceController:
    """`reconcile` looks at one namespace, by name; `changed` says at which."""

    def __init__(self, client: k.Client, storage: Storage) -> None:
        self._client = client
        self._storage = storage

    def begin(self) -> Iterable[str]:
        return [name for name in self._storage.objects(NAMESPACES) if self._ending(name) is not None]

    def changed(self, change: Change) -> Iterable[str]:
        """A namespace that is to end, or one that has lost something meanwhile."""
        name = change.key if change.resource == NAMESPACES else change.now.body["metadata"].get("namespace", "")
        lost = change.type == "DELETED" or change.resource == NAMESPACES
        return [name] if lost and name and self._ending(name) is not None else []

    async def reconcile(self, name: str) -> k.Result:
        namespace = self._ending(name)
        if namespace is None:
            return k.DONE
        await self._delete(self._contents(name, pods=True))
        pods_left = any(True for _ in self._contents(name, pods=True))
        if not pods_left:
            await self._delete(self._contents(name, pods=False))
        left = [] if pods_left else list(self._contents(name, pods=False))
        await self._tell(namespace, left)
        if not pods_left and not left:
            await self._finalize(namespace)
        return k.DONE

    def _ending(self, name: str) -> Body | None:
        stored = self._storage.get(NAMESPACES, name)
        if stored is None or "deletionTimestamp" not in stored.body["metadata"]:
            return None
        return stored.body if "kubernetes" in stored.body["spec"].get("finalizers", ()) else None

    def _contents(self, name: str, *, pods: bool) -> Iterator[tuple[str, Body]]:
        """Resource and body of what is in it: the pods, or all else."""
        for resource in self._storage.resources():
            if (resource == "pods") == pods:
                for key, stored in tuple(self._storage.objects(resource).items()):
                    if key.startswith(f"{name}/"):
                        yield resource, stored.body

    async def _delete(self, contents: Iterable[tuple[str, Body]]) -> None:
        for resource, body in contents:
            meta = body["metadata"]
            if "deletionTimestamp" in meta:
                continue
            try:
                await self._client.delete(
                    metadata_of(resource, body),
                    meta["name"],
                    namespace=meta["namespace"],
                    propagation_policy="Background",
                )
            except k.NotFound:
                continue

    async def _tell(self, namespace: Body, left: list[tuple[str, Body]]) -> None:
        """Conditions of what is left, where they are not what they were."""
        told = dict.fromkeys(_FINE, ("", ""))
        if left:
            counts = sorted(Counter(resource if "." in resource else f"{resource}." for resource, _ in left).items())
            text = ", ".join(f"{resource} has {count} resource instances" for resource, count in counts)
            told["NamespaceContentRemaining"] = "SomeResourcesRemain", f"Some resources are remaining: {text}"
        held = Counter(one for _, body in left for one in body["metadata"].get("finalizers", ()))
        if held:
            text = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(held.items()))
            text = f"Some content in the namespace has finalizers remaining: {text}"
            told["NamespaceFinalizersRemaining"] = "SomeFinalizersRemain", text
        old = {one["type"]: one for one in namespace["status"].get("conditions", ())}
        new = [_condition(type_, *said, old.get(type_)) for type_, said in told.items()]
        if new != [old.get(type_) for type_ in told]:
            await self._client.patch(
                k.Namespace,
                namespace["metadata"]["name"],
                k.MergePatch({"status": {"conditions": new}}),
                subresource="status",
            )

    async def _finalize(self, namespace: Body) -> None:
        meta = namespace["metadata"]
        kept = tuple(one for one in namespace["spec"]["finalizers"] if one != "kubernetes")
        finalized = Namespace(
            metadata=k.ObjectMeta(
                name=meta["name"],
                labels=meta.get("labels", {}),
                annotations=meta.get("annotations", {}),
                finalizers=tuple(meta.get("finalizers", ())),
            ),
            spec=Finalizers(finalizers=kept),
        )
        await self._client.replace(finalized, subresource="finalize")


def _condition(type_: str, reason: str, message: str, old: Body | None) -> Body:
    status = "True" if reason else "False"
    reason, message = (reason, message) if reason else _FINE[type_]
    since = old["lastTransitionTime"] if old and old["status"] == status else time_text(datetime.now(UTC))
    return {"type": type_, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
