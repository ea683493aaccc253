"""The three kinds of patch, and how each says on which state of an object it may take effect."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from kubeloop.model.base import KubeObject


@dataclass(frozen=True, slots=True)
class MergePatch:
    """RFC 7386: a null removes a field, lists are replaced whole."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class JsonPatch:
    """RFC 6902: operations in order, all or nothing; a `test` that fails refuses the patch with `Invalid`."""

    operations: Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ApplyPatch:
    """Server-side apply: we own the fields of `body`; `force` takes them from other managers.

    apiVersion, kind and name are filled in. Creates the object when there is none. Fields that we owned and that
    `body` lacks are removed, so it holds everything we have an opinion on, each time.
    """

    body: dict[str, Any]
    force: bool = False


Patch = MergePatch | JsonPatch | ApplyPatch


def encode_patch(
    patch: Patch, kind: type[KubeObject], name: str, *, uid: str = "", resource_version: str = ""
) -> tuple[str, bytes]:
    """Content type and body of a patch that takes effect only on this UID and version, where they are given."""
    expected = {"uid": uid, "resourceVersion": resource_version}
    expected = {field: value for field, value in expected.items() if value}
    if isinstance(patch, JsonPatch):
        tests = [{"op": "test", "path": f"/metadata/{field}", "value": value} for field, value in expected.items()]
        return "application/json-patch+json", msgspec.json.encode([*tests, *patch.operations])
    body = patch.body
    if isinstance(patch, ApplyPatch):
        expected["name"] = name
        body = {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind, **body}
    if expected:
        body = {**body, "metadata": {**body.get("metadata", {}), **expected}}
    content_type = "application/apply-patch+yaml" if isinstance(patch, ApplyPatch) else "application/merge-patch+json"
    return content_type, msgspec.json.encode(body)
