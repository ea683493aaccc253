"""What a write makes of the ownership of fields, and what an apply makes of the object."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace

from kubeloop.simulator.field_management.comparing import compare, fields_of
from kubeloop.simulator.field_management.declared import fits, problems
from kubeloop.simulator.field_management.entries import (
    Managed,
    Manager,
    Owned,
    all_fields,
    read_entries,
    with_few_updaters,
    without_fields,
    write_entries,
)
from kubeloop.simulator.field_management.field_sets import (
    EMPTY,
    FieldSet,
    MalformedItem,
    Path,
    fields_tree,
    path_text,
    with_named,
    without_below,
)
from kubeloop.simulator.field_management.merging import merged, without
from kubeloop.simulator.refusals import Body, Refusal, bad_request, unsupported
from kubeloop.simulator.topology import DEDUCED, Topology

_SERVERS: FieldSet = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    }
)
"""Nobody owns these."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who writes, through what, and when. `reset`: the top-level fields that are not written through it."""

    manager: str
    subresource: str = ""
    reset: Collection[str] = ()
    now: str

    def excluded(self) -> list[Path]:
        return [(f"f:{name}",) for name in self.reset]


def updated(old: Body | None, new: Body, topology: Topology, by: Writer, *, empty: Body | None = None) -> Body:
    """`new`, which replaces `old` or is created, with the managedFields that it has then.

    `empty` is what is there of a new object before anybody says anything: structures that its kind always has.

    The writer owns what it changed, and nobody else does any more. An object that has lost its managedFields (it was
    written with an empty list of them) gets no new ones.
    """
    before = old or {**(empty or {}), "apiVersion": new["apiVersion"], "kind": new["kind"]}
    managed = _managed_of_update(before, new, topology, by)
    if old is not None and not managed:
        return _with_managed(new, managed)
    reset = [name for name in by.reset if name in new and name != "metadata" and new[name] != before.get(name)]
    if all(fits(new[name], topology.of(name)) for name in reset):
        with suppress(MalformedItem):
            return _with_managed(new, _updated(before, new, topology, by, managed))
    # the real server then gives up on ownership; what is not reset is validated later, so that is refused anyway
    return _with_entries(new, before.get("metadata", {}).get("managedFields"))


def _managed_of_update(old: Body, new: Body, topology: Topology, by: Writer) -> Managed:
    """Those that the new body gives, if it does and may; an empty list of them takes all away."""
    given = None if by.subresource else new.get("metadata", {}).get("managedFields")
    if given in ([], [{}]):
        return {}
    for entries in (given, old.get("metadata", {}).get("managedFields")):
        try:
            managed = read_entries(entries, topology)
        except (ValueError, AttributeError, TypeError):
            continue
        if managed:
            return managed
    return {}


def _updated(old: Body, new: Body, topology: Topology, by: Writer, managed: Managed) -> Managed:
    changes = compare(old, new, topology).without_below(by.excluded())
    managed = without_fields(managed, changes.written | changes.removed)
    taken = changes.written - _SERVERS
    if taken:
        api_version = new["apiVersion"]
        self = Manager(by.manager, "Update", by.subresource, api_version)
        previous = managed[self].fields if self in managed else EMPTY
        managed[self] = Owned(taken | previous, api_version, by.now)
    return with_few_updaters(managed)


def applied(
    live: Body | None, patch: Body, topology: Topology, by: Writer, *, force: bool = False, empty: Body | None = None
) -> Body:
    """The object with what `patch` says of it, and without what its manager applied before and does not say now.

    `empty` is as for `updated`.

    Raises the refusal: 409 for fields that others own with another value, 500 for a patch that does not fit the schema
    (as the real server), 400.
    """
    if topology is DEDUCED:
        raise unsupported(f"the schema of {patch['kind']}, so how it is applied")
    if patch.get("metadata", {}).get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    _refuse_what_does_not_fit(patch, topology)
    before = live or {"apiVersion": patch["apiVersion"], "kind": patch["kind"]}
    if by.manager == "kubectl" and _LAST_APPLIED in before.get("metadata", {}).get("annotations", {}):
        raise unsupported("an apply to what kubectl has applied on the client's side")
    managed = read_entries(before.get("metadata", {}).get("managedFields"), topology)
    before = _with_entries(before, None)
    if not managed and live is not None:
        empty = {**(empty or {}), "apiVersion": before["apiVersion"], "kind": before["kind"]}
        managed = _updated(empty, before, topology, replace(by, manager="before-first-apply"), managed)
    return _with_managed(*_applied(before, patch, topology, by, managed, force))


def _applied(
    live: Body, patch: Body, topology: Topology, by: Writer, managed: Managed, force: bool
) -> tuple[Body, Managed]:
    excluded = by.excluded()
    self = Manager(by.manager, "Apply", by.subresource)
    last = managed.get(self)
    fields = without_below(fields_of(patch, topology), excluded)
    managed = {**managed, self: Owned(fields, patch["apiVersion"], last.time if last else "")}
    body = merged(live, patch, topology)
    if last is not None and last.fields:
        body = _pruned(body, last.fields, topology, managed)
    changes = compare(live, body, topology).without_below(excluded)
    if not force:
        _refuse_conflicts(managed, changes.written, self)
    managed = without_fields(managed, changes.written | changes.removed, but=self)
    if self in managed:
        owned = replace(managed.pop(self), fields=fields - _SERVERS)
        if owned.fields:
            managed[self] = owned if body == live else replace(owned, time=by.now)
    return body, managed


def _pruned(body: Body, last: FieldSet, topology: Topology, managed: Managed) -> Body:
    """Without what was applied last, unless somebody owns it now; what nobody ever owned stays."""
    last = with_named(last, topology)
    there = with_named(fields_of(body, topology), topology)
    pruned = without(body, fields_tree(last), topology)
    kept = with_named(fields_of(pruned, topology), topology)
    kept |= with_named(all_fields(managed.values()), topology)
    pruned = without(body, fields_tree(there - kept), topology)
    kept = with_named(fields_of(pruned, topology), topology)
    found: Body = without(body, fields_tree((there - kept) & last), topology)
    return found


def _refuse_conflicts(managed: Managed, written: FieldSet, self: Manager) -> None:
    found = {
        manager: sorted(owned.fields & written, key=lambda path: (path[:-1], path))
        for manager, owned in sorted(managed.items(), key=lambda item: item[0].order())
        if manager != self and not owned.fields.isdisjoint(written)
    }
    if not found:
        return
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager.text()}", "field": path_text(path)}
        for manager, paths in found.items()
        for path in paths
    ]
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines = [
            line
            for manager, paths in found.items()
            for line in (f"conflicts with {manager.text()}:", *(f"- {path_text(path)}" for path in paths))
        ]
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    raise Refusal(409, "Conflict", message, details={"causes": causes})


def _refuse_what_does_not_fit(patch: Body, topology: Topology) -> None:
    found = problems(patch, topology)
    if found:
        what = found[0] if len(found) == 1 else "\n  ".join(("errors:", *found))
        meta, version = patch.get("metadata", {}), patch["apiVersion"]
        version = version if "/" in version else f"/{version}"
        whose = f"{meta.get('namespace', '')}/{meta.get('name', '')}; {version}, Kind={patch['kind']}"
        raise Refusal(500, "", f"failed to create typed patch object ({whose}): {what}")


def times_kept(old: Body, new: Body) -> Body:
    """`new`, or with the entries of `old` if it differs from that in nothing but their times: no write then."""
    before, after = (body["metadata"].get("managedFields", []) for body in (old, new))
    if before == after or len(before) != len(after):
        return new
    same = all(
        {**one, "time": ""} == {**other, "time": ""} for one, other in zip(before, after, strict=True)
    ) and _with_entries(old, None) == _with_entries(new, None)
    return _with_entries(new, before) if same else new


def _with_managed(body: Body, managed: Managed) -> Body:
    return _with_entries(body, write_entries(managed))


def _with_entries(body: Body, entries: list[Body] | None) -> Body:
    metadata = {key: value for key, value in body.get("metadata", {}).items() if key != "managedFields"}
    if entries:
        metadata["managedFields"] = entries
    return {**body, "metadata": metadata} if metadata or "metadata" in body else body
