"""Reading and writing objects of any kind: what the real server calls its generic registry.

Each method is one request, whole. Bodies that come in belong to it; those that are stored are nobody's to change. A
write: read what was sent, see to what is the server's own, fill in defaults, validate, note who manages which fields,
store. Raises `Refusal`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from kubeloop.model.times import time_text
from kubeloop.simulator.built_in import empty_of, schema_of, topology_of
from kubeloop.simulator.deletion import check_preconditions, finalizers_of, marked
from kubeloop.simulator.field_management import Writer, applied, times_kept, updated
from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.lists import read_version, too_large
from kubeloop.simulator.metadata import (
    SYSTEM_FIELDS,
    metadata_problems,
    metadata_update_problems,
)
from kubeloop.simulator.options import DeleteOptions, WriteOptions
from kubeloop.simulator.reading import check_name, read_object, read_patched, refuse_other_type
from kubeloop.simulator.refusals import (
    Body,
    Cause,
    Refusal,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
)
from kubeloop.simulator.storage import Storage, Stored
from kubeloop.simulator.strategies import strategy_of
from kubeloop.simulator.watch_cache import WatchCache

Patcher = Callable[[Body], Body]

_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


@dataclass(slots=True)
class Outcome:
    """What a write answers with; `created` and `deleted` say what it did."""

    stored: Stored
    created: bool = False
    deleted: bool = False


class Registry:
    """Over one storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def get(self, kind: Kind, namespace: str, name: str) -> Stored:
        stored = self._storage.get(kind.resource, _key(namespace, name))
        if stored is None:
            raise not_found(kind.plural, name, group=kind.group)
        return stored

    def get_from(self, cache: WatchCache, kind: Kind, namespace: str, name: str, version: str) -> Stored:
        """The state that a watch cache knows, which has to be that of `version` at least."""
        wanted = read_version(version)
        if wanted > cache.version:
            raise too_large(wanted, cache.version)
        stored = cache.objects.get(_key(namespace, name))
        if stored is None:
            raise not_found(kind.plural, name, group=kind.group)
        return stored

    def create(self, kind: Kind, namespace: str, body: Body, options: WriteOptions, warnings: list[str]) -> Outcome:
        """Of what a client sent; `warnings` gets what it should know."""
        body = read_object(kind, namespace, body, options, warnings)
        meta = body["metadata"]
        if meta.get("resourceVersion") not in (None, "0"):
            raise Refusal(500, "", "resourceVersion should not be set on objects to be created")
        meta.pop("managedFields", None)
        writer = _writer(kind, options, "")
        body = updated(None, self._completed(kind, body), topology_of(kind), writer, empty=empty_of(kind))
        return self._insert(kind, namespace, body, options)

    def _insert(self, kind: Kind, namespace: str, body: Body, options: WriteOptions) -> Outcome:
        """Stores what is new and complete, with what a new object gets from the server."""
        self._admit(kind, namespace, body["metadata"])
        body = self._new(kind, namespace, body)
        name = body["metadata"]["name"]
        key = _key(namespace, name)
        there = self._storage.get(kind.resource, key)
        if there is not None:
            ending = "deletionTimestamp" in there.body["metadata"]
            raise already_exists(kind.plural, name, group=kind.group, ending=ending)
        if options.dry_run:
            return Outcome(Stored(body, 0), created=True)
        return Outcome(self._storage.put(kind.resource, key, body), created=True)

    def _new(self, kind: Kind, namespace: str, body: Body) -> Body:
        meta = body["metadata"]
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"][:58] + self._storage.new_suffix()
        for name in (*SYSTEM_FIELDS, "resourceVersion", "selfLink"):
            meta.pop(name, None)
        if namespace:
            meta["namespace"] = namespace
        meta["uid"] = self._storage.new_uid()
        meta["creationTimestamp"] = _now()
        if kind.generation:
            meta["generation"] = 1
        if kind.has_status:
            body.pop("status", None)
        refuse_other_type(kind, body)
        if kind.custom:  # what the storage's version does not have is validated too
            self._validate(kind, body, None)
            return kind.as_stored(body)
        body = strategy_of(kind).prepare_create(kind.as_stored(body), self._storage)
        self._validate(kind, body, None)
        return body

    def _completed(self, kind: Kind, body: Body, *, keep_nulls: bool = False) -> Body:
        """With defaults."""
        if kind.custom:
            body = schema_of(kind).defaulted(body, keep_nulls=keep_nulls)
        return strategy_of(kind).defaulted(body)

    def _admit(self, kind: Kind, namespace: str, meta: Body) -> None:
        """Nothing is created in a namespace that is not there or that is going, and nothing of a kind that is going."""
        name = meta.get("name") or meta.get("generateName", "")
        if kind.namespaced:
            found = self._storage.get("namespaces", namespace)
            if found is None:
                raise not_found("namespaces", namespace)
            if "deletionTimestamp" in found.body["metadata"]:
                why = f"unable to create new content in namespace {namespace} because it is being terminated"
                text = f"namespace {namespace} is being terminated"
                cause = Cause("NamespaceTerminating", text, "metadata.namespace")
                raise forbidden(kind.plural, name, why, group=kind.group, causes=[cause])
        if kind.ending:
            why = "create not allowed while custom resource definition is terminating"
            raise forbidden(kind.plural, name, why, group=kind.group)

    def _validate(self, kind: Kind, body: Body, old: Body | None) -> None:
        meta = body["metadata"]
        causes = metadata_problems(meta, kind.resource, custom=kind.custom)
        if old is not None:
            causes += metadata_update_problems(meta, old["metadata"])
        if kind.custom:
            causes += causes  # the real server looks twice
            causes += schema_of(kind).problems(body, old)
        causes += strategy_of(kind).problems(body, old)
        if causes:
            raise invalid(kind.kind, meta.get("name", ""), causes, group=kind.group)

    def replace(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        subresource: str,
        body: Body,
        options: WriteOptions,
        warnings: list[str],
    ) -> Outcome:
        """PUT."""
        body = read_object(kind, namespace, body, options, warnings)
        meta = body["metadata"]
        check_name(meta, name)
        old = self._storage.get(kind.resource, _key(namespace, name))
        if old is None:
            if kind.creates_on_update and not subresource:
                return self.create(kind, namespace, body, options, [])
            raise not_found(kind.plural, name, group=kind.group)
        uid = old.body["metadata"]["uid"]
        if meta.setdefault("uid", uid) != uid:
            why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {uid}"
            raise conflict(kind.plural, name, why, group=kind.group)
        if not meta.get("resourceVersion") and not kind.unconditional:
            zero, what = ("0x0", kind.kind) if kind.custom else ("0", kind.plural)  # the real server's two ways
            raise _without_version(kind, what, name, zero)
        return self._update(kind, old, body, subresource, options)

    def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        subresource: str,
        patched: Patcher,
        options: WriteOptions,
        warnings: list[str],
    ) -> Outcome:
        """PATCH, but for apply: `patched` makes the new body of the old one."""
        old = self.get(kind, namespace, name)
        body = read_patched(kind, namespace, {**patched(kind.as_served(old.body))}, options, warnings)
        check_name(body["metadata"], name)
        if not body["metadata"].get("resourceVersion") and not kind.unconditional:
            raise _without_version(kind, kind.plural, name, "0")  # the patch has taken it away
        return self._update(kind, old, body, subresource, options)

    def apply(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        subresource: str,
        patch: Body,
        options: WriteOptions,
        warnings: list[str],
    ) -> Outcome:
        """PATCH with what a manager has an opinion on."""
        old = self._storage.get(kind.resource, _key(namespace, name))
        if old is None and subresource:
            raise not_found(kind.plural, name, group=kind.group)
        if (patch.get("apiVersion"), patch.get("kind")) != (kind.api_version, kind.kind):
            version = patch.get("apiVersion", "")
            group = version if "/" in version else f"/{version}"
            raise bad_request(f"invalid object type: {group}, Kind={patch.get('kind', '')}")
        live = kind.as_served(old.body) if old is not None else None
        writer = _writer(kind, options, subresource)
        merged = {**applied(live, patch, topology_of(kind), writer, force=options.force, empty=empty_of(kind))}
        fields = merged.get("metadata", {}).keys()
        body = read_object(kind, namespace, merged, options, warnings)
        meta = body["metadata"]
        # the real server stores an empty map or list of the metadata and forgets it: each such apply is a change
        changed = not fields <= meta.keys()
        if old is None and meta.get("uid"):
            why = f"uid mismatch: the provided object specified uid {meta['uid']}, and no existing object was found"
            raise conflict(kind.plural, name, why, group=kind.group)
        check_name(meta, name)
        body = self._completed(kind, body, keep_nulls=kind.custom)
        if old is not None:
            return self._update(kind, old, body, subresource, options, by_apply=True, changed=changed)
        return self._insert(kind, namespace, body, options)

    def _update(
        self,
        kind: Kind,
        old: Stored,
        body: Body,
        subresource: str,
        options: WriteOptions,
        *,
        by_apply: bool = False,
        changed: bool = False,
    ) -> Outcome:
        before = kind.as_served(old.body)
        name = before["metadata"]["name"]
        sent_version = body["metadata"].get("resourceVersion")
        if sent_version not in (None, "", before["metadata"]["resourceVersion"]):
            raise conflict(kind.plural, name, _MODIFIED, group=kind.group)
        strategy = strategy_of(kind)
        if not by_apply:
            body = self._completed(kind, body)
            body = updated(before, body, topology_of(kind), _writer(kind, options, subresource))
        body = strategy.prepare_update(_isolated(kind, body, before, subresource), before, subresource)
        refuse_other_type(kind, body)
        if kind.generation and strategy.generation_grows(body, before):
            body["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
        self._validate(kind, body, before)
        body = kind.as_stored(body if changed else times_kept(before, body))
        meta = body["metadata"]
        if body == old.body and not changed:
            return Outcome(old)
        key = _key(meta.get("namespace", ""), name)
        if "deletionTimestamp" in meta and strategy.may_go(body):
            if not options.dry_run:
                self._storage.delete(kind.resource, key, body)
            return Outcome(Stored(body, old.revision))
        if options.dry_run:
            return Outcome(Stored(body, old.revision))
        return Outcome(self._storage.put(kind.resource, key, body))

    def delete(self, kind: Kind, namespace: str, name: str, options: DeleteOptions) -> Outcome:
        old = self.get(kind, namespace, name)
        meta = old.body["metadata"]
        check_preconditions(kind, old, options)
        strategy = strategy_of(kind)
        strategy.admit_delete(old.body)
        grace_s = strategy.grace_s(old.body, options.grace_period_s)
        finalizers = finalizers_of(meta, options, strategy.propagation)
        held = bool(finalizers) or strategy.stays(old.body)
        key = _key(namespace, name)
        if not held and grace_s is None:
            if not options.dry_run:
                self._storage.delete(kind.resource, key)
            return Outcome(old, deleted=True)
        body = strategy.prepare_delete(marked(old.body, finalizers, grace_s or 0))
        if options.dry_run:
            return Outcome(Stored(body, old.revision))
        stored = old if body == old.body else self._storage.put(kind.resource, key, body)
        if held or grace_s:
            return Outcome(stored)
        return Outcome(self._storage.delete(kind.resource, key), deleted=True)

    def rewrite(self, kind: Kind, old: Stored, body: Body) -> Stored:
        """Stores a new state of an object in the server's own name: nobody becomes the owner of fields."""
        meta = old.body["metadata"]
        return self._storage.put(kind.resource, _key(meta.get("namespace", ""), meta["name"]), body)


def _without_version(kind: Kind, what: str, name: str, zero: str) -> Refusal:
    text = f"Invalid value: {zero}: must be specified for an update"
    return invalid(what, name, [Cause("FieldValueInvalid", text, "metadata.resourceVersion")], group=kind.group)


def _isolated(kind: Kind, body: Body, before: Body, subresource: str) -> Body:
    """What a write may change: of the status subresource the status, else all but that. Metadata stays the server's."""
    old = before["metadata"]
    meta = body["metadata"]
    if subresource == "status":
        rest = {name: value for name, value in before.items() if name != "status"}
        owned = {name: meta[name] for name in ("managedFields",) if name in meta}
        kept = {**_but(old, "managedFields"), **owned} if kind.custom else meta
        body = {**rest, "metadata": kept, **({"status": body["status"]} if "status" in body else {})}
    elif kind.has_status:
        body = {name: value for name, value in body.items() if name != "status"}
        if "status" in before:
            body["status"] = before["status"]
    meta = body["metadata"] = {**body["metadata"]}
    for name in SYSTEM_FIELDS[1:]:
        if name in old:
            meta[name] = old[name]
        elif not name.startswith("deletion"):  # validation refuses those
            meta.pop(name, None)
    meta.setdefault("uid", old["uid"])
    meta["resourceVersion"] = old["resourceVersion"]
    return body


def _but(body: Body, name: str) -> Body:
    return {key: value for key, value in body.items() if key != name}


def _key(namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name


def _writer(kind: Kind, options: WriteOptions, subresource: str) -> Writer:
    reset: tuple[str, ...] = ("status",) if kind.has_status else ()
    if subresource == "status":
        reset = ("spec", "metadata") if kind.custom else ("spec",)
    return Writer(manager=options.manager, subresource=subresource, reset=reset, now=_now())


def _now() -> str:
    return time_text(datetime.now(UTC))
