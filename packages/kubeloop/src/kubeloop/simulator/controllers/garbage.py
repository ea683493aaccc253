"""The garbage collector: objects go when their last owner is gone, as owner references say, by UID.

https://kubernetes.io/docs/concepts/architecture/garbage-collection/. It knows the graph of owners from the storage's
changes, not from informers of every kind, but acts through the API as the real one does.

- Background: an object none of whose owners is there is deleted; of several, references to those gone are taken away.
- Foreground: an owner that is deleted so stays, with the finalizer foregroundDeletion, until no dependent is left that
  says `blockOwnerDeletion`; its dependents are deleted meanwhile.
- Orphan: the references of its dependents are taken away, then its finalizer `orphan`.

Owners in another namespace do not exist. What refers to a kind that is not served is left alone.
"""

from collections.abc import Callable, Iterable
from typing import Any

import kubeloop as k
from kubeloop.client.client import PropagationPolicy
from kubeloop.simulator.controllers.kinds import metadata_of
from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.refusals import Body
from kubeloop.simulator.storage import Change, Storage

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class Graph:
    """All objects by UID, and of each owner its dependents: whoever names its UID."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[str, Body]] = {}
        self._dependents: dict[str, dict[str, None]] = {}

    def get(self, uid: str) -> tuple[str, Body] | None:
        """Its resource and body."""
        return self._objects.get(uid)

    def dependents(self, uid: str) -> list[Body]:
        return [self._objects[one][1] for one in self._dependents.get(uid, ())]

    def note(self, change: Change) -> Iterable[str]:
        """Gives the UIDs of those whose lot the change may have decided."""
        body = change.now.body
        meta = body["metadata"]
        uid = meta["uid"]
        owners = {} if change.type == "DELETED" else _owners(body)
        before = _owners(change.before.body) if change.before is not None else {}
        for gone in before.keys() - owners.keys():
            dependents = self._dependents.get(gone, {})
            dependents.pop(uid, None)
        for owner in owners:
            self._dependents.setdefault(owner, {})[uid] = None
        if change.type == "DELETED":
            self._objects.pop(uid, None)
            return [*before, *self._dependents.get(uid, ())]
        self._objects[uid] = change.resource, body
        found = list(before) if before.keys() != owners.keys() else []
        if owners and (before != owners or _is_deleting(body)):
            found += [uid, *owners]
        if _waits(body):
            found += [uid, *self._dependents.get(uid, ())]
        elif _is_deleting(body) and ORPHAN in meta.get("finalizers", ()):
            found.append(uid)
        return found


class GarbageCollector:
    """`reconcile` looks at one object, by UID; `changed` says whom to look at."""

    def __init__(self, client: k.Client, storage: Storage, kinds: Callable[[], Iterable[Kind]]) -> None:
        self._client = client
        self._storage = storage
        self._kinds = kinds
        self._graph = Graph()

    def begin(self) -> Iterable[str]:
        """Reads all that is there; gives those to look at."""
        for resource in self._storage.resources():
            for key, stored in self._storage.objects(resource).items():
                yield from self._graph.note(Change("ADDED", resource, key, stored, None, 0))

    def changed(self, change: Change) -> Iterable[str]:
        return self._graph.note(change)

    async def reconcile(self, uid: str) -> k.Result:
        found = self._graph.get(uid)
        if found is None:
            return k.DONE
        resource, body = found
        finalizers = body["metadata"].get("finalizers", ())
        if ORPHAN in finalizers and _is_deleting(body):
            await self._orphan(body)
            await self._patch(resource, body, finalizers=[one for one in finalizers if one != ORPHAN])
        elif _waits(body):
            if not any(_blocks(dependent, uid) for dependent in self._graph.dependents(uid)):
                await self._patch(resource, body, finalizers=[one for one in finalizers if one != FOREGROUND])
        elif not _is_deleting(body):
            await self._judge(resource, body)
        return k.DONE

    async def _judge(self, resource: str, body: Body) -> None:
        references = body["metadata"].get("ownerReferences", [])
        if not references or not all(self._is_known(one, body) for one in references):
            return
        owners = {one["uid"]: self._owner(one, body) for one in references}
        waiting = [uid for uid, owner in owners.items() if owner is not None and _waits(owner)]
        gone = [uid for uid, owner in owners.items() if owner is None]
        if len(waiting) + len(gone) < len(owners):
            if waiting or gone:
                kept = [one for one in references if one["uid"] not in (*waiting, *gone)]
                await self._patch(resource, body, ownerReferences=kept)
            return
        policy: PropagationPolicy = "Background"
        dependents = self._graph.dependents(body["metadata"]["uid"])
        if waiting and dependents:
            policy = "Foreground"
            if any(_waits(one) for one in dependents):  # perhaps a circle: nobody waits for this one
                unblocked = [{**one, "blockOwnerDeletion": False} for one in references]
                resource, body = await self._patch(resource, body, ownerReferences=unblocked) or (resource, body)
        elif ORPHAN in body["metadata"].get("finalizers", ()):
            policy = "Orphan"
        await self._delete(resource, body, policy)

    def _owner(self, reference: Body, body: Body) -> Body | None:
        """The owner, where the reference says that it is."""
        found = self._graph.get(reference["uid"])
        if found is None:
            return None
        owner = found[1]
        meta = owner["metadata"]
        same = (owner["kind"], meta["name"]) == (reference["kind"], reference["name"])
        near = meta.get("namespace") in (None, body["metadata"].get("namespace"))
        return owner if same and near and _group(owner) == _group(reference) else None

    def _is_known(self, reference: Body, body: Body) -> bool:
        """A kind that is served, and where an owner of this object may be."""
        for kind in self._kinds():
            if (kind.group, kind.kind) == (_group(reference), reference["kind"]):
                return not kind.namespaced or "namespace" in body["metadata"]
        return False

    async def _orphan(self, owner: Body) -> None:
        uid = owner["metadata"]["uid"]
        for dependent in self._graph.dependents(uid):
            found = self._graph.get(dependent["metadata"]["uid"])
            if found is not None:
                kept = [one for one in dependent["metadata"]["ownerReferences"] if one["uid"] != uid]
                await self._patch(found[0], dependent, ownerReferences=kept)

    async def _patch(self, resource: str, body: Body, **metadata: Any) -> tuple[str, Body] | None:
        """Of the state that was looked at, else it is looked at again. Gives the new one."""
        meta = body["metadata"]
        patch = k.MergePatch({"metadata": {name: value or None for name, value in metadata.items()}})
        try:
            await self._client.patch(
                metadata_of(resource, body),
                meta["name"],
                patch,
                namespace=meta.get("namespace", ""),
                uid=meta["uid"],
                resource_version=meta["resourceVersion"],
            )
        except k.NotFound:
            return None
        return self._graph.get(meta["uid"])

    async def _delete(self, resource: str, body: Body, policy: PropagationPolicy) -> None:
        meta = body["metadata"]
        try:
            await self._client.delete(
                metadata_of(resource, body),
                meta["name"],
                namespace=meta.get("namespace", ""),
                uid=meta["uid"],
                resource_version=meta["resourceVersion"],
                propagation_policy=policy,
            )
        except k.NotFound:
            return


def _owners(body: Body) -> dict[str, bool]:
    """The UIDs of the owners, and whether each waits for this object."""
    references = body["metadata"].get("ownerReferences", ())
    return {one["uid"]: bool(one.get("blockOwnerDeletion")) for one in references}


def _blocks(dependent: Body, uid: str) -> bool:
    return _owners(dependent).get(uid, False)


def _is_deleting(body: Body) -> bool:
    return "deletionTimestamp" in body["metadata"]


def _waits(body: Body) -> bool:
    """It is being deleted after its dependents."""
    return _is_deleting(body) and FOREGROUND in body["metadata"].get("finalizers", ())


def _group(of: Body) -> str:
    group: str = of["apiVersion"].rpartition("/")[0]
    return group
