"""Finalizers: a promise to do something before an object goes.

An object may be decoded in part, so the list of finalizers is changed by JSON patch with tests on UID, version and the
very entry: the patch takes effect only on the object that was looked at, and a finalizer that somebody else adds or
removes at the same moment is never lost. `Conflict` always means: look at the object again. What looking again cannot
mend is `Invalid` (the name of the finalizer is none), so that nobody patches for ever.
"""

from typing import Any, TypeVar

from kubeloop.client import errors
from kubeloop.client.client import Client, JsonPatch
from kubeloop.model.base import KubeObject

T = TypeVar("T", bound=KubeObject)

_LIST = "/metadata/finalizers"


async def add_finalizer(client: Client, obj: T, finalizer: str) -> bool:
    """True when the object carries our finalizer now; False when it never will: it is deleting, or gone.

    Only after True may anything be made that has to be undone. Raises `Conflict` when the object has changed since,
    `Invalid` when the server does not take the name.
    """
    if finalizer in obj.metadata.finalizers:
        return True
    if obj.metadata.deleting:
        return False
    operation: dict[str, Any]
    if obj.metadata.finalizers:
        operation = {"op": "add", "path": f"{_LIST}/-", "value": finalizer}
    else:
        operation = {"op": "add", "path": _LIST, "value": [finalizer]}
    try:
        await _patch(client, obj, [operation])
    except errors.NotFound:
        return False
    except errors.Invalid as error:
        if any(
            cause.reason == "FieldValueForbidden" and cause.field == "metadata.finalizers" for cause in error.causes
        ):
            return False  # began to be deleted: the server forbids new finalizers then
        raise
    return True


async def remove_finalizer(client: Client, obj: T, finalizer: str) -> bool:
    """True when this call took our finalizer off; False when there was nothing to do: it is not there, or the object
    is gone.

    Raises `Conflict` when the object has changed since.
    """
    if finalizer not in obj.metadata.finalizers:
        return False
    path = f"{_LIST}/{obj.metadata.finalizers.index(finalizer)}"
    operations = [{"op": "test", "path": path, "value": finalizer}, {"op": "remove", "path": path}]
    try:
        await _patch(client, obj, operations)
    except errors.NotFound:
        return False
    return True


async def _patch(client: Client, obj: KubeObject, operations: list[dict[str, Any]]) -> None:
    meta = obj.metadata
    await client.patch(
        type(obj),
        meta.name,
        JsonPatch(operations),
        namespace=meta.namespace,
        uid=meta.uid,
        resource_version=meta.resource_version,
    )
