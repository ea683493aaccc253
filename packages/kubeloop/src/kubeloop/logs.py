"""Structured logs: a constant message and fields; in a reconcile also whose it is, which key, and which of its runs.

`reconciling` carries that as a context variable, so whatever a reconcile calls logs it without being told. Two
formatters, one line a record whatever is in it: key=value for people, JSON for machines. Times are RFC 3339 in UTC.

No state but logging's own: the fields are added by a filter on the handler, which also sees other libraries' records.
"""

import json
import logging
import math
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@dataclass(frozen=True, slots=True)
class Reconciling:
    """Which run of a reconcile this is. `key` is shown as str() makes it; `id` tells runs of one key apart."""

    controller: str
    key: object
    id: str


reconciling: ContextVar[Reconciling | None] = ContextVar("kubeloop_reconciling", default=None)


class ReconcileFields(logging.Filter):
    """Lets every record through, with the fields `controller`, `key` and `reconcile` where a reconcile logs it.

    A field that the record has of its own stays. Belongs on the handler that runs where the record is made: on the
    QueueHandler, if there is one.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        current = reconciling.get()
        if current is not None:
            fields = vars(record)
            fields.setdefault("controller", current.controller)
            fields.setdefault("key", current.key)
            fields.setdefault("reconcile", current.id)
        return True


class KeyValueFormatter(logging.Formatter):
    """`2026-01-02T03:04:05.678Z INFO kubeloop.informer the message key=default/a cause="timed out"`.

    Values (and a message of many lines) are quoted as JSON strings where they would not be one word.
    """

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        head = f"{_time(record)} {record.levelname} {record.name} "
        fields = [f"{name}={_word(value)}" for name, value in _fields(self, record).items()]
        return head + " ".join([message if message.isprintable() else json.dumps(message, ensure_ascii=False), *fields])


class JsonFormatter(logging.Formatter):
    """One JSON object a record: `time`, `level`, `logger`, `message`, then its fields, `exception` and `stack`.

    A field that has the name of one of the first four gets an underscore behind it.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in _fields(self, record).items():
            line[f"{name}_" if name in line else name] = _plain(value)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(
    level: str = "info", format: Literal["text", "json"] = "text", *, stream: TextIO | None = None
) -> None:
    """Sends the process's logs to `stream` (stderr), instead of wherever they went. Raises ValueError for an unknown
    level or format.
    """
    if format not in ("text", "json"):
        raise ValueError(f"log format {format!r}: there are text and json")
    handler = logging.StreamHandler(stream)
    handler.addFilter(ReconcileFields())
    handler.setFormatter(JsonFormatter() if format == "json" else KeyValueFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _time(record: logging.LogRecord) -> str:
    made = datetime.fromtimestamp(record.created, UTC)
    return made.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _fields(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, object]:
    fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    if record.exc_info:
        fields["exception"] = formatter.formatException(record.exc_info)
    elif record.exc_text:
        fields["exception"] = record.exc_text
    if record.stack_info:
        fields["stack"] = record.stack_info
    return fields


def _word(value: object) -> str:
    text = str(value)
    plain = text and text.isprintable() and not any(char in text for char in ' ="')
    return text if plain else json.dumps(text, ensure_ascii=False)


def _plain(value: object) -> object:
    """What JSON has a type for as it is; keys, enums, errors and all else as people read them."""
    if value is None or type(value) in (str, bool, int):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else str(value)
    if type(value) in (list, tuple):
        return [_plain(part) for part in value]  # type: ignore[attr-defined]
    if type(value) is dict:
        return {str(name): _plain(part) for name, part in value.items()}
    return str(value)
