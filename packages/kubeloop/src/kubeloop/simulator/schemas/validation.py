"""A body against its schema: what kube-openapi's validators find, in their words.

A value that an update leaves as it was is not asked again (ratcheting), so that a stricter schema does not make old
objects unchangeable. Nothing within allOf, anyOf, oneOf and not is spared so.

Each check answers how much of the schema it found to hold: where no schema of an anyOf or oneOf holds, the causes are
those of the one that holds most.
"""

from typing import Any

import msgspec

from kubeloop.simulator.causes import (
    NOWHERE,
    invalid,
    not_supported,
    number,
    quoted,
    required,
    too_long,
    too_many,
    type_invalid,
)
from kubeloop.simulator.refusals import Cause
from kubeloop.simulator.schemas.node import ABSENT, Node

_TYPES = {str: "string", bool: "boolean", list: "array", dict: "object", float: "number"}
_INT64 = 2**63
_EXACT = 2**53 - 1  # beyond it a float is no integer to the real server
_CLOSE = 1e-9
_encode = msgspec.json.Encoder().encode
_FLOAT32 = 3.4028235677973366e38  # what rounds to no float of 32 bits


def validated(node: Node, value: Any, old: Any = ABSENT) -> list[Cause]:
    """All that is wrong, each once. `old` is the value that an update replaces."""
    found: list[Cause] = []
    _check(node, value, old, "", found)
    return list(dict.fromkeys(found))


def same(one: Any, other: Any) -> bool:
    """Equality of JSON: 1, 1.0 and true are three values."""
    if one is other:
        return True
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict | list) and _encode(one) == _encode(other):
        return True  # mostly: it is the quicker way to see it
    if isinstance(one, dict):
        return all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return all(same(first, second) for first, second in zip(one, other, strict=True))
    return True


def keyed(node: Node, items: Any) -> dict[tuple[str, ...], Any] | None:
    """The items of a list map by their keys; None for any other list."""
    if node.list_type != "map" or not isinstance(items, list):
        return None
    return {key_of(node, item): item for item in reversed(items)}


def key_of(node: Node, item: Any) -> tuple[str, ...]:
    """The key of an item of a list map."""
    return tuple(repr(item.get(key)) if isinstance(item, dict) else "" for key in node.list_keys)


def _check(node: Node, value: Any, old: Any, path: str, found: list[Cause]) -> int:
    if value is None:
        held = _check_type(node, None, path, found)
        _check_enum(node, None, path, found)
        return held
    held = 4  # so many of the real server's checks apply to any value, and count
    if _TYPES.get(type(value)) in node.types:
        held += 2
    elif node.types or node.format:
        held += 1 + _check_type(node, value, path, found)
    if node.all_of or node.any_of or node.one_of or node.not_ is not None:
        held += _check_combined(node, value, path, found)
    if isinstance(value, str):
        held += 1 if node.conforms is None else 2
        _check_string(node, value, path, found)
    elif isinstance(value, list):
        held += 2 + _check_items(node, value, old, path, found)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        held += 2
        value = value if -_INT64 <= value < _INT64 else float(value)  # as the real server reads it
        _check_number(node, value, path, found)
    if node.enum is not None:
        _check_enum(node, value, path, found)
    if isinstance(value, dict):
        held += 1 + _check_fields(node, value, old, path, found)
    return held


def _check_child(node: Node, value: Any, old: Any, path: str, found: list[Cause]) -> int:
    return 0 if old is not ABSENT and same(value, old) else _check(node, value, old, path, found)


def _check_type(node: Node, value: Any, path: str, found: list[Cause]) -> int:
    kind, kind_format = _kind(value)
    if not node.types or kind in node.types or (kind == "null" and node.nullable):
        return 1
    numeric = "number" in node.types or "integer" in node.types
    if kind == "number" and "integer" in node.types and _is_whole(value):
        return 1
    if kind == "integer" and "number" in node.types:
        return 1
    wanted, got = ",".join(node.types), kind
    if kind not in ("string", "array", "null") and node.format:
        wanted, got = node.format, kind_format
    elif kind in ("string", "array") and node.format and not numeric:
        return 1  # a string with a format may be a list, to the real server
    text = f"{path} in body must be of type {wanted}: {quoted(got)}"
    found.append(type_invalid(path or NOWHERE, got, text))
    return 0


def _kind(value: Any) -> tuple[str, str]:
    match value:
        case None:
            return "null", ""
        case bool():
            return "boolean", ""
        case int() if -_INT64 <= value < _INT64:
            return "integer", "int64"
        case int() | float():
            return "number", "float64"
        case str():
            return "string", ""
        case list():
            return "array", ""
        case _:
            return "object", ""


def _is_whole(value: float) -> bool:
    if not -_EXACT <= value <= _EXACT:
        return False
    whole = float(int(value))
    return value == whole or (whole != 0 and abs(value - whole) / (abs(value) + abs(whole)) < _CLOSE)


def _check_enum(node: Node, value: Any, path: str, found: list[Cause]) -> None:
    if node.enum and (value is None or not any(_alike(value, one) for one in node.enum)):
        found.append(not_supported(path, value, node.enum))


def _alike(value: Any, one: Any) -> bool:
    """The real server converts a float to an integer by cutting it off."""
    if isinstance(value, bool) or isinstance(one, bool):
        return value is one
    return bool((int(value) if isinstance(value, float) and isinstance(one, int) else value) == one)


def _check_string(node: Node, value: str, path: str, found: list[Cause]) -> None:
    if node.max_length is not None and len(value) > node.max_length:
        found.append(too_long(path, node.max_length))
    elif node.min_length is not None and len(value) < node.min_length:
        text = f"{path} in body should be at least {node.min_length} chars long"
        found.append(invalid(path, value, text))
    elif node.matches is not None and not node.matches(value):
        found.append(invalid(path, value, f"{path} in body should match '{node.pattern}'"))
    if node.conforms is not None and not node.conforms(value):
        text = f"{path} in body must be of type {node.format}: {quoted(value)}"
        found.append(type_invalid(path, value, text))


def _check_number(node: Node, value: float, path: str, found: list[Cause]) -> None:
    like = type(value)  # as it is, so are its bounds: those of an integer are cut off
    kind = node.types[0] if len(node.types) == 1 else ""
    if (kind == "integer" and not _fits(value, node.format)) or (node.format == "float" and not abs(value) < _FLOAT32):
        which = f"with format {node.format}" if node.format else "(default format)"
        found.append(invalid(NOWHERE, "", f"Checked value must be of type {kind} {which} in {path}"))
    if node.multiple_of is not None and not _is_multiple(value, node.multiple_of):
        factor = like(node.multiple_of)
        if factor:
            found.append(invalid(path, value, f"{path} in body should be a multiple of {number(factor)}"))
        else:
            found.append(invalid(path, 0, f"factor MultipleOf declared for {path} must be positive: 0"))
    low = None if node.minimum is None else like(node.minimum)
    if low is not None and (value <= low if node.exclusive_minimum else value < low):
        than = "greater than" if node.exclusive_minimum else "greater than or equal to"
        found.append(invalid(path, value, f"{path} in body should be {than} {number(low)}"))
    high = None if node.maximum is None else like(node.maximum)
    if high is not None and (value >= high if node.exclusive_maximum else value > high):
        than = "less than" if node.exclusive_maximum else "less than or equal to"
        found.append(invalid(path, value, f"{path} in body should be {than} {number(high)}"))


def _fits(value: float, wanted: str) -> bool:
    limit = 2**31 if wanted == "int32" else _INT64
    return float(value).is_integer() and -limit <= value < limit


def _is_multiple(value: float, factor: float) -> bool:
    if isinstance(value, int):
        return int(factor) > 0 and value % int(factor) == 0
    return _is_whole(1 / factor * value if factor < 1 else value / factor)


def _check_items(node: Node, value: list[Any], old: Any, path: str, found: list[Cause]) -> int:
    held = 0
    if node.items is not None:
        before = keyed(node, old)
        for index, item in enumerate(value):
            old_item = ABSENT if before is None else before.get(key_of(node, item), ABSENT)
            held += _check_child(node.items, item, old_item, f"{path}[{index}]", found)
    if node.min_items is not None and len(value) < node.min_items:
        text = f"{path} in body should have at least {node.min_items} items"
        found.append(invalid(path, len(value), text))
    if node.max_items is not None and len(value) > node.max_items:
        found.append(too_many(path, len(value), node.max_items))
    if node.unique_items and any(same(one, other) for i, one in enumerate(value) for other in value[:i]):
        found.append(invalid(path, "", f"{path} in body shouldn't contain duplicates"))
    return held


def _check_fields(node: Node, value: dict[str, Any], old: Any, path: str, found: list[Cause]) -> int:
    held = 0
    if node.min_properties is not None and len(value) < node.min_properties:
        text = f"{path} in body should have at least {node.min_properties} properties"
        found.append(invalid(path or NOWHERE, len(value), text))
    if node.max_properties is not None and len(value) > node.max_properties:
        found.append(too_many(path or NOWHERE, len(value), node.max_properties))
    before = old if isinstance(old, dict) else {}
    prefix = f"{path}." if path else ""
    for name, one in value.items():
        child = node.child(name)
        if child is not None:
            held += _check_child(child, one, before.get(name, ABSENT), prefix + name, found)
    for name in node.required:
        if name not in value:
            found.append(required(prefix + name))
    return held


def _check_combined(node: Node, value: Any, path: str, found: list[Cause]) -> int:
    held = 0
    if node.any_of:
        held += _best(node.any_of, value, path, found, "at least one schema (anyOf)", many=True)
    if node.one_of:
        held += _best(node.one_of, value, path, found, "one and only one schema (oneOf)", many=False)
    failed = 0
    for part in node.all_of:
        before = len(found)
        held += _check(part, value, ABSENT, path, found)
        failed += len(found) > before
    if failed:
        none = ". None validated" if failed == len(node.all_of) else ""
        found.append(invalid(NOWHERE, "", f"{quoted(path)} must validate all the schemas (allOf){none}"))
    if node.not_ is not None:
        wrong: list[Cause] = []
        _check(node.not_, value, ABSENT, path, wrong)
        if not wrong:
            found.append(invalid(NOWHERE, "", f"{quoted(path)} must not validate the schema (not)"))
    return held


def _best(parts: tuple[Node, ...], value: Any, path: str, found: list[Cause], must: str, *, many: bool) -> int:
    """Of alternatives: of the first that holds, or else of the first of those that hold most."""
    results: list[tuple[int, list[Cause]]] = []
    for part in parts:
        wrong: list[Cause] = []
        results.append((_check(part, value, ABSENT, path, wrong), wrong))
    right = [held for held, wrong in results if not wrong]
    if len(right) == 1 or (many and right):
        return right[0]
    text = f"{quoted(path)} must validate {must}"
    if not many:
        text += f". Found {len(right)} valid alternatives" if right else ". Found none valid"
    found.append(invalid(NOWHERE, "", text))
    if right:
        return 0
    held, wrong = max(results, key=lambda result: result[0])
    found.extend(wrong)
    return held
