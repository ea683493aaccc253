r"""JSONPath as Kubernetes understands it in a CRD's printer columns: what `kubectl get` shows of a custom resource.

Its dialect, not RFC 9535: `.a.b`, `\.` in a name, `['a']` (whose dots part it, too), `[0]`, `[-1]`, `[1:3]`,
`[0:4:2]`, `[0,2]`, `[*]`, `.*`, `..a` and filters of one comparison, `[?(@.type=="Ready")].status`. What is not there
is left out.
https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Step = Callable[[list[Any]], list[Any]]


class BadPath(Exception):
    """The text is no JSONPath."""


class Mismatch(Exception):
    """The path does not fit the value: an index of what is no list, a comparison of a text with a number."""


_TOKEN = re.compile(r"\.\.|\.(?P<wild>\*)|\.(?P<name>(?:\\.|[^.\[\]\s,$@{}\\])*)\s*|\[(?P<inside>[^\]]*)\]")
_FILTER = re.compile(r"\?\((?P<expression>.*)\)")
_COMPARISON = re.compile(r"\s*(?P<left>.+?)\s*(?P<operator>==|!=|<=|>=|<|>)\s*(?P<right>.+?)\s*")
_SLICE = re.compile(r"(-?\d+)?(?::(-?\d+)?)?(?::(-?\d+)?)?")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class JsonPath:
    """A path that was parsed once. Raises `BadPath`."""

    def __init__(self, text: str) -> None:
        self._steps = _parse(text)

    def find(self, value: Any) -> list[Any]:
        """All that it names in `value`, in order. Raises `Mismatch`."""
        found = [value]
        for step in self._steps:
            found = step(found)
        return found


def _parse(text: str) -> list[Step]:
    steps: list[Step] = []
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise BadPath(text)
        if token["inside"] is not None:
            inside, end = _bracket(text, at)
            steps += _parse_inside(inside)
            at = end
            continue
        at = token.end()
        if token[0] == "..":
            steps.append(_descend)
            text = text[:at] + "." + text[at:] if text[at : at + 1] not in (".", "[", "") else text
        elif token["wild"]:
            steps.append(_wildcard)
        elif token["name"] or text[at : at + 1] != "[":  # `.[0]` is `[0]`
            steps.append(_field(re.sub(r"\\(.)", r"\1", token["name"])))
    return steps


def _bracket(text: str, at: int) -> tuple[str, int]:
    """What is between the bracket at `at` and its own end, which is none within quotes."""
    quote = ""
    for place in range(at + 1, len(text)):
        character = text[place]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "]":
            return text[at + 1 : place], place + 1
    raise BadPath(text)


def _parse_inside(inside: str) -> list[Step]:
    if inside in ("*", ""):
        return [_items(None, None, None)]
    if found := _FILTER.fullmatch(inside):
        return [_filter(found["expression"])]
    if re.fullmatch(r"'[^']*'", inside):
        return _parse("." + inside[1:-1])
    return [_union([_parse_index(part) for part in inside.split(",")])]


def _parse_index(part: str) -> Step:
    found = _SLICE.fullmatch(part)
    if found is None or not part:
        raise BadPath(part)
    start, end, step = (None if number is None else int(number) for number in found.groups())
    return _items(start, end, step) if ":" in part else _item(start or 0)


def _field(name: str) -> Step:
    return lambda values: [value[name] for value in values if isinstance(value, dict) and name in value]


def _wildcard(values: list[Any]) -> list[Any]:
    return [child for value in values for child in _children(value)]


def _descend(values: list[Any]) -> list[Any]:
    return [each for value in values for each in _all(value)]


def _all(value: Any) -> Iterator[Any]:
    yield value
    for child in _children(value):
        yield from _all(child)


def _children(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _item(index: int) -> Step:
    return lambda values: [value[index] for value in _lists(values) if -len(value) <= index < len(value)]


def _items(start: int | None, end: int | None, step: int | None) -> Step:
    def find(values: list[Any]) -> list[Any]:
        found: list[Any] = []
        for value in _lists(values):
            if any(bound is not None and abs(bound) > len(value) for bound in (start, end)):
                raise Mismatch("array index out of bounds")
            found += value[start:end:step]
        return found

    return find


def _union(steps: list[Step]) -> Step:
    return lambda values: [each for step in steps for each in step(values)]


def _lists(values: list[Any]) -> list[list[Any]]:
    for value in values:
        if not isinstance(value, list | None):
            raise Mismatch(f"{value!r} is not a list")
    return [value for value in values if value is not None]


def _filter(expression: str) -> Step:
    comparison = _COMPARISON.fullmatch(expression)
    if comparison is None:
        if re.search(r"[=~&|!]", expression):
            raise BadPath(expression)
        exists = _operand(expression)
        return lambda values: [each for value in _lists(values) for each in value if exists(each)]
    left, right, compare = _operand(comparison["left"]), _operand(comparison["right"]), comparison["operator"]

    def holds(each: Any) -> bool:
        mine, other = left(each), right(each)
        return bool(mine) and bool(other) and _compare(mine[0], other[0], compare)

    return lambda values: [each for value in _lists(values) for each in value if holds(each)]


def _operand(text: str) -> Callable[[Any], list[Any]]:
    text = text.strip()
    if text.startswith("@"):
        return JsonPath(text[1:]).find
    if found := re.fullmatch(r"\"([^\"]*)\"|'([^']*)'", text):
        literal: Any = found[1] if found[1] is not None else found[2]
    elif text in ("true", "false"):
        literal = text == "true"
    elif re.fullmatch(r"-?\d+", text):
        literal = int(text)
    elif re.fullmatch(r"-?\d+\.\d+", text):
        literal = float(text)
    else:
        raise BadPath(text)
    return lambda _: [literal]


def _compare(left: Any, right: Any, sign: str) -> bool:
    """Only what is of one type: to Kubernetes even 1 and 1.0 are not."""
    if type(left) is not type(right) or isinstance(left, dict | list | None):
        raise Mismatch(f"{left!r} and {right!r} cannot be compared")
    return _OPERATORS[sign](left, right)
