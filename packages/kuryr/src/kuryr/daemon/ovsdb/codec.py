"""OVSDB's notation (RFC 7047, section 5.1) and the framing of its JSON-RPC. Pure.

Values become Python's: a map a dict, a set a tuple, a UUID its text; a set of one element may come as that element
alone, so readers of a set use `as_set`. Messages follow each other without a separator.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

_DECODER = json.JSONDecoder()
_WHITESPACE = " \t\r\n"
MAX_MESSAGE_BYTES = 64 << 20


class OvsdbFormatError(ValueError):
    """The peer does not speak OVSDB."""


def encode_map(values: Mapping[str, str]) -> list[Any]:
    return ["map", [[key, value] for key, value in values.items()]]


def encode_set(values: Iterable[Any]) -> list[Any]:
    return ["set", list(values)]


def encode_uuid(uuid: str) -> list[str]:
    return ["uuid", uuid]


def parse_value(value: Any) -> Any:
    """A column's value in Python's terms. Raises OvsdbFormatError."""
    if not isinstance(value, list):
        return value
    match value:
        case ["uuid" | "named-uuid", str(uuid)]:
            return uuid
        case ["set", list(values)]:
            return tuple(parse_value(element) for element in values)
        case ["map", list(pairs)] if all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            return {parse_value(key): parse_value(element) for key, element in pairs}
    raise OvsdbFormatError(f"not an OVSDB value: {str(value)[:80]}")


def as_set(value: Any) -> tuple[Any, ...]:
    """A parsed value of a set column, which is bare when there is exactly one."""
    return value if isinstance(value, tuple) else (value,)


class JsonStream:
    """Cuts a byte stream into JSON objects."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The messages that are complete now. Raises OvsdbFormatError."""
        self._buffer += data
        if len(self._buffer) > MAX_MESSAGE_BYTES:
            raise OvsdbFormatError(f"more than {MAX_MESSAGE_BYTES} bytes without an end of a message")
        # Every message ends with a brace: without one at the end it is not worth trying (a long first answer comes in
        # many pieces), and with one no character is cut in two.
        if not self._buffer.endswith((b"}", b"}\n")):
            return []
        try:
            text = self._buffer.decode()
        except UnicodeDecodeError as error:
            raise OvsdbFormatError("not UTF-8") from error
        messages, rest = _cut(text)
        self._buffer = bytearray(rest.encode())
        return messages


def _cut(text: str) -> tuple[list[dict[str, Any]], str]:
    messages: list[dict[str, Any]] = []
    position = 0
    while True:
        while position < len(text) and text[position] in _WHITESPACE:
            position += 1
        if position == len(text):
            return messages, ""
        if text[position] != "{":
            raise OvsdbFormatError(f"expected a JSON object, got {text[position : position + 40]!r}")
        try:
            message, position = _DECODER.raw_decode(text, position)
        except json.JSONDecodeError:
            return messages, text[position:]
        messages.append(message)
