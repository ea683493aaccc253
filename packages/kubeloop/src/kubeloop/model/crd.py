"""Custom resource definitions from types.

A kind says what is special about it with class variables, all optional: `short_names`, `categories`, `printer_columns`,
`selectable_fields` (JSON paths that field selectors may use), `immutable_spec`. The rest is read off the fields: a
`status` field makes the status subresource.
"""

from dataclasses import dataclass
from typing import Any

import yaml

from kubeloop.model.base import KubeObject
from kubeloop.model.schema import schema_of


@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """A column of `kubectl get`; `type` is string, integer, boolean or date."""

    name: str
    type: str
    json_path: str
    priority: int = 0


def custom_resource_definition(kind: type[KubeObject]) -> dict[str, Any]:
    """The apiextensions.k8s.io/v1 object that serves `kind`."""
    resource = kind.resource
    version: dict[str, Any] = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _object_schema(kind)},
    }
    if "status" in kind.__struct_fields__:
        version["subresources"] = {"status": {}}
    columns: tuple[PrinterColumn, ...] = getattr(kind, "printer_columns", ())
    if columns:
        version["additionalPrinterColumns"] = [_column(column) for column in columns]
    selectable: tuple[str, ...] = getattr(kind, "selectable_fields", ())
    if selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in selectable]
    names: dict[str, Any] = {"kind": resource.kind, "plural": resource.plural, "singular": resource.kind.lower()}
    for key, values in (("shortNames", "short_names"), ("categories", "categories")):
        if getattr(kind, values, ()):
            names[key] = list(getattr(kind, values))
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "names": names,
            "versions": [version],
        },
    }


def crd_yaml(kinds: tuple[type[KubeObject], ...]) -> str:
    """The definitions as YAML documents, for `kubectl apply -f -` and for charts."""
    return yaml.safe_dump_all(
        (custom_resource_definition(kind) for kind in kinds), sort_keys=False, explicit_start=True
    )


def _object_schema(kind: type[KubeObject]) -> dict[str, Any]:
    schema = schema_of(kind)
    properties = schema["properties"]
    del properties["metadata"]  # belongs to the API server: a structural schema may only mention it
    schema["properties"] = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        **properties,
    }
    if getattr(kind, "immutable_spec", False):
        rule = {"rule": "self == oldSelf", "message": "spec is immutable: delete the object and create it anew"}
        properties["spec"]["x-kubernetes-validations"] = [rule]
    return schema


def _column(column: PrinterColumn) -> dict[str, Any]:
    found: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    if column.priority:
        found["priority"] = column.priority
    return found
