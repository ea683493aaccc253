"""Label and field selectors: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#api."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kubeloop.simulator.refusals import Body, bad_request

Predicate = Callable[[Body], bool]

_TOKEN = re.compile(r"\s*(==|!=|=|,|\(|\)|!|<|>|[^\s=!,()<>]+)")
_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_INTEGER = re.compile(r"[0-9]{1,18}")
_FIELD_TERM = re.compile(r"([^=!]+)(==|!=|=)((?:[^\\=,]|\\[\\=,])*)")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


@dataclass(frozen=True, slots=True)
class _Requirement:
    key: str
    wanted: frozenset[str] | None  # None: any value
    negated: bool

    above: int | None = None
    below: int | None = None

    def holds(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        if self.above is not None or self.below is not None:
            return self._compares(value)
        found = value is not None and (self.wanted is None or value in self.wanted)
        return found != self.negated

    def _compares(self, value: str | None) -> bool:
        """Of a label that is no number nothing holds."""
        if value is None or not _INTEGER.fullmatch(value):
            return False
        return int(value) > self.above if self.above is not None else int(value) < (self.below or 0)


def label_predicate(text: str) -> Predicate | None:
    """Whether an object is selected; None selects all. Raises `Refusal` (400)."""
    requirements = _Parser(text).requirements() if text.strip() else ()
    if not requirements:
        return None

    def selected(body: Body) -> bool:
        labels = body["metadata"].get("labels") or {}
        return all(one.holds(labels) for one in requirements)

    return selected


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)

    def requirements(self) -> tuple[_Requirement, ...]:
        found = [self._requirement()]
        while (token := self._next()) == ",":
            found.append(self._requirement())
        if token:
            raise bad_request(f"unable to parse requirement: found '{token}', expected: ',' or 'end of string'")
        return tuple(found)

    def _requirement(self) -> _Requirement:
        token = self._next()
        if token == "!":  # noqa: S105 - a token of the grammar
            return _Requirement(self._key(self._next()), None, negated=True)
        key = self._key(token)
        match self._peek():
            case "" | ",":
                return _Requirement(key, None, negated=False)
            case "=" | "==" | "!=" as operator:
                self._next()
                value = "" if self._peek() in ("", ",") else self._next()
                return _Requirement(key, frozenset((self._value(value),)), negated=operator == "!=")
            case "in" | "notin" as operator:
                self._next()
                return _Requirement(key, self._set(), negated=operator == "notin")
            case "<" | ">" as operator:
                self._next()
                bound = self._number(self._next())
                above, below = (bound, None) if operator == ">" else (None, bound)
                return _Requirement(key, None, negated=False, above=above, below=below)
            case other:
                known = "in, notin, =, ==, !=, gt, lt"
                raise bad_request(f"unable to parse requirement: found '{other}', expected: {known}")

    def _set(self) -> frozenset[str]:
        if (token := self._next()) != "(":
            raise bad_request(f"unable to parse requirement: found '{token}' expected: '('")
        values: list[str] = []
        while True:
            values.append("" if self._peek() in (",", ")") else self._value(self._next()))
            if (token := self._next()) == ")":
                return frozenset(values)
            if token != ",":  # noqa: S105 - a token of the grammar
                raise bad_request(f"unable to parse requirement: found '{token}', expected: ',' or ')'")

    def _key(self, token: str) -> str:
        if not _KEY.fullmatch(token):
            raise bad_request(f"unable to parse requirement: <nil>: Invalid value: {_quoted(token)}: not a label's key")
        return token

    def _value(self, token: str) -> str:
        if not _VALUE.fullmatch(token):
            raise bad_request(f"unable to parse requirement: values[0]: Invalid value: {_quoted(token)}")
        return token

    def _number(self, token: str) -> int:
        if not _INTEGER.fullmatch(token):
            why = f"values[0]: Invalid value: {_quoted(token)}: for 'Gt', 'Lt' operators, the value must be an integer"
            raise bad_request(f"unable to parse requirement: {why}")
        return int(token)

    def _next(self) -> str:
        return self._tokens.pop() if self._tokens else ""

    def _peek(self) -> str:
        return self._tokens[-1] if self._tokens else ""


def _tokens(text: str) -> list[str]:
    """Last one first."""
    return _TOKEN.findall(text)[::-1]


def _quoted(text: str) -> str:
    return f'"{text}"'


def field_predicate(text: str, paths: Mapping[str, tuple[str, ...]], unknown: Callable[[str], str]) -> Predicate | None:
    """Whether an object is selected; `paths` are the fields that may select. None selects all.

    Raises `Refusal` (400), for a field that may not select with what `unknown` says of it.
    """
    terms: list[tuple[tuple[str, ...], str, bool]] = []
    for term in re.findall(r"(?:\\.|[^,])+", text):
        found = _FIELD_TERM.fullmatch(term)
        if found is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        name, operator, value = found.groups()
        if name not in paths:
            raise bad_request(unknown(name))
        terms.append((paths[name], re.sub(r"\\(.)", r"\1", value), operator == "!="))
    if not terms:
        return None

    def selected(body: Body) -> bool:
        return all((_text_at(body, path) == value) != negated for path, value, negated in terms)

    return selected


_FALSE_WHERE_ABSENT = frozenset((("spec", "hostNetwork"),))  # the server holds it as a boolean


def _text_at(body: Any, path: tuple[str, ...]) -> str:
    for name in path:
        body = body.get(name) if isinstance(body, dict) else None
    if body is None and path in _FALSE_WHERE_ABSENT:
        return "false"
    if isinstance(body, bool):
        return "true" if body else "false"
    return "" if body is None else str(body)


def label_selector_text(selector: Body | None) -> str:
    """A LabelSelector as a label selector's text, by key; empty for one that selects all, or is not there."""
    if not selector:
        return ""
    terms = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for term in selector.get("matchExpressions") or ():
        key, operator = term["key"], term["operator"]
        values = ",".join(sorted(term.get("values") or ()))
        forms = {"Exists": key, "DoesNotExist": f"!{key}", "In": f"{key} in ({values})"}
        terms.append((key, forms.get(operator, f"{key} notin ({values})")))
    return ",".join(text for _, text in sorted(terms, key=lambda one: one[0]))
