"""OpenAPI documents, as far as clients need them: kubectl explains custom kinds by them and sees in them that the
server validates fields. The fields of built-in kinds are not described.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3
"""

import hashlib
from collections.abc import Callable, Iterable

import msgspec

from kubeloop.client.transport import JSON, Response
from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.refusals import Body

SchemaOf = Callable[[Kind], Body | None]
"""The structural schema of a custom kind's version."""

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_INFO = {"title": "Kubernetes, simulated by kubeloop", "version": "unversioned"}
_UNDESCRIBED = "The simulated API server does not describe the fields of built-in kinds."
_PATCHES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")


def openapi_index(kinds: Iterable[Kind], schema_of: SchemaOf) -> Body:
    """Where the document of each group and version is. The address changes with the document: clients cache it."""
    kinds = list(kinds)
    found: Body = {}
    for prefix in sorted({_prefix(kind) for kind in kinds}):
        document = openapi_document(prefix, kinds, schema_of)
        digest = hashlib.sha256(msgspec.json.encode(document)).hexdigest().upper()
        found[prefix] = {"serverRelativeURL": f"/openapi/v3/{prefix}?hash={digest}"}
    return {"paths": found}


def openapi_document(prefix: str, kinds: Iterable[Kind], schema_of: SchemaOf) -> Body | None:
    """That of `api/v1` or `apis/GROUP/VERSION`; None for a version that is not served."""
    found = [kind for kind in kinds if _prefix(kind) == prefix]
    if not found:
        return None
    schemas = dict(_METADATA)
    paths: Body = {}
    for kind in found:
        schemas[_name(kind)] = _described(kind, schema_of(kind))
        paths |= _paths(kind)
    return {"openapi": "3.0.0", "info": _INFO, "paths": paths, "components": {"schemas": schemas}}


def openapi_v2(accept: str) -> Response:
    """An empty one. kubectl reads it, as protobuf, where version 3 does not tell it of a kind."""
    content: Body = {"swagger": "2.0", "info": _INFO, "paths": {}}
    if "protobuf" not in accept:
        return Response(200, msgspec.json.encode(content), {"Content-Type": JSON})
    info = _protobuf_text(1, _INFO["title"]) + _protobuf_text(2, _INFO["version"])
    body = _protobuf_text(1, content["swagger"]) + bytes([2 << 3 | 2, len(info)]) + info
    return Response(200, body, {"Content-Type": "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"})


def _protobuf_text(number: int, text: str) -> bytes:
    return bytes([number << 3 | 2, len(text)]) + text.encode()


def _prefix(kind: Kind) -> str:
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.api_version}"


def _name(kind: Kind) -> str:
    """`dev.example.v1.Widget`; the built-in kinds under a name of ours."""
    group = ".".join(reversed(kind.group.split("."))) if kind.custom else f"io.k8s.{kind.group or 'core'}"
    return f"{group}.{kind.version}.{kind.kind}"


def _described(kind: Kind, schema: Body | None) -> Body:
    own = {"type": "object", **(schema or {"description": _UNDESCRIBED, "x-kubernetes-preserve-unknown-fields": True})}
    properties = {**own.get("properties", {}), **_TYPE, "metadata": _reference("ObjectMeta", "Standard metadata.")}
    identity = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    return {**own, "properties": properties, "x-kubernetes-group-version-kind": [identity]}


def _paths(kind: Kind) -> Body:
    collection = f"/{_prefix(kind)}{'/namespaces/{namespace}' if kind.namespaced else ''}/{kind.plural}"
    named = f"{collection}/{{name}}"
    found = {
        collection: {verb: _operation(kind, verb) for verb in ("get", "post")},
        named: {verb: _operation(kind, verb) for verb in ("get", "put", "patch", "delete")},
    }
    if kind.has_status:
        found[f"{named}/status"] = {verb: _operation(kind, verb) for verb in ("get", "put", "patch")}
    return found


def _operation(kind: Kind, verb: str) -> Body:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{_name(kind)}"}}}
    found: Body = {
        "responses": {"200": {"description": "OK", "content": content}},
        "x-kubernetes-action": verb,
        "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
    }
    if verb in ("post", "put", "patch"):
        names = ("dryRun", "fieldManager", "fieldValidation", *(("force",) if verb == "patch" else ()))
        found["parameters"] = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]
        body = {name: {"schema": {"type": "object"}} for name in _PATCHES} if verb == "patch" else content
        found["requestBody"] = {"required": True, "content": body}
    return found


def _reference(name: str, description: str) -> Body:
    return {"description": description, "allOf": [{"$ref": f"#/components/schemas/{_META}.{name}"}]}


def _text(description: str) -> Body:
    return {"type": "string", "description": description}


def _map(description: str) -> Body:
    return {"type": "object", "description": description, "additionalProperties": {"type": "string"}}


def _list(item: Body, description: str) -> Body:
    return {"type": "array", "description": description, "items": item}


_TYPE: Body = {"apiVersion": _text("Group and version of the kind."), "kind": _text("What this is.")}
_METADATA: Body = {
    f"{_META}.ObjectMeta": {
        "type": "object",
        "description": "What every object has.",
        "properties": {
            "annotations": _map("What programs note about the object; nothing is selected by it."),
            "creationTimestamp": _text("When it was created."),
            "deletionGracePeriodSeconds": {"type": "integer", "description": "How long it may take to end."},
            "deletionTimestamp": _text("When its deletion was asked for; it goes once it has no finalizers."),
            "finalizers": _list({"type": "string"}, "Who has to do something before it goes."),
            "generateName": _text("The beginning of a name that the server completes."),
            "generation": {"type": "integer", "description": "Counts the changes of what is desired."},
            "labels": _map("What it is selected by."),
            "managedFields": _list({"type": "object"}, "Who manages which fields."),
            "name": _text("Its name, unique in its namespace."),
            "namespace": _text("Its namespace; empty for what belongs to the cluster."),
            "ownerReferences": _list(
                {"$ref": f"#/components/schemas/{_META}.OwnerReference"}, "Without all of these it is collected."
            ),
            "resourceVersion": _text("Changes with every write; not to be interpreted."),
            "uid": _text("Unique in time and space."),
        },
    },
    f"{_META}.OwnerReference": {
        "type": "object",
        "description": "An object that this one belongs to.",
        "required": ["apiVersion", "kind", "name", "uid"],
        "properties": {
            **_TYPE,
            "name": _text("Its name."),
            "uid": _text("Its UID."),
            "controller": {"type": "boolean", "description": "Whether it manages this object."},
            "blockOwnerDeletion": {"type": "boolean", "description": "Whether it waits for this one to go."},
        },
    },
}
