"""JSON as rules see it: typed by the schema, with names that are CEL's.

Numbers are doubles, dates and durations the text that CEL reads; a field whose name is no name in CEL is escaped, one
that is null is absent; metadata is only names. For rules that compare with the old value, lists that are sets or maps
are brought in one order, since it does not count.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from kubeloop.simulator.schemas.formats import parse_base64, parse_duration, parse_time
from kubeloop.simulator.schemas.names import escaped
from kubeloop.simulator.schemas.node import PARSED_FORMATS, UNORDERED, Node

_PARSERS: dict[str, Callable[[str], Any]] = {
    "date-time": lambda text: parse_time(text).isoformat(),
    "date": lambda text: parse_time(text).isoformat(),
    "duration": lambda text: f"{parse_duration(text).total_seconds():f}s",
    "byte": parse_base64,
}
TIMES = {"date-time": "timestamp", "date": "timestamp", "duration": "duration"}
"""What makes a value of CEL of the text that `view` gives: the runtime takes no times from Python."""

_VISIBLE_META = ("name", "generateName")


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
    if node is None or value is None or not (node.viewed or root):
        return value
    if isinstance(value, dict):
        return _object(node, value, root=root or node.embedded, ordered=ordered)
    if isinstance(value, list):
        items = [view(node.items, one, ordered=ordered) for one in value]
        return sorted(items, key=_order(node)) if ordered and node.list_type in UNORDERED else items
    if node.types == ("number",) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and node.format in PARSED_FORMATS:
        return _PARSERS[node.format](value)
    return value


def _object(node: Node, value: dict[str, Any], *, root: bool, ordered: bool) -> dict[str, Any]:
    found = {}
    for name, one in value.items():
        child = node.properties.get(name)
        if root and name == "metadata":
            found[name] = {key: one[key] for key in _VISIBLE_META if key in one}
        elif child is None:
            found[name] = view(node.additional, one, ordered=ordered)
        elif one is not None:
            found[escaped(name)] = view(child, one, ordered=ordered) if child.viewed else one
    return found


def _order(node: Node) -> Callable[[Any], bytes]:
    keys = node.list_keys
    if node.list_type == "map":
        return lambda item: _bytes([item.get(escaped(key)) for key in keys] if isinstance(item, dict) else None)
    return _bytes


def _bytes(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic")
