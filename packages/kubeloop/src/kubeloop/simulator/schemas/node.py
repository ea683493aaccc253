"""A structural schema, read once into nodes. What the simulator cannot evaluate is refused here, by its name.

Whether a schema is structural is not asked: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kubeloop.simulator.refusals import Body, unsupported
from kubeloop.simulator.schemas.formats import FORMATS, IGNORED_FORMATS, pattern_search
from kubeloop.simulator.schemas.names import escaped
from kubeloop.simulator.topology import AppliedType, Topology

ABSENT: Any = object()
"""In place of a value that is not there: null is a value."""

UNORDERED = ("set", "map")
"""Types of lists."""

PARSED_FORMATS = frozenset(("date-time", "date", "duration", "byte"))
"""Of strings that are more than text to rules."""

_SAYS_NOTHING = {"description", "title", "example", "externalDocs", "id", "$schema"}
_NUMERIC_FORMATS = {"integer": ("int32", "int64"), "number": ("float", "double")}


@dataclass(slots=True, eq=False)
class Node:
    """The schema of one value."""

    types: tuple[str, ...] = ()
    format: str = ""
    nullable: bool = False
    default: Any = ABSENT  # never null: that is none
    properties: dict[str, "Node"] = field(default_factory=dict)
    additional: "Node | None" = None
    open: bool = False  # additionalProperties is given: true, or a schema
    items: "Node | None" = None
    required: tuple[str, ...] = ()
    preserve: bool = False
    embedded: bool = False

    enum: list[Any] | None = None
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str = ""
    matches: Callable[[str], object] | None = None
    conforms: Callable[[str], bool] | None = None  # to a format of strings
    min_items: int | None = None
    max_items: int | None = None
    unique_items: bool = False
    min_properties: int | None = None
    max_properties: int | None = None
    all_of: tuple["Node", ...] = ()
    any_of: tuple["Node", ...] = ()
    one_of: tuple["Node", ...] = ()
    not_: "Node | None" = None

    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    map_type: str = ""
    rules: list[Body] = field(default_factory=list)

    defaults: tuple[tuple[str, "Node"], ...] = ()  # the properties that have one

    # of what is here or below
    unordered: bool = False  # lists whose order does not count
    ruled: bool = False
    viewed: bool = False  # rules see its values otherwise than they are
    embeds: bool = False

    def child(self, name: str) -> "Node | None":
        """The schema of a field, by its name or as any other."""
        return self.properties.get(name) or self.additional


def read(schema: Body) -> Node:
    """Raises the refusal of what is not supported."""
    node = Node()
    for key, value in schema.items():
        reader = _READERS.get(key)
        if reader is not None:
            reader(node, value)
        elif key not in _SAYS_NOTHING:
            raise unsupported(f"{key} in a schema")
    _read_format(node)
    bounds = (node.minimum, node.maximum, node.multiple_of)
    if node.types == ("integer",) and any(isinstance(bound, float) for bound in bounds):
        raise unsupported("bounds with fractions of an integer")
    _sum_up(node)
    return node


def _sum_up(node: Node) -> None:
    """What is asked of whole trees, so that nobody has to walk them again."""
    below = [one for one in (*node.properties.values(), node.additional, node.items) if one is not None]
    node.defaults = tuple((name, one) for name, one in node.properties.items() if one.default is not ABSENT)
    node.unordered = node.list_type in UNORDERED or any(one.unordered for one in below)
    node.ruled = bool(node.rules) or any(one.ruled for one in below)
    node.embeds = node.embedded or any(one.embeds for one in below)
    node.viewed = (
        node.types == ("number",)
        or node.format in PARSED_FORMATS
        or node.list_type in UNORDERED
        or node.embedded
        or any(one.viewed or one.nullable or escaped(name) != name for name, one in node.properties.items())
        or any(one.viewed for one in below)
    )


def topology_of(node: Node, *, preserving: bool = False) -> Topology:
    """What server-side apply may merge: https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy."""
    preserving = preserving or node.preserve  # all that is below
    each = node.items or node.additional
    inner = node.items.properties if node.items is not None else {}
    defaults = {key: inner[key].default for key in node.list_keys if key in inner and inner[key].default is not ABSENT}
    return Topology(
        type=_applied_type(node),
        closed=bool(node.properties) and not node.open and not preserving,
        atomic=node.map_type == "atomic",
        list_type="map" if node.list_type == "map" else "set" if node.list_type == "set" else "atomic",
        list_keys=node.list_keys,
        key_defaults=defaults,
        fields={name: topology_of(child, preserving=preserving) for name, child in node.properties.items()},
        each=topology_of(each, preserving=preserving) if each is not None else None,
    )


def _applied_type(node: Node) -> AppliedType:
    """Strings of a format that it does not know are any scalar to server-side apply."""
    match node.types:
        case ("string",) if node.format not in ("", "byte"):
            return "scalar"
        case ("string" | "boolean" | "number" as only,):
            return only
        case (("integer" | "object" | "array") as only,):
            return _APPLIED_AS[only]
    return "any"


_APPLIED_AS: dict[str, AppliedType] = {"integer": "number", "object": "map", "array": "list"}


_KNOWN_TYPES = ("", "array", "boolean", "integer", "number", "object", "string")


def _read_format(node: Node) -> None:
    """The real server ignores formats that it does not know, and those of another type."""
    kind = node.types[0] if len(node.types) == 1 else ""
    if kind in ("", "string") and not kind == node.format == "":
        name = node.format.replace("-", "")
        if name in IGNORED_FORMATS:
            raise unsupported(f"the format {node.format}")
        node.conforms = FORMATS.get(name)
        node.format = node.format if node.conforms else ""
    elif node.format not in _NUMERIC_FORMATS.get(kind, ()):
        node.format = ""


def _read_types(node: Node, value: str) -> None:
    if value not in _KNOWN_TYPES:
        raise unsupported(f"the type {value} in a schema")
    if not node.types:  # int-or-string says more
        node.types = (value,) if value else ()


def _read_int_or_string(node: Node, value: bool) -> None:
    if value:
        node.types = ("integer", "string")


def _read_additional(node: Node, value: Any) -> None:
    if value is False:
        raise unsupported("additionalProperties: false in a schema")
    node.open = True
    node.additional = read(value) if isinstance(value, dict) else None


def _read_pattern(node: Node, value: str) -> None:
    node.pattern = value
    node.matches = pattern_search(value) if value else None


def _setter(name: str) -> Callable[[Node, Any], None]:
    return lambda node, value: setattr(node, name, value)


def _bound(name: str) -> Callable[[Node, Any], None]:
    return lambda node, value: setattr(node, name, int(value) if value == int(value) else float(value))


def _several(name: str) -> Callable[[Node, Any], None]:
    return lambda node, value: setattr(node, name, tuple(read(one) for one in value))


_READERS: dict[str, Callable[[Node, Any], None]] = {
    "x-kubernetes-int-or-string": _read_int_or_string,
    "type": _read_types,
    "format": _setter("format"),
    "nullable": _setter("nullable"),
    "default": lambda node, value: setattr(node, "default", ABSENT if value is None else value),
    "properties": lambda node, value: node.properties.update({name: read(one) for name, one in value.items()}),
    "additionalProperties": _read_additional,
    "items": lambda node, value: setattr(node, "items", read(value)),
    "required": lambda node, value: setattr(node, "required", tuple(value)),
    "x-kubernetes-preserve-unknown-fields": _setter("preserve"),
    "x-kubernetes-embedded-resource": _setter("embedded"),
    "enum": _setter("enum"),
    "minimum": _bound("minimum"),
    "maximum": _bound("maximum"),
    "multipleOf": _bound("multiple_of"),
    "exclusiveMinimum": _setter("exclusive_minimum"),
    "exclusiveMaximum": _setter("exclusive_maximum"),
    "minLength": _setter("min_length"),
    "maxLength": _setter("max_length"),
    "pattern": _read_pattern,
    "minItems": _setter("min_items"),
    "maxItems": _setter("max_items"),
    "uniqueItems": _setter("unique_items"),
    "minProperties": _setter("min_properties"),
    "maxProperties": _setter("max_properties"),
    "allOf": _several("all_of"),
    "anyOf": _several("any_of"),
    "oneOf": _several("one_of"),
    "not": lambda node, value: setattr(node, "not_", read(value)),
    "x-kubernetes-list-type": _setter("list_type"),
    "x-kubernetes-list-map-keys": lambda node, value: setattr(node, "list_keys", tuple(value)),
    "x-kubernetes-map-type": _setter("map_type"),
    "x-kubernetes-validations": _setter("rules"),
}
