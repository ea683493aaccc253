"""JSON as rules see it: typed by the schema, with names that are CEL's.

Numbers are doubles, dates and durations the text that CEL reads; a field whose name is no name in CEL is escaped, one
that is null is absent; metadata is only names. For rules that compare with the old value, lists that are sets or maps
are brought in one order, since it does not count.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from kubeloop.simulator.schemas.formats import parse_base64, parse_duration, parse_time
from kubeloop.simulator.schemas.node import Node

# fmt: off
_RESERVED = frozenset((
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
    "loop", "package", "namespace", "return", "var", "void", "while",
))
# fmt: on
_PARSERS: dict[str, Callable[[str], Any]] = {
    "date-time": lambda text: parse_time(text).isoformat(),
    "date": lambda text: parse_time(text).isoformat(),
    "duration": lambda text: f"{parse_duration(text).total_seconds():f}s",
    "byte": parse_base64,
}
TIMES = {"date-time": "timestamp", "date": "timestamp", "duration": "duration"}
"""What makes a value of CEL of the text that `view` gives: the runtime takes no times from Python."""

_UNORDERED = ("set", "map")
_VISIBLE_META = ("name", "generateName")


def needs_view(node: Node) -> bool:
    """Whether the values of this schema, or below, are seen otherwise than they are."""
    return node.any(_differs)


def _differs(node: Node) -> bool:
    return (
        node.types == ("number",)
        or (node.types == ("string",) and node.format in _PARSERS)
        or node.list_type in _UNORDERED
        or node.embedded
        or any(escaped(name) != name or one.nullable for name, one in node.properties.items())
    )


def has_unordered(node: Node) -> bool:
    """Whether there are lists whose order does not count."""
    return node.any(lambda one: one.list_type in _UNORDERED)


def time_fields(node: Node) -> set[str]:
    """The names of the fields below that are times, or lists or maps of times; "" for values that have no name."""
    found: set[str] = set()
    for name, one in (*node.properties.items(), ("", node.items), ("", node.additional)):
        if one is not None:
            below = {name} if one.format in TIMES else time_fields(one)
            found |= {inner or name for inner in below}
    return found


def view(node: Node | None, value: Any, *, root: bool = False, ordered: bool = False) -> Any:
    """The value as CEL sees it. `root` is a whole resource; `ordered` is for comparison."""
    if node is None or value is None:
        return value
    if isinstance(value, dict):
        return _object(node, value, root=root or node.embedded, ordered=ordered)
    if isinstance(value, list):
        items = [view(node.items, one, ordered=ordered) for one in value]
        return sorted(items, key=_order(node)) if ordered and node.list_type in _UNORDERED else items
    if node.types == ("number",) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and node.types == ("string",) and node.format in _PARSERS:
        return _PARSERS[node.format](value)
    return value


def _object(node: Node, value: dict[str, Any], *, root: bool, ordered: bool) -> dict[str, Any]:
    found = {}
    for name, one in value.items():
        if root and name == "metadata":
            found[name] = {key: one[key] for key in _VISIBLE_META if key in one}
        elif one is None and name in node.properties:
            continue
        elif name in node.properties:
            found[escaped(name)] = view(node.properties[name], one, ordered=ordered)
        else:
            found[name] = view(node.additional, one, ordered=ordered)
    return found


def _order(node: Node) -> Callable[[Any], bytes]:
    keys = node.list_keys
    if node.list_type == "map":
        return lambda item: _bytes([item.get(escaped(key)) for key in keys] if isinstance(item, dict) else None)
    return _bytes


def _bytes(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic")


def escaped(name: str) -> str:
    """As rules write the name of a field."""
    if name in _RESERVED:
        return f"__{name}__"
    for char, word in (("__", "underscores"), (".", "dot"), ("-", "dash"), ("/", "slash")):
        name = name.replace(char, f"__{word}__") if char != "__" else name.replace(char, "\0")
    return name.replace("\0", "__underscores__")
