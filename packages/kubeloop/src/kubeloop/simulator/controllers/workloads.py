"""ReplicaSets and Deployments.

A ReplicaSet has as many pods as it says. A Deployment has a ReplicaSet for each template that it had, named by the
template's hash; the new one grows and the old ones shrink, with no more and no fewer pods than its strategy allows.
What is one's own says its owner reference; strays that the selector finds are adopted, and nothing is let go. There is
no progress deadline and no proportional scaling.
"""

import json
import math
import zlib
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgspec

import kubeloop as k
from kubeloop.simulator.controllers.kinds import Deployment, NewPod, Pod, ReplicaSet, ReplicaSetSpec
from kubeloop.simulator.strategies.workloads import selects

STRAY = ""
HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # of names that are generated


def owner_uids(obj: k.KubeObject) -> list[str]:
    """Of the controller, for an index; empty text for a stray."""
    return [one.uid for one in obj.metadata.owner_references if one.controller] or [STRAY]


def wanting(owners: k.Informer[Any], obj: k.KubeObject) -> list[k.ObjectKey]:
    """Who may adopt a stray."""
    return [one.key for one in owners.store.list() if STRAY in owner_uids(obj) and _is_of(obj, one)]


async def adopt(client: k.Client, owner: ReplicaSet | Deployment, strays: Collection[k.KubeObject]) -> bool:
    """Makes strays that the selector finds the owner's. True where there were any: they show in the store later."""
    found = [one for one in strays if _is_of(one, owner) and not one.metadata.deleting]
    for one in found:
        meta = one.metadata
        references = (*meta.owner_references, _controlled_by(owner))
        patch = k.MergePatch({"metadata": {"ownerReferences": msgspec.to_builtins(references)}})
        version = meta.resource_version
        await client.patch(type(one), meta.name, patch, namespace=meta.namespace, resource_version=version)
    return bool(found)


class ReplicaSets:
    """Needs an index `owner` of the pods (`owner_uids`)."""

    def __init__(self, client: k.Client, sets: k.Informer[ReplicaSet], pods: k.Informer[Pod]) -> None:
        self._client = client
        self._sets = sets
        self._pods = pods

    async def reconcile(self, key: k.ObjectKey) -> k.Result:
        owner = self._sets.store.get(key)
        if owner is None:
            return k.DONE
        strays = [pod for pod in self._pods.store.by_index("owner", STRAY) if not pod.ended]
        if not owner.metadata.deleting and await adopt(self._client, owner, strays):
            return k.DONE  # they show, and we come again
        pods = [pod for pod in self._pods.store.by_index("owner", owner.metadata.uid) if not pod.ended]
        pods = [pod for pod in pods if not pod.metadata.deleting]
        if not owner.metadata.deleting:
            for _ in range(owner.spec.replicas - len(pods)):
                await self._client.create(_new_pod(owner))
            for pod in sorted(pods, key=_worth)[: max(len(pods) - owner.spec.replicas, 0)]:
                await self._delete(pod)
        ready = sum(pod.ready for pod in pods)
        status = {
            "replicas": len(pods),
            "fullyLabeledReplicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "observedGeneration": owner.metadata.generation,
        }
        await _write_status(self._client, owner, owner.status, status)
        return k.DONE

    async def _delete(self, pod: Pod) -> None:
        try:
            await self._client.delete(Pod, pod.key.name, namespace=pod.key.namespace, uid=pod.metadata.uid)
        except (k.NotFound, k.Conflict):
            return  # it is gone, or another by now


class Deployments:
    """Needs an index `owner` of the sets and of the pods (`owner_uids`)."""

    def __init__(
        self, client: k.Client, deployments: k.Informer[Deployment], sets: k.Informer[ReplicaSet], pods: k.Informer[Pod]
    ) -> None:
        self._client = client
        self._deployments = deployments
        self._sets = sets
        self._pods = pods

    def of_pod(self, pod: Pod) -> list[k.ObjectKey]:
        """The deployment above the pod's ReplicaSet."""
        for reference in pod.metadata.owner_references:
            above = self._sets.store.get(k.ObjectKey(pod.metadata.namespace, reference.name))
            if reference.controller and above is not None:
                owners = above.metadata.owner_references
                return [k.ObjectKey(pod.metadata.namespace, one.name) for one in owners if one.controller]
        return []

    async def reconcile(self, key: k.ObjectKey) -> k.Result:
        deployment = self._deployments.store.get(key)
        if deployment is None or deployment.metadata.deleting:
            return k.DONE
        if await adopt(self._client, deployment, self._sets.store.by_index("owner", STRAY)):
            return k.DONE  # they show, and we come again
        sets = sorted(self._sets.store.by_index("owner", deployment.metadata.uid), key=_revision)
        hash_ = template_hash(deployment.spec.template)
        new = next((one for one in sets if one.metadata.labels.get(HASH) == hash_), None)
        old = [one for one in sets if one is not new]
        if not deployment.spec.paused:
            if new is None:
                await self._create(deployment, hash_, old)
                return k.DONE  # it shows, and we come again
            await self._number(deployment, new, old)
            await self._scale_all(deployment, new, old)
            await self._forget(deployment, old)
        await self._tell(deployment, new, sets)
        return k.DONE

    async def _create(self, deployment: Deployment, hash_: str, old: list[ReplicaSet]) -> None:
        spec = deployment.spec
        meta = spec.template.get("metadata", {})
        labels = {**meta.get("labels", {}), HASH: hash_}
        selector = {**spec.selector, "matchLabels": {**spec.selector.get("matchLabels", {}), HASH: hash_}}
        made = ReplicaSet(
            metadata=k.ObjectMeta(
                name=f"{deployment.key.name}-{hash_}",
                namespace=deployment.key.namespace,
                labels=labels,
                annotations={REVISION: str(_latest(old) + 1)},
                owner_references=(_controlled_by(deployment),),
            ),
            spec=ReplicaSetSpec(
                replicas=0, selector=selector, template={**spec.template, "metadata": {**meta, "labels": labels}}
            ),
        )
        body = msgspec.to_builtins(made)
        body["spec"]["replicas"] = 0 if old else spec.replicas
        await self._client.patch(ReplicaSet, made.key.name, k.ApplyPatch(body), namespace=made.key.namespace)

    async def _number(self, deployment: Deployment, new: ReplicaSet, old: list[ReplicaSet]) -> None:
        """The revision of what is rolled out is the highest, also of a template that comes back."""
        revision = max(_revision(new), _latest(old) + 1) if old else max(_revision(new), 1)
        for obj in (new, deployment):
            if obj.metadata.annotations.get(REVISION) != str(revision):
                patch = k.MergePatch({"metadata": {"annotations": {REVISION: str(revision)}}})
                await self._client.patch(type(obj), obj.key.name, patch, namespace=obj.key.namespace)

    async def _scale_all(self, deployment: Deployment, new: ReplicaSet, old: list[ReplicaSet]) -> None:
        if deployment.spec.strategy.type == "Recreate":
            wanted = dict.fromkeys((one.key for one in old), 0)
            gone = not any(one.spec.replicas or self._has_pods(one) for one in old)
            wanted[new.key] = deployment.spec.replicas if gone else new.spec.replicas
        else:
            wanted = rolled(deployment, new, old)
        for one in (new, *old):
            replicas = wanted.get(one.key, one.spec.replicas)
            if replicas != one.spec.replicas:
                await self._client.patch(
                    ReplicaSet,
                    one.key.name,
                    k.MergePatch({"spec": {"replicas": replicas}}),
                    namespace=one.key.namespace,
                    uid=one.metadata.uid,
                )

    def _has_pods(self, owner: ReplicaSet) -> bool:
        return any(not pod.ended for pod in self._pods.store.by_index("owner", owner.metadata.uid))

    async def _forget(self, deployment: Deployment, old: list[ReplicaSet]) -> None:
        idle = [one for one in old if not one.spec.replicas and not one.status.replicas and not one.metadata.deleting]
        for one in idle[: max(len(idle) - deployment.spec.revision_history_limit, 0)]:
            await self._client.delete(ReplicaSet, one.key.name, namespace=one.key.namespace, uid=one.metadata.uid)

    async def _tell(self, deployment: Deployment, new: ReplicaSet | None, sets: Collection[ReplicaSet]) -> None:
        wanted = deployment.spec.replicas
        available = sum(one.status.available_replicas for one in sets)
        updated = new.status.replicas if new is not None else 0
        total = sum(one.status.replicas for one in sets)
        complete = updated == total == wanted == available
        conditions = _with_conditions(deployment, new, available, complete=complete)
        status = {
            "replicas": total,
            "updatedReplicas": updated,
            "readyReplicas": sum(one.status.ready_replicas for one in sets),
            "availableReplicas": available,
            "unavailableReplicas": max(sum(one.spec.replicas for one in sets) - available, 0),
            "observedGeneration": deployment.metadata.generation,
            "conditions": msgspec.to_builtins(conditions),
        }
        await _write_status(self._client, deployment, deployment.status, status)


def rolled(deployment: Deployment, new: ReplicaSet, old: list[ReplicaSet]) -> dict[k.ObjectKey, int]:
    """How many replicas the sets have next: one step of a rolling update, the new one first."""
    wanted = deployment.spec.replicas
    surge, unavailable = _allowed(deployment)
    total = sum(one.spec.replicas for one in (new, *old))
    if new.spec.replicas > wanted:
        return {new.key: wanted}
    grow = min(max(wanted + surge - total, 0), wanted - new.spec.replicas)
    if grow:
        return {new.key: new.spec.replicas + grow}
    least = wanted - unavailable
    spare = total - least - (new.spec.replicas - new.status.available_replicas)
    found: dict[k.ObjectKey, int] = {}
    for one in old:  # those that do not work anyway go first
        useless = min(max(one.spec.replicas - one.status.available_replicas, 0), max(spare, 0))
        found[one.key] = one.spec.replicas - useless
        spare -= useless
    spare = min(spare, sum(one.status.available_replicas for one in (new, *old)) - least)
    for one in old:
        down = min(found[one.key], max(spare, 0))
        found[one.key] -= down
        spare -= down
    return found


def template_hash(template: dict[str, Any]) -> str:
    """Of a pod template, as a part of names."""
    number = zlib.crc32(json.dumps(template, sort_keys=True).encode())
    found = ""
    while number:
        number, digit = divmod(number, len(_ALPHABET))
        found += _ALPHABET[digit]
    return found or _ALPHABET[0]


def _allowed(deployment: Deployment) -> tuple[int, int]:
    """How many pods too many, and how many unavailable, there may be: a percentage is rounded up, and down."""
    rolling, wanted = deployment.spec.strategy.rolling_update, deployment.spec.replicas
    surge = _share(rolling.max_surge, wanted, math.ceil)
    unavailable = _share(rolling.max_unavailable, wanted, math.floor)
    return surge, min(unavailable, wanted) or (0 if surge else 1)


def _share(value: int | str, of: int, rounded: Any) -> int:
    return value if isinstance(value, int) else int(rounded(int(value.rstrip("%")) * of / 100))


def _with_conditions(
    deployment: Deployment, new: ReplicaSet | None, available: int, *, complete: bool
) -> tuple[k.Condition, ...]:
    now = datetime.now(UTC)
    if available >= deployment.spec.replicas - _allowed(deployment)[1]:
        text = "Deployment has minimum availability."
        first = k.condition("Available", True, reason="MinimumReplicasAvailable", message=text)
    else:
        text = "Deployment does not have minimum availability."
        first = k.condition("Available", False, reason="MinimumReplicasUnavailable", message=text)
    conditions = k.set_condition(deployment.status.conditions, first, now)
    if new is None:
        return conditions
    done = "has successfully progressed." if complete else "is progressing."
    reason = "NewReplicaSetAvailable" if complete else "ReplicaSetUpdated"
    second = k.condition("Progressing", True, reason=reason, message=f'ReplicaSet "{new.key.name}" {done}')
    return k.set_condition(conditions, second, now)


def _new_pod(owner: ReplicaSet) -> NewPod:
    meta = owner.spec.template.get("metadata", {})
    return NewPod(
        metadata=k.ObjectMeta(
            generate_name=f"{owner.key.name}-",
            namespace=owner.key.namespace,
            labels=meta.get("labels", {}),
            annotations=meta.get("annotations", {}),
            finalizers=tuple(meta.get("finalizers", ())),
            owner_references=(_controlled_by(owner),),
        ),
        spec=owner.spec.template.get("spec", {}),
    )


def _is_of(obj: k.KubeObject, owner: ReplicaSet | Deployment) -> bool:
    near = obj.metadata.namespace == owner.metadata.namespace
    return near and selects(owner.spec.selector, obj.metadata.labels)


def _controlled_by(owner: k.KubeObject) -> k.OwnerReference:
    return msgspec.structs.replace(owner.owner_reference(controller=True), block_owner_deletion=True)


def _worth(pod: Pod) -> tuple[bool, bool, str, str]:
    """The least worth goes first: what has no node, what is not ready, and the newest."""
    backwards = "".join(chr(0x7E - ord(char)) for char in pod.metadata.creation_timestamp if ord(char) < 0x7E)
    return bool(pod.spec.node_name), pod.ready, backwards, pod.key.name


def _revision(obj: k.KubeObject) -> int:
    return int(obj.metadata.annotations.get(REVISION, "0"))


def _latest(sets: list[ReplicaSet]) -> int:
    return max((_revision(one) for one in sets), default=0)


async def _write_status(client: k.Client, obj: k.KubeObject, old: k.KubeStruct, new: dict[str, Any]) -> None:
    """Where it says something else than what is there."""
    if msgspec.convert(new, type(old)) != old:
        patch = k.MergePatch({"status": new})
        try:
            await client.patch(
                type(obj), obj.key.name, patch, namespace=obj.key.namespace, subresource="status", uid=obj.metadata.uid
            )
        except (k.NotFound, k.Conflict):
            return  # it is gone, or another by now
