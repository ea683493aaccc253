"""Predicates: which changes of an object are worth a reconcile. Pure functions over `Change`, and how to combine them.

An object that came or went always passes `..._changed`: only updates can leave things as they were. Mind what a
predicate lets fall: `generation_changed` does not see labels, annotations or finalizers, nor anything of kinds whose
API server keeps no generation (nodes, ConfigMaps; pods have one since Kubernetes 1.34): their generation is always 0. A
deletion timestamp raises the generation. Source: the API conventions, metadata.generation.
"""

from collections.abc import Callable
from typing import Any

from kubeloop.informer.store import Change

Predicate = Callable[[Change[Any]], bool]


def generation_changed(change: Change[Any]) -> bool:
    """The spec changed (or deletion was asked for), not only the status or other metadata."""
    return _differs(change, lambda obj: (obj.metadata.uid, obj.metadata.generation))


def labels_changed(change: Change[Any]) -> bool:
    """A label came, went or changed."""
    return _differs(change, lambda obj: (obj.metadata.uid, obj.metadata.labels))


def annotations_changed(change: Change[Any]) -> bool:
    """An annotation came, went or changed."""
    return _differs(change, lambda obj: (obj.metadata.uid, obj.metadata.annotations))


def finalizers_changed(change: Change[Any]) -> bool:
    """A finalizer came or went."""
    return _differs(change, lambda obj: (obj.metadata.uid, obj.metadata.finalizers))


def deletion_asked(change: Change[Any]) -> bool:
    """The object came, went, or began to go; for kinds without a generation."""
    return _differs(change, lambda obj: (obj.metadata.uid, obj.metadata.deleting))


def not_status_alone(change: Change[Any]) -> bool:
    """Something that the type holds changed outside the status and the resource version; for kinds of any sort."""
    return _differs(change, _without_status)


def any_of(*predicates: Predicate) -> Predicate:
    """Lets through what one of them lets through."""
    return lambda change: any(predicate(change) for predicate in predicates)


def all_of(*predicates: Predicate) -> Predicate:
    """Lets through what all of them let through."""
    return lambda change: all(predicate(change) for predicate in predicates)


def not_(predicate: Predicate) -> Predicate:
    """Lets through what `predicate` does not."""
    return lambda change: not predicate(change)


def _differs(change: Change[Any], of: Callable[[Any], object]) -> bool:
    return change.old is None or change.new is None or of(change.old) != of(change.new)


def _without_status(obj: Any) -> tuple[object, ...]:
    fields = [getattr(obj, name) for name in obj.__struct_fields__ if name not in ("metadata", "status")]
    meta = obj.metadata
    return *fields, *(getattr(meta, name) for name in meta.__struct_fields__ if name != "resource_version")
