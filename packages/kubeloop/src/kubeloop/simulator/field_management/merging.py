"""Merging an applied body into one, and taking fields out of one."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from kubeloop.simulator.field_management.comparing import ABSENT, items, shape
from kubeloop.simulator.field_management.field_sets import is_member, item_element
from kubeloop.simulator.refusals import Body, unsupported
from kubeloop.simulator.topology import Topology


def merged(live: Any, patch: Any, topology: Topology) -> Any:
    """`live` with what `patch` says. Neither is changed, both may be shared by the answer.

    Raises MalformedItem, and the refusal of what is not supported.
    """
    if live is ABSENT or patch is ABSENT:
        return live if patch is ABSENT else patch
    match shape(patch, topology):
        case "map" if not topology.atomic:
            old, new = (value if isinstance(value, dict) else {} for value in (live, patch))
            if old or new:
                found = dict(old)
                for name, value in new.items():
                    found[name] = merged(old.get(name, ABSENT), value, topology.of(name))
                return found
        case "list" if topology.list_type != "atomic" and (items(live) or items(patch)):
            return _merged_lists(items(live), items(patch), topology)
    return patch


def _merged_lists(live: list[Any], patch: list[Any], topology: Topology) -> list[Any]:
    old = {item_element(item, topology): item for item in live}
    new = {item_element(item, topology): item for item in patch}
    if len(old) < len(live):
        raise unsupported("an apply to a list whose items cannot be told apart")
    return [
        merged(old.get(element, ABSENT), new.get(element, ABSENT), topology.item)
        for element in _merged_order(list(old), list(new))
    ]


def _merged_order(live: Sequence[str], patch: Sequence[str]) -> list[str]:
    """Items of both stand in the order of the patch, with others of the live list before and after as they were."""
    in_live, in_patch = set(live), set(patch)
    shared = deque(element for element in patch if element in in_live)
    order: dict[str, None] = {}
    left, right = deque(live), deque(patch)
    while left or right:
        if left and right and left[0] == right[0]:
            order[left.popleft()] = None
            right.popleft()
            if shared:
                shared.popleft()
        elif left and right and left[0] in in_patch and shared and shared[0] != left[0]:
            left.popleft()  # its place is the patch's
        elif left and left[0] not in in_patch:
            order[left.popleft()] = None
        else:
            if left and left[0] in order:
                left.popleft()
            if right:
                if shared and shared[0] == right[0]:
                    shared.popleft()
                order[right.popleft()] = None
    return list(order)


def without(value: Any, tree: Body, topology: Topology) -> Any:
    """The value without the fields of a set, given as FieldsV1. What is left empty is null."""
    if isinstance(value, dict):
        if topology.atomic:
            return None
        found = {}
        for name, inner in value.items():
            below = tree.get(f"f:{name}")
            if below is None:
                found[name] = inner
            elif not is_member(below):
                found[name] = without(inner, below, topology.of(name))
        return found or None
    if isinstance(value, list):
        if topology.list_type == "atomic":
            return None
        return _list_without(value, tree, topology) or None
    return value


def _list_without(values: list[Any], tree: Body, topology: Topology) -> list[Any]:
    found = []
    for item in values:
        below = tree.get(item_element(item, topology))
        if below is None:
            found.append(item)
        elif not is_member(below):
            found.append(without(item, below, topology.item))
    return found
