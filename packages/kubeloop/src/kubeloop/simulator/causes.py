"""Causes of a refusal, as the real server words them (k8s.io/apimachinery/pkg/util/validation/field)."""

import json
from typing import Any, Final

from kubeloop.simulator.refusals import Cause

NOWHERE = "<nil>"
"""The field of what the real server blames on no field."""

OMITTED: Final = object()
"""A value that is not shown."""

_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_ESCAPES |= {"\\": "\\\\", '"': '\\"'}
_EXPONENT_FROM = 6


def required(field: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", _text("Required value", detail), field)


def invalid(field: str, value: Any, detail: str) -> Cause:
    return Cause("FieldValueInvalid", _text(_with("Invalid value", value), detail), field)


def type_invalid(field: str, value: Any, detail: str) -> Cause:
    return Cause("FieldValueTypeInvalid", _text(_with("Invalid value", value), detail), field)


def not_supported(field: str, value: Any, supported: list[Any]) -> Cause:
    names = ", ".join(quoted(one if isinstance(one, str) else compact(one)) for one in supported)
    return Cause(
        "FieldValueNotSupported", _text(_with("Unsupported value", value), f"supported values: {names}"), field
    )


def too_long(field: str, limit: int) -> Cause:
    detail = f"may not be more than {limit} {'byte' if limit == 1 else 'bytes'}"
    return Cause("FieldValueTooLong", _text("Too long", detail), field)


def too_many(field: str, count: int, limit: int) -> Cause:
    detail = f"must have at most {limit} {'item' if limit == 1 else 'items'}"
    return Cause("FieldValueTooMany", _text(f"Too many: {count}", detail), field)


def forbidden(field: str, detail: str) -> Cause:
    return Cause("FieldValueForbidden", _text("Forbidden", detail), field)


def duplicate(field: str, value: Any) -> Cause:
    return Cause("FieldValueDuplicate", _with("Duplicate value", value), field)


def quoted(text: str) -> str:
    """As Go's %q."""
    return '"' + "".join(_ESCAPES.get(char) or (char if char.isprintable() else _numbered(char)) for char in text) + '"'


def number(value: float) -> str:
    """As Go's %v, which writes floats of a million and more with an exponent."""
    if isinstance(value, int):
        return str(value)
    digits = repr(value).partition("e")[0].replace(".", "").strip("-0")
    exponent = int(f"{value:e}".partition("e")[2])
    if -5 < exponent < _EXPONENT_FROM:
        return f"{value:.{max(len(digits) - exponent - 1, 0)}f}"
    return f"{value:.{max(len(digits) - 1, 0)}e}"


def compact(value: Any) -> str:
    """As Go's encoding/json."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _with(what: str, value: Any) -> str:
    if value is OMITTED:
        return what
    if isinstance(value, bool):
        return f"{what}: {'true' if value else 'false'}"
    if isinstance(value, int | float):
        return f"{what}: {number(value)}"
    return f"{what}: {quoted(value) if isinstance(value, str) else compact(value)}"


def _text(what: str, detail: str) -> str:
    return f"{what}: {detail}" if detail else what


def _numbered(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
