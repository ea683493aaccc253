"""JSON patches (RFC 6902) and JSON merge patches (RFC 7386), as kube-apiserver 1.37 applies them.

It is milder than the RFCs: `replace` adds a field that is not there, an index may be negative, `test` for null holds
of a field that is not there. Bodies are shared: what a patch does not touch is the same object as before.
"""

import copy
import re
from collections.abc import Callable
from typing import Any

from kubeloop.simulator.refusals import Body, Refusal, bad_request
from kubeloop.simulator.schemas.validation import same

MAX_OPERATIONS = 10_000
_INDEX = re.compile(r"[-+]?[0-9]{1,18}")  # as Go reads a number


class _Failed(Exception):
    """An operation does not hold; the words are those of the library that the real server uses."""


class _NoPath(Exception):
    """There is no such object or list."""


def json_patched(body: Body, operations: Any) -> Body:
    """All operations or none. Raises the refusal: 400 for what is no patch, 422 for what does not hold."""
    if not isinstance(operations, list):
        raise bad_request(f"json: cannot unmarshal {_kind(operations)} into Go value of type jsonpatch.Patch")
    if len(operations) > MAX_OPERATIONS:
        text = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        raise Refusal(413, "RequestEntityTooLarge", text)
    try:
        for operation in operations:
            if not isinstance(operation, dict):
                raise bad_request(
                    f"json: cannot unmarshal {_kind(operation)} into Go value of type jsonpatch.Operation"
                )
            body = _operated(body, operation)
    except _Failed as failed:
        text = "the server rejected our request due to an error in our request"
        raise Refusal(422, "Invalid", text, details={}) from failed
    return body


def merge_patched(body: Body, patch: Any) -> Body:
    """Null takes a field away; what is no object replaces what was there."""
    if not isinstance(patch, dict):
        text = f"json: cannot unmarshal {_kind(patch)} into Go value of type map[string]interface {{}}"
        raise bad_request(f"error decoding patch: {text}")
    return _merged(body, patch)


def _merged(body: Body, patch: Body) -> Body:
    found = dict(body)
    for name, new in patch.items():
        old = found.get(name)
        if new is None:
            found.pop(name, None)
        elif isinstance(new, dict) and isinstance(old, dict):
            found[name] = _merged(old, new)
        elif isinstance(old, dict):
            found[name] = new
        else:
            found[name] = without_nulls(new)
    return found


def without_nulls(value: Any) -> Any:
    """Without the fields that are null, at any depth; null items of lists stay."""
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value


def _operated(body: Any, operation: dict[str, Any]) -> Any:
    kind = operation.get("op")
    apply = _OPERATIONS.get(kind) if isinstance(kind, str) else None
    if apply is None:
        raise _Failed(f"Unexpected kind: {kind}")
    path = operation.get("path")
    if not isinstance(path, str):
        raise _Failed(f"{kind} operation failed to decode path: missing value")
    try:
        return apply(body, path, operation)
    except _NoPath as error:
        raise _Failed(f'{kind} operation does not apply: doc is missing path: "{path}": missing value') from error


def _add(body: Any, path: str, operation: dict[str, Any]) -> Any:
    return _inserted(body, path, operation.get("value"))


def _remove(body: Any, path: str, _: dict[str, Any]) -> Any:
    return _changed(body, _parts(path), _take)


def _replace(body: Any, path: str, operation: dict[str, Any]) -> Any:
    new = operation.get("value")
    if path == "":
        if not isinstance(new, dict | list):
            raise _Failed("replace operation value must be object or array")
        return new

    def put(inside: Any, key: str) -> None:
        inside[_index(key, len(inside) - 1) if isinstance(inside, list) else key] = new

    return _changed(body, _parts(path), put)


def _move(body: Any, path: str, operation: dict[str, Any]) -> Any:
    value = _value_at(body, _from(operation))
    return _inserted(_changed(body, _parts(_from(operation)), _take), path, value)


def _copy(body: Any, path: str, operation: dict[str, Any]) -> Any:
    return _inserted(body, path, _value_at(body, _from(operation)))


def _test(body: Any, path: str, operation: dict[str, Any]) -> Any:
    if not same(body if path == "" else _value_at(body, path), operation.get("value")):
        raise _Failed(f"testing value {path} failed: test failed")
    return body


_OPERATIONS: dict[str, Callable[[Any, str, dict[str, Any]], Any]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _inserted(body: Any, path: str, value: Any) -> Any:
    def put(inside: Any, key: str) -> None:
        if isinstance(inside, dict):
            inside[key] = value
        else:
            inside.insert(len(inside) if key == "-" else _index(key, len(inside)), value)

    return _changed(body, _parts(path), put)


def _take(inside: Any, key: str) -> None:
    if isinstance(inside, list):
        del inside[_index(key, len(inside) - 1)]
    elif key in inside:
        del inside[key]
    else:
        raise _Failed(f"Unable to remove nonexistent key: {key}: missing value")


def _from(operation: dict[str, Any]) -> str:
    path = operation.get("from")
    if not isinstance(path, str):
        raise _Failed(f"{operation['op']} operation failed to decode from: missing value")
    return path


def _parts(path: str) -> list[str]:
    found = path.split("/")
    if len(found) < 2:
        raise _NoPath
    return [part.replace("~1", "/").replace("~0", "~") for part in found[1:]]


def _value_at(body: Any, path: str) -> Any:
    """None also for a field that is not there."""
    for part in _parts(path)[:-1]:
        body = _inner(body, part)
    key = _parts(path)[-1]
    if isinstance(body, list):
        return body[_index(key, len(body) - 1)]
    return body.get(key)


def _changed(value: Any, parts: list[str], change: Callable[[Any, str], None]) -> Any:
    """A copy, as deep as the path goes, with the last object or list changed."""
    found = copy.copy(value)
    if len(parts) == 1:
        change(found, parts[0])
    else:
        key = parts[0]
        inner = _changed(_inner(value, key), parts[1:], change)
        found[_index(key, len(value) - 1) if isinstance(value, list) else key] = inner
    return found


def _inner(value: Any, key: str) -> Any:
    try:
        found = value[_index(key, len(value) - 1)] if isinstance(value, list) else value.get(key)
    except _Failed as error:
        raise _NoPath from error
    if not isinstance(found, dict | list):
        raise _NoPath
    return found


def _index(key: str, last: int) -> int:
    if not _INDEX.fullmatch(key):
        raise _Failed(f"value was not a proper array index: '{key}'")
    index = int(key)
    if not -last - 1 <= index <= last:
        raise _Failed(f"Unable to access invalid index: {index}: invalid index detected")
    return index if index >= 0 else index + last + 1


def _kind(value: Any) -> str:
    match value:
        case dict():
            return "object"
        case list():
            return "array"
        case str():
            return "string"
        case bool():
            return "bool"
        case None:
            return "null"
        case _:
            return "number"
