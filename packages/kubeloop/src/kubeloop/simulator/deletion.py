"""What a deletion makes of an object that does not go at once, and on which object it may take effect."""

from datetime import UTC, datetime, timedelta
from typing import Any

from kubeloop.model.times import time_text
from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.options import DeleteOptions
from kubeloop.simulator.refusals import Body, conflict
from kubeloop.simulator.storage import Stored

_FINALIZER_OF = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}


def check_preconditions(kind: Kind, old: Stored, options: DeleteOptions) -> None:
    """Raises `Refusal` (409) when the object is not the one that is meant."""
    wanted = options.preconditions
    if wanted is None:
        return
    meta = old.body["metadata"]
    for what, value, found, more in (
        ("UID", wanted.uid, meta["uid"], "deleted and then recreated"),
        ("ResourceVersion", wanted.resource_version, meta["resourceVersion"], "modified"),
    ):
        if value is not None and value != found:
            why = f"the {what} in the precondition ({value}) does not match the {what} in record ({found})."
            text = f"{why} The object might have been {more}"
            # the real server names the kind here, where it names the resource elsewhere
            raise conflict(kind.kind, meta["name"], text, group=kind.group)


def finalizers_of(meta: Body, options: DeleteOptions, default: str | None) -> list[str]:
    """Those that an object has while it goes; the propagation policy is one that the garbage collector removes."""
    found: list[str] = list(meta.get("finalizers", ()))
    policy = options.propagation
    if options.orphan_dependents is not None:
        policy = "Orphan" if options.orphan_dependents else "Background"
    if policy is None:
        if default is None or any(name in _FINALIZER_OF.values() for name in found):
            return found
        policy = default
    found = [name for name in found if name not in _FINALIZER_OF.values()]
    return [*found, _FINALIZER_OF[policy]] if policy in _FINALIZER_OF else found


def marked(body: Body, finalizers: list[str], grace_s: int) -> Body:
    """The same, being deleted."""
    meta: dict[str, Any] = {**body["metadata"]}
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)
    if "deletionTimestamp" not in meta:
        if "generation" in meta:
            meta["generation"] += 1
    elif grace_s >= meta.get("deletionGracePeriodSeconds", 0):
        return {**body, "metadata": meta}
    meta["deletionTimestamp"] = time_text(datetime.now(UTC) + timedelta(seconds=grace_s))
    meta["deletionGracePeriodSeconds"] = grace_s
    return {**body, "metadata": meta}
