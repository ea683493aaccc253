"""Formats and patterns of strings, as the real server reads them (kube-openapi's strfmt, and Go's regexp)."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from kubeloop.simulator.refusals import unsupported

_TIME = re.compile(r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))\Z", re.DOTALL)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})")
_GO_DURATION = re.compile(r"[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_GO_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_SCALA_DURATION_PART = re.compile(r"(\d+)\s*([A-Za-zµ]+)", re.ASCII)
_UNITS_US = {
    "ns": 0.001,
    "us": 1,
    "µs": 1,
    "μs": 1,
    "ms": 1e3,
    "s": 1e6,
    "m": 6e7,
    "h": 3.6e9,
    "d": 8.64e10,
    "w": 6.048e11,
}
_LONG_UNITS = {"nano": "ns", "micro": "us", "milli": "ms", "sec": "s", "min": "m", "hour": "h", "day": "d", "week": "w"}
_SHORT_UNITS = {**{unit: unit for unit in ("ns", "us", "µs", "ms", "s", "m", "h", "d", "w")}, "hr": "h", "wk": "w"}
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_UUID = "[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s[0-9a-f]{3}-?[0-9a-f]{12}"


def is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text.replace("0000-", "2000-", 1))  # Go has a year 0, which was a leap year
    except ValueError:
        return False
    return True


def is_date_time(text: str) -> bool:
    """RFC 3339, as loosely as the real server takes it."""
    day, found, rest = text.lower().partition("t")
    match = _TIME.match(rest.split("t")[0])
    if not found or not is_date(day) or match is None:
        return False
    return match[1] <= "23" and match[2] <= "59" and match[3] <= "59"


def is_base64(text: str) -> bool:
    return bool(_BASE64.fullmatch(text))


def is_duration(text: str) -> bool:
    """Go's, `1h30m`, or Scala's, `2 days`."""
    return bool(_GO_DURATION.fullmatch(text)) or any(_scala_parts(text))


def _scala_parts(text: str) -> list[tuple[int, str]]:
    found = []
    for count, unit in _SCALA_DURATION_PART.findall(text):
        name = unit.lower()
        short = _SHORT_UNITS.get(name) or next((to for long, to in _LONG_UNITS.items() if name.startswith(long)), "")
        if short:
            found.append((int(count), short))
    return found


def parse_duration(text: str) -> timedelta:
    """Of what `is_duration`; to the microsecond."""
    if _GO_DURATION.fullmatch(text):
        total = sum(float(count) * _UNITS_US[unit] for count, unit in _GO_DURATION_PART.findall(text))
        return timedelta(microseconds=-total if text.startswith("-") else total)
    return timedelta(microseconds=sum(count * _UNITS_US[unit] for count, unit in _scala_parts(text)))


def parse_time(text: str) -> datetime:
    """Of what `is_date_time` or `is_date`."""
    found = datetime.fromisoformat(text.upper())
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def parse_base64(text: str) -> bytes:
    """Raises ValueError."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error


def _parse_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if ":" not in text:  # zeros in front are taken as decimal, for old times' sake
        text = re.sub(r"(^|\.)0+(?=\d)", r"\1", text)
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_cidr(text: str) -> bool:
    address, _, prefix = text.partition("/")
    ip = _parse_ip(address)
    return ip is not None and bool(re.fullmatch(r"\d{1,3}", prefix, re.ASCII)) and int(prefix) <= ip.max_prefixlen


def _matches(pattern: str, limit: int = 10**9) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: bool(compiled.fullmatch(text)) and len(text) <= limit


FORMATS: dict[str, Callable[[str], bool]] = {
    "byte": is_base64,
    "date": is_date,
    "datetime": is_date_time,
    "duration": is_duration,
    "password": lambda _: True,
    "ipv4": lambda text: "." in text and _parse_ip(text) is not None,
    "ipv6": lambda text: ":" in text and _parse_ip(text) is not None,
    "cidr": _is_cidr,
    "uuid": _matches("(?i:" + _UUID % ("[0-9a-f]", "[0-9a-f]") + ")"),
    "uuid3": _matches("(?i:" + _UUID % ("3", "[0-9a-f]") + ")"),
    "uuid4": _matches("(?i:" + _UUID % ("4", "[89ab]") + ")"),
    "uuid5": _matches("(?i:" + _UUID % ("5", "[89ab]") + ")"),
    "hexcolor": _matches("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "k8sshortname": _matches(_LABEL, 63),
    "k8slongname": _matches(rf"{_LABEL}(\.{_LABEL})*", 253),
}
"""By their names without hyphens."""

IGNORED_FORMATS = frozenset(
    ("bsonobjectid", "uri", "email", "hostname", "mac", "isbn", "isbn10", "isbn13", "creditcard", "ssn", "rgbcolor")
)
"""Those that the real server checks and this one does not."""

_PATTERN_TOKEN = re.compile(
    r"""
    \\[dDwWsS] | \\[tnfr] | \\[^\w\s]                              # punctuation means itself
  | \[\^?(?:\\[dwDWs]|\\[tnfr]|\\[^\w\s]|[^\]\\\[])+\]             # a set, without POSIX names
  | \((?:\?:)? | \) | \|
  | (?:[*+?] | \{[0-9]+(?:,[0-9]*)?\})\??(?![*+?{])                # Go has no possessive quantifiers
  | \^ | \$ | \. | [^\\\[\](){}|*+?^$.]
    """,
    re.VERBOSE | re.ASCII,
)
_PYTHONS_OWN = re.compile(r"--|&&|\|\||~~")  # within a set
_SPACES = r"\t\n\f\r "  # Go's \s: Python's has \v too


def pattern_search(pattern: str) -> Callable[[str], object]:
    """Whether a string has a match of a pattern of Go. Patterns that may mean something else in Python are refused."""
    found, at = [], 0
    while at < len(pattern):
        token = _PATTERN_TOKEN.match(pattern, at)
        if token is None or (token[0][0] == "[" and _PYTHONS_OWN.search(token[0])):
            raise unsupported(f"the pattern {pattern}, from {pattern[at:]}")
        found.append(_in_python(token[0]))
        at = token.end()
    try:
        return re.compile("".join(found), re.ASCII).search
    except re.error as error:
        raise unsupported(f"the pattern {pattern}: {error}") from error


def _in_python(token: str) -> str:
    if token.startswith("["):
        return token.replace(r"\s", _SPACES)
    return {"$": r"\Z", r"\s": f"[{_SPACES}]", r"\S": f"[^{_SPACES}]"}.get(token, token)
