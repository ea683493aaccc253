"""What the scenes are played with: a client, a namespace, and waiting; on a simulated cluster or on a real one."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import kubeloop as k
from kubeloop.simulator.controllers.kinds import Pod, PodSpec
from kubeloop.simulator.controllers.kinds import ReplicaSet as ReplicaSet

T = TypeVar("T", bound=k.KubeObject)

NEVER_S = 4.0
"""After which what has not happened is taken not to happen."""
HOLD = "test.kubeloop.dev/hold"


class NamespaceStatus(k.KubeStruct, frozen=True, kw_only=True):
    phase: str = ""
    conditions: tuple[k.Condition, ...] = ()


class Namespace(k.KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[k.Resource] = k.Namespace.resource

    status: NamespaceStatus = NamespaceStatus()


@dataclass(frozen=True)
class Hand:
    client: k.Client
    namespace: str

    async def made(self, name: str, *owners: k.OwnerReference, finalizers: tuple[str, ...] = ()) -> k.ConfigMap:
        """A config map, of these owners."""
        meta = k.ObjectMeta(name=name, namespace=self.namespace, owner_references=owners, finalizers=finalizers)
        return await self.client.create(k.ConfigMap(metadata=meta))

    async def pod(self, name: str, *, finalizers: tuple[str, ...] = ()) -> Pod:
        meta = k.ObjectMeta(name=name, namespace=self.namespace, finalizers=finalizers)
        spec = {"containers": [{"name": "main", "image": "none"}], "terminationGracePeriodSeconds": 1}
        body: dict[str, Any] = {"spec": spec}  # by the grace of pods it is that kube-controller-manager looks again
        return await self.client.patch(
            Pod, name, k.ApplyPatch({"metadata": {"finalizers": list(finalizers)}, **body}), namespace=meta.namespace
        )

    async def delete(self, name: str, policy: Any = "") -> None:
        await self.client.delete(k.ConfigMap, name, namespace=self.namespace, propagation_policy=policy)

    async def let_go(self, kind: type[k.KubeObject], name: str) -> None:
        """Takes all finalizers away."""
        patch = k.MergePatch({"metadata": {"finalizers": None}})
        await self.client.patch(kind, name, patch, namespace=self.namespace)

    async def find(self, kind: type[T], name: str) -> T | None:
        namespace = self.namespace if kind.resource.namespaced else ""
        try:
            return await self.client.get(kind, name, namespace=namespace)
        except k.NotFound:
            return None

    async def names(self, kind: type[k.KubeObject] = k.ConfigMap) -> set[str]:
        """Of what is there, but for what the real server puts into each namespace."""
        found = await self.client.list(kind, namespace=self.namespace)
        return {one.key.name for one in found.items} - {"kube-root-ca.crt"}

    async def until_only(self, *names: str) -> None:
        """Until these config maps are left."""
        await until(lambda: self.has_only(*names))

    async def heard(self) -> None:
        """Until the collector has seen all that was made so far: it sees in order, and takes what has an owner that
        never was.
        """
        meta = k.ObjectMeta(name="never", uid="never")
        await self.made("orphan", k.ConfigMap(metadata=meta).owner_reference())
        await until(self._orphan_is_gone)

    async def _orphan_is_gone(self) -> bool:
        return await self.find(k.ConfigMap, "orphan") is None

    async def are_deleting(self, *names: str) -> bool:
        """They are still there, but not for long."""
        found = [await self.find(k.ConfigMap, name) for name in names]
        assert all(found), found
        return all(one is not None and one.metadata.deleting for one in found)

    async def has_only(self, *names: str) -> bool:
        return await self.names() == set(names)


async def until(holds: Callable[[], Awaitable[object]], *, within_s: float = 240.0) -> None:
    """Long enough for the namespace controller: it may look again after half a minute only, and then later."""
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110 - it is an API server that is asked
            await asyncio.sleep(0.1)


def blocked(owner: k.KubeObject, *, blocks: bool = True) -> k.OwnerReference:
    """A reference for which a foreground deletion waits."""
    resource = owner.resource
    return k.OwnerReference(
        api_version=resource.api_version,
        kind=resource.kind,
        name=owner.key.name,
        uid=owner.metadata.uid,
        block_owner_deletion=blocks,
    )


__all__ = ["HOLD", "NEVER_S", "Hand", "Namespace", "PodSpec", "ReplicaSet", "blocked", "until"]
