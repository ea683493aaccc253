"""What a schema makes of a body before it is validated: unknown fields go, nulls go, defaults come.

Bodies are shared: what changes is copied, what does not is the same object as before.
"""

import copy
from typing import Any

from kubeloop.simulator.schemas.node import ABSENT, Node

_META = frozenset(("apiVersion", "kind", "metadata"))  # of a resource, also of one within another


def pruned(node: Node | None, value: Any, unknown: list[str], path: str = "", *, root: bool = False) -> Any:
    """Without the fields that the schema does not have. `unknown` gets their paths."""
    if isinstance(value, dict):
        return _pruned_object(node, value, unknown, path, root=root)
    if isinstance(value, list):
        items = node.items if node is not None else None
        if items is None and node is not None and node.preserve:
            return value
        if node is not None and node.preserve and items is not None:
            items = _preserving(items)
        found = [pruned(items, one, unknown, f"{path}[{index}]") for index, one in enumerate(value)]
        return value if all(new is one for new, one in zip(found, value, strict=True)) else found
    return value


def _preserving(node: Node) -> Node:
    """Within a list that keeps what it does not know, so do the items."""
    found = copy.copy(node)
    found.preserve = True
    return found


def _pruned_object(node: Node | None, value: dict[str, Any], unknown: list[str], path: str, *, root: bool) -> Any:
    changed: dict[str, Any] = {}
    gone: list[str] = []
    prefix = f"{path}." if path else ""
    for name, one in value.items():
        if node is not None and (root or node.embedded) and name in _META:
            continue
        if node is not None and (name in node.properties or node.open):
            new = pruned(node.child(name), one, unknown, prefix + name)
            if new is not one:
                changed[name] = new
        elif node is None or not node.preserve:
            gone.append(name)
            if path or name not in _META:
                unknown.append(prefix + name)
    if not changed and not gone:
        return value
    return {name: changed.get(name, one) for name, one in value.items() if name not in gone}


def without_nulls(node: Node | None, value: Any) -> Any:
    """Without the fields that are null, may not be, and have no default that takes its place."""
    if node is None:
        return value
    if isinstance(value, dict):
        found = {}
        for name, one in value.items():
            child = node.child(name)
            if one is None and child is not None and not child.nullable and child.default is ABSENT:
                continue
            found[name] = without_nulls(child, one) if isinstance(one, dict | list) else one
        return value if len(found) == len(value) and all(value[name] is found[name] for name in found) else found
    if isinstance(value, list) and node.items is not None:
        items = [without_nulls(node.items, one) for one in value]
        return value if all(new is one for new, one in zip(items, value, strict=True)) else items
    return value


def defaulted(node: Node | None, value: Any) -> Any:
    """With the defaults of fields that are absent, or null where that may not be; also within the defaults."""
    if node is None:
        return value
    if isinstance(value, dict):
        found = dict(value)
        for name, child in node.properties.items():
            if child.default is not ABSENT and (name not in found or (found[name] is None and not child.nullable)):
                found[name] = child.default
        for name, one in found.items():
            if isinstance(one, dict | list):
                found[name] = defaulted(node.child(name), one)
            elif one is None and name not in node.properties:
                found[name] = defaulted(node.additional, _instead_of_null(node.additional))
        return value if len(found) == len(value) and all(value[name] is found[name] for name in found) else found
    if isinstance(value, list) and node.items is not None:
        items = [defaulted(node.items, _instead_of_null(node.items) if one is None else one) for one in value]
        return value if all(new is one for new, one in zip(items, value, strict=True)) else items
    return value


def _instead_of_null(node: Node | None) -> Any:
    return None if node is None or node.nullable or node.default is ABSENT else node.default
