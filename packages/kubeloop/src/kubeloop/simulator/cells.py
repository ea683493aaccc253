"""How values are shown in a table: ages, and what a CRD's printer column says of an object."""

from datetime import UTC, datetime
from typing import Any

from kubeloop.simulator.causes import compact, number
from kubeloop.simulator.jsonpath import JsonPath, Mismatch

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400

# Up to which age it is told in which unit, and in which smaller one, if that is not zero.
_BANDS = (
    (2 * _MINUTE, (1, "s"), None),
    (10 * _MINUTE, (_MINUTE, "m"), (1, "s")),
    (3 * _HOUR, (_MINUTE, "m"), None),
    (8 * _HOUR, (_HOUR, "h"), (_MINUTE, "m")),
    (48 * _HOUR, (_HOUR, "h"), None),
    (8 * _DAY, (_DAY, "d"), (_HOUR, "h")),
    (2 * _YEAR, (_DAY, "d"), None),
    (8 * _YEAR, (_YEAR, "y"), (_DAY, "d")),
)


def duration_text(seconds: float) -> str:
    """`90s`, `5m20s`, `47h`, `3d2h`, as kubectl has it; a clock that is a second off is none of the user's business."""
    if seconds <= -2:
        return "<invalid>"
    whole = max(int(seconds), 0)
    for limit, (unit, sign), smaller in _BANDS:
        if whole < limit:
            rest = whole % unit // smaller[0] if smaller else 0
            return f"{whole // unit}{sign}{rest}{smaller[1]}" if smaller and rest else f"{whole // unit}{sign}"
    return f"{whole // _YEAR}y"


def age(moment: str | None, now: datetime) -> str:
    """How long ago that time of Kubernetes' was."""
    if not moment:
        return "<unknown>"
    try:
        return duration_text((now - parse_time(moment)).total_seconds())
    except ValueError:
        return "<invalid>"


def parse_time(text: str) -> datetime:
    """A time of Kubernetes'. Raises `ValueError`, also for a date alone or a time without a zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone does not name a moment")
    return moment.astimezone(UTC)


def custom_cell(body: dict[str, Any], path: JsonPath, kind: str, now: datetime) -> Any:
    """What a printer column of that type (integer, number, string, boolean, date) shows: the first value it finds."""
    try:
        found = path.find(body)
    except Mismatch:
        return None
    if not found:
        return None
    value = found[0]
    if kind == "string":
        return text_of(value)
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "date":
        return age(value, now) if isinstance(value, str) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if kind == "integer" else value


def text_of(value: Any) -> str:
    """As Go's templates print it."""
    match value:
        case None:
            return "<no value>"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return number(value)
        case dict() | list():
            return compact(_plain(value)).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return str(value)


def _plain(value: Any) -> Any:
    """Whole numbers without a point, as Go's JSON has them."""
    match value:
        case float() if value.is_integer() and abs(value) < 1e21:
            return int(value)
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list():
            return [_plain(each) for each in value]
    return value
