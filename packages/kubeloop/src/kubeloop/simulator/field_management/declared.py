"""Whether an applied body fits the schema, as far as merging needs it: the rest is validated afterwards."""

from typing import Any

from kubeloop.simulator.field_management.comparing import items
from kubeloop.simulator.field_management.field_sets import MalformedItem, element_text, item_element
from kubeloop.simulator.refusals import Body
from kubeloop.simulator.topology import Topology


def problems(body: Body, topology: Topology) -> list[str]:
    """In the words of the real server: `.spec.size: expected numeric (int or float), got string`."""
    return _problems(body, topology, "")


def fits(value: Any, topology: Topology) -> bool:
    return not _problems(value, topology, "")


def _problems(value: Any, topology: Topology, path: str) -> list[str]:
    misfit = _misfit(value, topology)
    if misfit:
        return [f"{path}: {misfit}"]
    if isinstance(value, dict):
        return [problem for name, inner in value.items() for problem in _of_field(name, inner, topology, path)]
    if topology.list_type == "atomic":
        each = [(f"[{index}]", item) for index, item in enumerate(items(value))]
        return [problem for text, item in each for problem in _problems(item, topology.item, path + text)]
    return _of_items(items(value), topology, path)


def _of_field(name: str, value: Any, topology: Topology, path: str) -> list[str]:
    if topology.closed and name not in topology.fields:
        return [f"{path}.{name}: field not declared in schema"]
    return _problems(value, topology.of(name), f"{path}.{name}")


def _of_items(values: list[Any], topology: Topology, path: str) -> list[str]:
    found: list[str] = []
    seen = set()
    for index, item in enumerate(values):
        try:
            element = item_element(item, topology)
        except MalformedItem as why:
            return [*found, f"{path}: element {index}: {why}"]
        text = element_text(element)
        if element in seen:
            found.append(f"{path}: duplicate entries for key {text}")
        seen.add(element)
        found += _problems(item, topology.item, path + text)
    return found


def _misfit(value: Any, topology: Topology) -> str:
    """What is wrong with the type of a value; null has every type."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match topology.type:
        case _ if value is None:
            return ""
        case "map" if not isinstance(value, dict):
            return f"expected map, got &{{{_go(value)}}}"
        case "list" if not isinstance(value, list):
            return f"expected list, got &{{{_go(value)}}}"
        case "number" if not number:
            return f"expected numeric (int or float), got {_go_type(value)}"
        case "string" if not isinstance(value, str):
            return f"expected string, got &value.valueUnstructured{{Value:{_go(value)}}}"
        case "boolean" if not isinstance(value, bool):
            return f"expected boolean, got &{{{_go(value)}}}"
        case "scalar" if isinstance(value, dict | list):
            return f"expected any scalar, got &{{{_go(value)}}}"
    return ""


def _go(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_go(inner)}' for key, inner in value.items())}]"
    if isinstance(value, list):
        return f"[{' '.join(_go(item) for item in value)}]"
    return "<nil>" if value is None else str(value)


def _go_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    return "map[string]interface {}" if isinstance(value, dict) else "[]interface {}"
