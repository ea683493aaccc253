"""Rules in CEL (x-kubernetes-validations), evaluated by Google's own runtime: `kubeloop[simulator]`.

A rule that calls what the runtime does not have (Kubernetes' own libraries: quantity, url, ip, isSorted, ...) is
refused with the name of the function; so is one about times within an object, which the runtime does not take. The
real server also refuses a rule whose types do not fit the schema, or that may cost too much; here such a rule is taken,
and fails where it is evaluated.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from kubeloop.simulator.causes import OMITTED, duplicate, forbidden, invalid, required
from kubeloop.simulator.refusals import Body, Cause, unsupported
from kubeloop.simulator.schemas.names import escaped
from kubeloop.simulator.schemas.node import ABSENT, Node
from kubeloop.simulator.schemas.validation import key_of, keyed, same
from kubeloop.simulator.schemas.values import TIMES, time_fields, view

_IMMUTABLE = "self == oldSelf"
_UNKNOWN_NAME = re.compile(r"undeclared reference to '([^']*)'")
_MISSING_KEY = re.compile(r'Key not found in map : "(.*)"')
_QUOTED_NAME = re.compile(r"\['((?:[^'\\])*)'\]")
_INDEX = re.compile(r"[\w)\]]\[")
_OVERLOAD = "no such overload"


class _Type(Protocol):
    def name(self) -> str: ...


class _Value(Protocol):
    def type(self) -> _Type: ...
    def value(self) -> Any: ...


class _Expression(Protocol):
    def eval(self, *, data: dict[str, Any]) -> _Value: ...


class _Environment(Protocol):
    def compile(self, expression: str) -> _Expression: ...


@dataclass(frozen=True, slots=True)
class _Rule:
    text: str
    message: str
    reason: str
    field: str  # ".size", below the value
    uses_old: bool
    optional_old: bool
    holds: _Expression | None  # None: it says that the value never changes
    tell: _Expression | None


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a value and of those below it."""

    node: Node
    rules: tuple[_Rule, ...]
    properties: "dict[str, Rules]"
    additional: "Rules | None"
    items: "Rules | None"
    root: bool  # of a whole resource
    viewed: bool  # rules see its values otherwise than they are

    @classmethod
    def of(cls, node: Node | None, *, root: bool = False) -> "Rules | None":
        """None where there are none."""
        if node is None or not node.ruled:
            return None
        properties = {name: cls.of(one) for name, one in node.properties.items()}
        return cls(
            node=node,
            rules=tuple(_compiled(rule, node) for rule in node.rules if rule.get("rule", "").strip()),
            properties={name: rules for name, rules in properties.items() if rules is not None},
            additional=cls.of(node.additional),
            items=cls.of(node.items),
            root=root or node.embedded,
            viewed=root or node.viewed,
        )

    def problems(self, value: Any, old: Any, path: str) -> list[Cause]:
        """Of the rules that do not hold. What an update leaves alone is only asked for rules with oldSelf."""
        if value is None:
            return []
        found = [cause for rule in self.rules for cause in self._problem(rule, value, old, path)]
        if isinstance(value, list) and self.items is not None:
            before = keyed(self.node, old) or {}
            for index, item in enumerate(value):
                found += self.items.problems(item, before.get(key_of(self.node, item), ABSENT), f"{path}[{index}]")
        if isinstance(value, dict):
            olds = old if isinstance(old, dict) else {}
            for name, one in value.items():
                if self.additional is not None:
                    found += self.additional.problems(one, olds.get(name, ABSENT), f"{path}[{name}]")
                if name in self.properties:
                    inner = f"{path}.{name}" if path else name
                    found += self.properties[name].problems(one, olds.get(name, ABSENT), inner)
        return found

    def _problem(self, rule: _Rule, value: Any, old: Any, path: str) -> list[Cause]:
        known = old is not ABSENT and old is not None
        if rule.uses_old and not known and not rule.optional_old:
            return []
        if known and (not rule.uses_old or rule.holds is None) and same(value, old):
            return []
        shown = OMITTED if isinstance(value, dict | list) else value
        data = {"self": self._view(value, rule), "old": [self._view(old, rule)] if known else []}
        if known:
            data["oldSelf"] = data["old"][0]
        if rule.holds is None:
            if same(data["self"], data["oldSelf"]):
                return []
        else:
            result = rule.holds.eval(data=data)
            if result.type().name() == "ERROR":
                return [invalid(path or "<nil>", _type_name(self.node), _failure(result.value(), rule))]
            if result.value() is True:
                return []
        return [_blamed(rule, path + rule.field if path else rule.field.lstrip("."), shown, _told(rule, data))]

    def _view(self, value: Any, rule: _Rule) -> Any:
        return view(self.node, value, root=self.root, ordered=rule.uses_old) if self.viewed else value


def _compiled(rule: Body, node: Node) -> _Rule:
    text = rule["rule"].strip()
    optional = bool(rule.get("optionalOldSelf"))
    uses_old = re.search(r"\boldSelf\b", text) is not None
    expression = rule.get("messageExpression", "").strip()
    plain = text == _IMMUTABLE and not optional
    if uses_old and _INDEX.search(text) and node.unordered:
        raise unsupported(f"an index into what has lists without order, in the rule {text}")
    return _Rule(
        text=text,
        message=rule.get("message", "").strip(),
        reason=rule.get("reason", ""),
        field=_QUOTED_NAME.sub(r".\1", rule.get("fieldPath", "")),
        uses_old=uses_old,
        optional_old=optional and uses_old,
        holds=None if plain else compiled(_bound(text, node, uses_old=uses_old, optional=optional)),
        tell=compiled(expression) if expression else None,
    )


def _bound(text: str, node: Node, *, uses_old: bool, optional: bool) -> str:
    """The rule with its names bound to what it expects: times, and an oldSelf that may be absent."""
    times = time_fields(node)
    if any(not name or re.search(rf"\b{re.escape(escaped(name))}\b", text) for name in times):
        raise unsupported(f"times within an object, in the rule {text}")
    made = TIMES.get(node.format, "")
    if uses_old and optional:
        old = f"old[?0].optMap(one, {made}(one))" if made else "old[?0]"
        text = f"cel.bind(oldSelf, {old}, {text})"
    elif uses_old and made:
        text = f"cel.bind(oldSelf, {made}(oldSelf), {text})"
    return f"cel.bind(self, {made}(self), {text})" if made else text


@lru_cache(maxsize=1000)
def compiled(expression: str) -> _Expression:
    """Raises the refusal of what the runtime does not know."""
    try:
        return _environment().compile(expression)
    except RuntimeError as error:
        names = _UNKNOWN_NAME.findall(str(error))
        what = ", ".join(names) if names else str(error).splitlines()[0]
        raise unsupported(f"{what} in the rule {expression}") from error


@lru_cache(maxsize=1)
def _environment() -> _Environment:
    try:
        from cel_expr_python import cel
        from cel_expr_python.ext import ext_bindings, ext_optional, ext_strings
    except ImportError as error:
        raise unsupported("rules without the package cel-expr-python: install kubeloop[simulator]") from error
    environment: _Environment = cel.NewEnv(
        variables={"self": cel.Type.DYN, "oldSelf": cel.Type.DYN, "old": cel.Type.List(cel.Type.DYN)},
        extensions=[ext_strings.ExtStrings(), ext_optional.ExtOptional(), ext_bindings.ExtBindings()],
    )
    return environment


def _type_name(node: Node) -> str:
    return node.types[0] if len(node.types) == 1 else ""


def _failure(error: str, rule: _Rule) -> str:
    """Why a rule could not be evaluated."""
    shown = rule.message or rule.text
    missing = _MISSING_KEY.search(error)
    if missing is not None:
        return f"no such key: {missing[1]} evaluating rule: {shown}"
    if "No matching overload" in error:
        what = "call arguments did not match a supported operator, function or macro signature for rule"
        return f"'{_OVERLOAD}': {what}: {shown}"
    said = error.partition(": ")[2].replace("divide by zero", "division by zero")
    return f"{said} evaluating rule: {shown}"


def _told(rule: _Rule, data: dict[str, Any]) -> str:
    if rule.tell is not None:
        result = rule.tell.eval(data=data)
        text = result.value()
        if result.type().name() == "STRING" and text.strip() and "\n" not in text.strip():
            return str(text).strip()
    return rule.message or f"failed rule: {rule.text}"


_REASONS: dict[str, Callable[[str, Any, str], Cause]] = {
    "FieldValueForbidden": lambda field, _, detail: forbidden(field, detail),
    "FieldValueRequired": lambda field, _, detail: required(field, detail),
    "FieldValueDuplicate": lambda field, value, _: duplicate(field, value),
}


def _blamed(rule: _Rule, field: str, value: Any, detail: str) -> Cause:
    return _REASONS.get(rule.reason, invalid)(field or "<nil>", value, detail)
