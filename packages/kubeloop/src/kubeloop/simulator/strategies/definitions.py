"""What is wrong with a CustomResourceDefinition: names, versions, columns, and that its schemas are structural.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

import re
from collections.abc import Iterator
from typing import Any

from kubeloop.simulator.causes import NOWHERE, forbidden, invalid, not_supported, required
from kubeloop.simulator.refusals import Body, Cause
from kubeloop.simulator.schemas.node import ABSENT, read
from kubeloop.simulator.schemas.validation import validated
from kubeloop.simulator.structural import structural_schema

_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_PROTECTED_GROUPS = (".k8s.io", ".kubernetes.io")
_APPROVAL = "api-approved.kubernetes.io"
_TYPES = ["array", "boolean", "integer", "number", "object", "string"]
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_KEY_TEXT = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
_RESTRICTED_METADATA = {"name", "generateName"}


def definition_problems(definition: Body) -> list[Cause]:
    """All at once. Raises the refusal (501) of a schema that is right but cannot be evaluated here."""
    spec = definition["spec"]
    versions = spec.get("versions") or []
    causes = [*_names(definition), *_versions(versions)]
    for number, version in enumerate(versions):
        for field, schema, check in _parts(versions, number, version):
            causes += check(schema, field)
    causes = list(dict.fromkeys(causes))  # what all versions have in common is blamed once
    if not causes:
        for version in versions:
            structural_schema(version["schema"]["openAPIV3Schema"])
    return causes


def _names(definition: Body) -> Iterator[Cause]:
    spec = definition["spec"]
    names, group, scope = spec.get("names") or {}, spec.get("group") or "", spec.get("scope") or ""
    name = definition["metadata"]["name"]
    if name != f"{names.get('plural', '')}.{group}":
        yield invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    if not group:
        yield required("spec.group")
    elif "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")
    if not scope:
        yield required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        yield not_supported("spec.scope", scope, ["Cluster", "Namespaced"])
    for field in ("plural", "singular", "kind", "listKind"):
        value = names.get(field) or ""
        if not value:
            if field in ("plural", "kind"):
                yield required(f"spec.names.{field}")
        elif not _LABEL.fullmatch(value.lower() if field.lower().endswith("kind") else value):
            yield invalid(f"spec.names.{field}", value, _LABEL_TEXT)
    annotations = definition["metadata"].get("annotations") or {}
    if group.endswith(_PROTECTED_GROUPS) and _APPROVAL not in annotations:
        text = f'protected groups must have approval annotation "{_APPROVAL}"'
        yield required(f"metadata.annotations[{_APPROVAL}]", text)


def _versions(versions: list[Body]) -> Iterator[Cause]:
    names = [version.get("name") or "" for version in versions]
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield invalid("spec.versions", versions, "must have exactly one version marked as storage version")
        stored = [version.get("name") for version in versions if version.get("storage")]
        yield invalid("status.storedVersions", stored, "must be the storage version")
    if len(set(names)) != len(names):
        yield invalid("spec.versions", versions, "must contain unique version names")
    for number, name in enumerate(names):
        if not _LABEL.fullmatch(name):
            yield invalid(f"spec.versions[{number}].name", name, _LABEL_TEXT)
            if number == 0:
                yield invalid("spec.version", name, _LABEL_TEXT)  # a field of old, which is the first one's name
        if not (versions[number].get("schema") or {}).get("openAPIV3Schema"):
            yield required(f"spec.versions[{number}].schema.openAPIV3Schema", "schemas are required")


def _parts(versions: list[Body], number: int, version: Body) -> Iterator[tuple[str, Any, Any]]:
    """Field, value and check of each part of a version. What all versions share has its field at the top."""
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    checks = {
        "schema": _schema,
        "subresources": _subresources,
        "additionalPrinterColumns": _columns,
        "selectableFields": lambda value, field: _selectable(value, field, schema),
    }
    for name, check in checks.items():
        if not version.get(name):
            continue
        shared = all(one.get(name) == version[name] for one in versions)
        field = f"spec.{'validation' if name == 'schema' else name}" if shared else f"spec.versions[{number}].{name}"
        yield field, version[name], check


def _columns(columns: list[Body], field: str) -> Iterator[Cause]:
    for number, column in enumerate(columns):
        at = f"{field}[{number}]"
        path, kind = column.get("jsonPath") or "", column.get("type") or ""
        if not column.get("name"):
            yield required(f"{at}.name")
        if not kind:
            yield required(f"{at}.type", f"must be one of {','.join(_COLUMN_TYPES)}")
        elif kind not in _COLUMN_TYPES:
            yield invalid(f"{at}.type", kind, f"must be one of {','.join(_COLUMN_TYPES)}")
        if not path:
            yield required(f"{at}.JSONPath")
        elif not path.startswith("."):
            yield invalid(f"{at}.JSONPath", path, "must be a simple json path starting with .")


def _subresources(subresources: Body, field: str) -> Iterator[Cause]:
    scale = subresources.get("scale")
    if scale is None:
        return
    for name, root in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")):
        path = scale.get(name) or ""
        if not path:
            yield required(f"{field}.scale.{name}")
        elif not path.startswith(f"{root}."):
            yield invalid(f"{field}.scale.{name}", path, f"should be a json path under {root}")


def _selectable(fields: list[Body], field: str, schema: Body) -> Iterator[Cause]:
    for number, one in enumerate(fields):
        found: Any = schema
        path = one.get("jsonPath") or ""
        for name in path.split(".")[1:]:
            found = (found.get("properties") or {}).get(name) or {}
        if not found:
            text = "is an invalid path: does not refer to a valid field"
            yield invalid(f"{field}[{number}].jsonPath", path, text)


def _schema(validation: Body, field: str) -> Iterator[Cause]:
    schema, at = validation.get("openAPIV3Schema") or {}, f"{field}.openAPIV3Schema"
    metadata = (schema.get("properties") or {}).get("metadata") or {}
    if set(metadata) - {"type", "properties", "description"} or set(metadata.get("properties") or {}) - (
        _RESTRICTED_METADATA
    ):
        text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield forbidden(f"{at}.properties[metadata]", text)
    if schema.get("type") not in (None, "", "object"):
        yield invalid(f"{at}.type", schema["type"], "must be object at the root")
    yield from _structure(schema, at, "at the root")


def _structure(schema: Body, at: str, where: str) -> Iterator[Cause]:
    """Of what is at `at` and below. `where` it is, in the words of the real server."""
    kind = schema.get("type") or ""
    if not kind:
        if not any(schema.get(f"x-kubernetes-{name}") for name in ("int-or-string", "preserve-unknown-fields")):
            yield required(f"{at}.type", f"must not be empty {where}")
    elif kind not in _TYPES:
        yield not_supported(f"{at}.type", kind, list(_TYPES))
    if kind == "array" and not schema.get("items"):
        yield required(f"{at}.items", "must be specified")
    properties, additional, items = (schema.get(name) for name in ("properties", "additionalProperties", "items"))
    if properties and additional not in (None, False):
        yield forbidden(f"{at}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    yield from _list_problems(schema, at)
    for name, child in (properties or {}).items():
        yield from _structure(child, f"{at}.properties[{name}]", "for specified object fields")
    if isinstance(additional, dict):
        yield from _structure(additional, f"{at}.additionalProperties", "for specified object fields")
    if isinstance(items, dict):
        yield from _structure(items, f"{at}.items", "for specified array items")
    if schema.get("default") is not None and kind in _TYPES:
        for cause in validated(read(schema), schema["default"], ABSENT):
            inner = "" if cause.field in ("", NOWHERE) else f".{cause.field}"
            yield Cause(cause.reason, cause.message, f"{at}.default{inner}")


def _list_problems(schema: Body, at: str) -> Iterator[Cause]:
    items = schema.get("items") or {}
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if schema.get("x-kubernetes-list-type") == "map":
        if not keys:
            text = "must not be empty if x-kubernetes-list-type is map"
            yield required(f"{at}.x-kubernetes-list-map-keys", text)
        for key in keys:
            found = (items.get("properties") or {}).get(key) or {}
            if key not in (items.get("required") or ()) and "default" not in found:
                yield required(f"{at}.items.properties[{key}].default", _KEY_TEXT)
    map_type = items.get("x-kubernetes-map-type")
    is_set = schema.get("x-kubernetes-list-type") == "set"
    if is_set and items.get("type") == "object" and map_type != "atomic":
        text = "must be atomic as item of a list with x-kubernetes-list-type=set"
        yield invalid(f"{at}.items.x-kubernetes-map-type", map_type, text)
