"""Lists that are sets or maps have no duplicates (x-kubernetes-list-type); resources within have kind and version."""

import re
from typing import Any

from kubeloop.simulator.causes import duplicate, invalid, required
from kubeloop.simulator.refusals import Cause
from kubeloop.simulator.schemas.node import UNORDERED, Node
from kubeloop.simulator.schemas.validation import same

_LABEL = "[a-z]([-a-z0-9]*[a-z0-9])?"
_NO_KIND = (
    "may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric "
    "characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  "
    f"or 'abc-123', regex used for validation is '{_LABEL}')"
)


def duplicates(node: Node | None, value: Any, path: str = "") -> list[Cause]:
    """Of every second appearance; later ones are not named."""
    if node is None or not node.unordered:
        return []
    found: list[Cause] = []
    if isinstance(value, list):
        found += _duplicates_of(node, value, path)
        for index, one in enumerate(value):
            found += duplicates(node.items, one, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, one in value.items():
            if node.additional is not None:
                found += duplicates(node.additional, one, f"{path}[{name}]")
            child = node.properties.get(name)
            if child is not None and child.unordered:
                found += duplicates(child, one, f"{path}.{name}" if path else name)
    return found


def _duplicates_of(node: Node, items: list[Any], path: str) -> list[Cause]:
    if node.list_type not in UNORDERED:
        return []
    keys = items
    if node.list_type == "map":
        for index, item in enumerate(items):
            if item is not None and not isinstance(item, dict):
                return [invalid(f"{path}[{index}]", item, "must be an object for an array of list-type map")]
        keys = [{key: item[key] for key in node.list_keys if key in item} for item in (one or {} for one in items)]
    return [
        duplicate(f"{path}[{index}]", key)
        for index, key in enumerate(keys)
        if sum(same(key, one) for one in keys[:index]) == 1
    ]


def embedded_problems(node: Node | None, value: Any, path: str = "") -> list[Cause]:
    """Resources within (x-kubernetes-embedded-resource) say what they are. Their metadata is not looked at."""
    if node is None or not node.embeds:
        return []
    if isinstance(value, list):
        return [cause for i, one in enumerate(value) for cause in embedded_problems(node.items, one, f"{path}[{i}]")]
    if not isinstance(value, dict):
        return []
    found = []
    for name in ("apiVersion", "kind") if node.embedded else ():
        if name not in value:
            found.append(required(f"{path}.{name}"))
        elif not isinstance(value[name], str):
            found.append(invalid(f"{path}.{name}", value[name], "must be a string"))
        elif not value[name]:
            found.append(invalid(f"{path}.{name}", "", "must not be empty"))
        elif name == "apiVersion" and value[name].count("/") > 1:
            found.append(invalid(f"{path}.{name}", value[name], f"unexpected GroupVersion string: {value[name]}"))
        elif name == "kind" and not re.fullmatch(_LABEL, value[name].lower()):
            found.append(invalid(f"{path}.{name}", value[name], _NO_KIND))
    for name, one in value.items():
        inner = f"{path}.{name}" if path else name
        found += embedded_problems(node.child(name), one, inner if name in node.properties else f"{path}[{name}]")
    return found
