"""Custom resource definitions from types.

A kind says what is special about it with class variables, all optional: `short_names`, `categories`, `printer_columns`,
`selectable_fields` (JSON paths that field selectors may use), `immutable_spec`, `scale`, `rules` (CEL over the whole
object). The rest is read off the fields: a `status` field makes the status subresource.

Several types may be the versions of one resource. All are served unless `served` is False; exactly one is stored, so
the others say `storage = False`; `deprecation_warning` warns who uses that version. There is no conversion but None: a
field is the same in every version that has it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kubeloop.model.base import KubeObject
from kubeloop.model.markers import IMMUTABLE, VALIDATIONS
from kubeloop.model.schema import schema_of


@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """A column of `kubectl get`; `type` is string, integer, number, boolean or date."""

    name: str
    type: str
    json_path: str
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale subresource: JSON paths of the wanted and the present number of replicas, and of the selector."""

    spec_replicas_path: str = ".spec.replicas"
    status_replicas_path: str = ".status.replicas"
    label_selector_path: str = ""


def definitions_of(kinds: Iterable[type[KubeObject]]) -> tuple[dict[str, Any], ...]:
    """The definitions that serve `kinds`: one for all versions of a resource, in the order of the first."""
    resources: dict[str, list[type[KubeObject]]] = {}
    for kind in kinds:
        resources.setdefault(f"{kind.resource.plural}.{kind.resource.group}", []).append(kind)
    return tuple(custom_resource_definition(*versions) for versions in resources.values())


def custom_resource_definition(*versions: type[KubeObject]) -> dict[str, Any]:
    """The apiextensions.k8s.io/v1 object that serves these types, which are the versions of one resource.

    Raises ValueError when they are not of one resource, or not exactly one is stored; TypeError for what has no schema.
    """
    stored = [kind for kind in versions if getattr(kind, "storage", True)]
    if len(stored) != 1:
        raise ValueError(f"exactly one version is stored, not {[kind.resource.version for kind in stored]}")
    kind = stored[0]
    resource = kind.resource
    for other in (one.resource for one in versions):
        if (other.group, other.plural, other.kind, other.namespaced) != (
            resource.group,
            resource.plural,
            resource.kind,
            resource.namespaced,
        ):
            raise ValueError(f"{other} is no version of {resource}")
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
            "versions": [_version(one) for one in versions],
        },
    }


def crd_yaml(kinds: tuple[type[KubeObject], ...]) -> str:
    """The definitions as YAML documents, for `kubectl apply -f -` and for charts."""
    import yaml  # 2.5 MB that no controller in a cluster needs

    return yaml.safe_dump_all(definitions_of(kinds), sort_keys=False, explicit_start=True)


def _version(kind: type[KubeObject]) -> dict[str, Any]:
    version: dict[str, Any] = {
        "name": kind.resource.version,
        "served": getattr(kind, "served", True),
        "storage": getattr(kind, "storage", True),
        "schema": {"openAPIV3Schema": _object_schema(kind)},
    }
    warning = getattr(kind, "deprecation_warning", "")
    if warning:
        version |= {"deprecated": True, "deprecationWarning": warning}
    subresources: dict[str, Any] = {"status": {}} if "status" in kind.__struct_fields__ else {}
    scale: Scale | None = getattr(kind, "scale", None)
    if scale is not None:
        subresources["scale"] = _scale(scale)
    if subresources:
        version["subresources"] = subresources
    columns: tuple[PrinterColumn, ...] = getattr(kind, "printer_columns", ())
    if columns:
        version["additionalPrinterColumns"] = [_column(column) for column in columns]
    selectable: tuple[str, ...] = getattr(kind, "selectable_fields", ())
    if selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in selectable]
    return version


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
        rule = {"rule": IMMUTABLE, "message": "spec is immutable: delete the object and create it anew"}
        properties["spec"].setdefault(VALIDATIONS, []).append(rule)
    return schema


def _scale(scale: Scale) -> dict[str, Any]:
    found = {"specReplicasPath": scale.spec_replicas_path, "statusReplicasPath": scale.status_replicas_path}
    if scale.label_selector_path:
        found["labelSelectorPath"] = scale.label_selector_path
    return found


def _column(column: PrinterColumn) -> dict[str, Any]:
    found: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    if column.priority:
        found["priority"] = column.priority
    return found
