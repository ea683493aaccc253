"""Sets of fields, and their encoding in managedFields (FieldsV1).

A path is a tuple of elements as FieldsV1 writes them: `f:` and a field's name, `k:` and the keys of a list's item, `v:`
and the value of one. A set is a frozenset of paths, so union, intersection and difference are Python's.
"""

import json
from collections.abc import Iterable
from typing import Any

from kubeloop.simulator.refusals import Body
from kubeloop.simulator.topology import Topology

Path = tuple[str, ...]
FieldSet = frozenset[Path]
EMPTY: FieldSet = frozenset()


class MalformedItem(ValueError):
    """An item of a list that cannot be told from the others."""


def parse_fields(tree: Body, topology: Topology) -> FieldSet:
    """From FieldsV1. What was owned field by field and is one value by now is owned as a whole."""
    found: list[Path] = []
    _parse(tree, topology, (), found)
    return frozenset(found)


def _parse(tree: Body, topology: Topology, path: Path, found: list[Path]) -> None:
    for element, below in tree.items():
        if element == ".":
            found.append(path)
            continue
        inner = (*path, element)
        if not below:
            found.append(inner)
            continue
        child = topology.of(element[2:]) if element[0] == "f" else topology.item
        if _is_one_value(child, below):
            found.append(inner)
        else:
            _parse(below, child, inner, found)


def _is_one_value(topology: Topology, below: Body) -> bool:
    if topology.atomic:
        return True
    return topology.list_type == "atomic" and any(element[:2] in ("k:", "v:", "i:") for element in below)


def fields_tree(fields: Iterable[Path]) -> Body:
    """FieldsV1 of a set."""
    root: Body = {}
    for path in sorted(fields):  # what is above comes first
        node = root
        for element in path[:-1]:
            node = node.setdefault(element, {})
        node[path[-1]] = {}
    # a node with others below it says by "." that it is in the set itself
    for path in fields:
        node = root
        for element in path:
            node = node[element]
        if node:
            node["."] = {}
    return root


def is_member(tree: Body) -> bool:
    """Whether the path that led to this node of FieldsV1 is in the set."""
    return not tree or "." in tree


def without_below(fields: FieldSet, prefixes: Iterable[Path]) -> FieldSet:
    """The set without these paths and all below them."""
    for prefix in prefixes:
        length = len(prefix)
        fields = frozenset(path for path in fields if path[:length] != prefix)
    return fields


def with_named(fields: FieldSet, topology: Topology) -> FieldSet:
    """With the fields that the schema names and that lead to one in the set: to remove all below is to remove them."""
    found = set(fields)
    for path in fields:
        node: Topology | None = topology
        for depth, element in enumerate(path[:-1], start=1):
            if node is None:
                break
            if element[0] == "f":
                name = element[2:]
                if name in node.fields:
                    found.add(path[:depth])
                node = node.of(name)
            else:
                node = node.item if element[0] == "k" else None
    return frozenset(found)


def item_element(item: Any, topology: Topology) -> str:
    """The element of an item in a list that is a set or has keys. Raises MalformedItem."""
    if topology.list_type == "set":
        if item is None:
            raise MalformedItem("associative list without keys has an element that's an explicit null")
        if isinstance(item, list):
            raise MalformedItem("not supported: associative list with lists as elements")
        if isinstance(item, dict):
            raise MalformedItem("associative list without keys has an element that's a map type")
        return f"v:{_text(item)}"
    if item is None:
        raise MalformedItem("associative list with keys may not have a null element")
    if not isinstance(item, dict):
        raise MalformedItem("associative list with keys may not have non-map elements")
    keys = {}
    for name in sorted(topology.list_keys):
        if name not in item and name not in topology.key_defaults:
            raise MalformedItem(
                f'associative list with keys has an element that omits key field "{name}" '
                "(and doesn't have default value)"
            )
        keys[name] = item.get(name, topology.key_defaults.get(name))
    return f"k:{_text(keys)}"


def path_text(path: Path) -> str:
    """As errors write it: `.spec.ports[port=80,protocol="TCP"].name`."""
    return "".join(element_text(element) for element in path)


def element_text(element: str) -> str:
    if element[0] == "f":
        return f".{element[2:]}"
    if element[0] == "v":
        return f"[={element[2:]}]"
    keys = json.loads(element[2:])
    return f"[{','.join(f'{name}={_text(value)}' for name, value in keys.items())}]"


def _text(value: Any) -> str:
    """Compact JSON as Go writes it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
