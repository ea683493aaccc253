"""Finalizers: a promise to do something before an object goes.

An object may be decoded in part, so the list of finalizers is changed by JSON patch with tests on UID, version and the
very entry: the patch takes effect only on the object that was looked at.
"""

from typing import Any, TypeVar

from kubeloop.client import errors
from kubeloop.client.client import Client, JsonPatch
from kubeloop.model.base import KubeObject

T = TypeVar("T", bound=KubeObject)


async def remove_finalizer(client: Client, obj: KubeObject, finalizer: str) -> None:
    """Removes our finalizer from exactly this state of the object; nothing to do when it is not there or the object is
    gone.

    Raises `Conflict` when the object has changed since: look again.
    """
    if finalizer not in obj.metadata.finalizers:
        return
    index = obj.metadata.finalizers.index(finalizer)
    path = f"/metadata/finalizers/{index}"
    operations = [*_tests(obj), {"op": "test", "path": path, "value": finalizer}, {"op": "remove", "path": path}]
    try:
        await _patch(client, obj, operations)
    except errors.NotFound:
        return


async def add_finalizer(client: Client, obj: KubeObject, finalizer: str) -> None:
    """Adds our finalizer.

    Raises `Conflict` when the object has changed since, or is deleting, when none may be added.
    """
    if finalizer in obj.metadata.finalizers:
        return
    if obj.metadata.deleting:
        raise errors.Conflict(f"{obj.key} is deleting: no finalizer may be added")
    operations: list[dict[str, Any]] = _tests(obj)
    if obj.metadata.finalizers:
        operations.append({"op": "add", "path": "/metadata/finalizers/-", "value": finalizer})
    else:
        operations.append({"op": "add", "path": "/metadata/finalizers", "value": [finalizer]})
    await _patch(client, obj, operations)


def _tests(obj: KubeObject) -> list[dict[str, Any]]:
    return [
        {"op": "test", "path": "/metadata/uid", "value": obj.metadata.uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": obj.metadata.resource_version},
    ]


async def _patch(client: Client, obj: KubeObject, operations: list[dict[str, Any]]) -> None:
    try:
        await client.patch(type(obj), obj.metadata.name, JsonPatch(operations), namespace=obj.metadata.namespace)
    except errors.Invalid as error:
        raise errors.Conflict(f"{obj.key} has changed: {error}", status=422, reason=error.reason) from error
