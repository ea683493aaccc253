"""What a schema makes of a body before it is validated: unknown fields go, nulls go, defaults come.

Bodies are shared: what changes is copied, what does not is the same object as before.
"""

import copy
import operator
from typing import Any

from kubeloop.simulator.schemas.node import ABSENT, Node

_META = frozenset(("apiVersion", "kind", "metadata"))  # of a resource, also of one within another


def pruned(node: Node | None, value: Any, unknown: list[str], path: str = "", *, root: bool = False) -> Any:
    """Without the fields that the schema does not have. `unknown` gets their paths."""
    if isinstance(value, dict):
        return _pruned_object(node, value, unknown, path, root=root)
    if isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        items = node.items if node is not None else None
        if node is not None and node.preserve:
            if items is None:
                return value
            items = _preserving(items)
        found = [pruned(items, one, unknown, f"{path}[{index}]") for index, one in enumerate(value)]
        return _same_list(found, value)
    return value


def _preserving(node: Node) -> Node:
    """Within a list that keeps what it does not know, so do the items."""
    found = copy.copy(node)
    found.preserve = True
    return found


def _pruned_object(node: Node | None, value: dict[str, Any], unknown: list[str], path: str, *, root: bool) -> Any:
    found = value
    prefix = f"{path}." if path else ""
    for name, one in value.items():
        if node is not None and name in _META and (root or node.embedded):
            continue
        if node is not None and (name in node.properties or node.open):
            if not isinstance(one, dict | list):
                continue
            new = pruned(node.child(name), one, unknown, prefix + name)
            if new is not one:
                found = _copied(found, value)
                found[name] = new
        elif node is None or not node.preserve:
            found = _copied(found, value)
            del found[name]
            if path or name not in _META:
                unknown.append(prefix + name)
    return found


def without_nulls(node: Node | None, value: Any) -> Any:
    """Without the fields that are null, may not be, and have no default that takes its place."""
    if node is None:
        return value
    if isinstance(value, dict):
        found = value
        for name, one in value.items():
            if one is None:
                child = node.child(name)
                if child is not None and not child.nullable and child.default is ABSENT:
                    found = _copied(found, value)
                    del found[name]
            elif isinstance(one, dict | list):
                new = without_nulls(node.child(name), one)
                if new is not one:
                    found = _copied(found, value)
                    found[name] = new
        return found
    if isinstance(value, list) and node.items is not None:
        return _same_list([without_nulls(node.items, one) for one in value], value)
    return value


def without_empties(node: Node | None, value: Any) -> Any:
    """Without the fields that are an empty list, or an empty map of a schema that names no fields."""
    if node is None:
        return value
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for name, one in value.items():
            child = node.child(name)
            if one == [] and (child is None or child.types == ("array",)):
                continue
            if one is None and child is not None and child.types == ("string",) and name not in node.properties:
                found[name] = ""  # a value of a map is there
                continue
            if one == {} and child is not None and child.open and name in node.properties:
                continue
            found[name] = without_empties(child, one) if isinstance(one, dict | list) else one
        return value if len(found) == len(value) and all(value[name] is found[name] for name in found) else found
    if isinstance(value, list) and node.items is not None:
        items = [without_empties(node.items, one) for one in value]
        return value if all(new is one for new, one in zip(items, value, strict=True)) else items
    return value


def defaulted(node: Node | None, value: Any) -> Any:
    """With the defaults of fields that are absent, or null where that may not be; also within the defaults."""
    if node is None:
        return value
    if isinstance(value, dict):
        found = value
        for name, child in node.defaults:
            if name not in found or (found[name] is None and not child.nullable):
                found = _copied(found, value)
                found[name] = child.default
        for name, one in tuple(found.items()):
            if isinstance(one, dict | list):
                new = defaulted(node.child(name), one)
            elif one is None and name not in node.properties:
                new = defaulted(node.additional, _instead_of_null(node.additional))
            else:
                continue
            if new is not one:
                found = _copied(found, value)
                found[name] = new
        return found
    if isinstance(value, list) and node.items is not None:
        items = [defaulted(node.items, _instead_of_null(node.items) if one is None else one) for one in value]
        return _same_list(items, value)
    return value


def _instead_of_null(node: Node | None) -> Any:
    return None if node is None or node.nullable or node.default is ABSENT else node.default


def _copied(found: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """What may be changed: a copy, once."""
    return dict(value) if found is value else found


def _same_list(new: list[Any], old: list[Any]) -> list[Any]:
    return old if all(map(operator.is_, new, old)) else new
