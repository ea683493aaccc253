"""Rules in CEL against the real server: verdict, causes, words; and what is refused because it is not known."""

from typing import Any

import pytest

from kubeloop.simulator.refusals import Refusal
from kubeloop.simulator.structural import StructuralSchema

from .real_server import RealServer
from .test_schemas_differential import check, verdict

Body = dict[str, Any]


def ruled(schema: Body, rule: str, **more: Any) -> Body:
    return {**schema, "x-kubernetes-validations": [*schema.get("x-kubernetes-validations", ()), {"rule": rule, **more}]}


INT: Body = {"type": "integer", "format": "int64"}
TEXT: Body = {"type": "string", "maxLength": 10}
TEXTS: Body = {"type": "array", "maxItems": 5, "items": TEXT}
SET: Body = {**TEXTS, "x-kubernetes-list-type": "set"}
BOUNDS: Body = {"type": "object", "properties": {"min": INT, "max": INT, "namespace": TEXT, "a-b": TEXT}}
PART: Body = {"type": "object", "required": ["name"], "properties": {"name": TEXT, "size": INT, "tags": SET}}
KEYED: Body = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
PARTS: Body = {"type": "array", "maxItems": 5, "items": PART, **KEYED}
MAP: Body = {"type": "object", "maxProperties": 3, "additionalProperties": INT}
ABSENT = object()

FIELDS: dict[str, Body] = {
    "immutable": ruled(TEXT, "self == oldSelf", message="is immutable"),
    "bounds": ruled(BOUNDS, "!has(self.min) || self.min <= self.max", message="min is at most max", fieldPath=".min"),
    "escaped": ruled(BOUNDS, "!has(self.__namespace__) || self.__namespace__ == self.a__dash__b"),
    "unlucky": ruled(ruled(INT, "self != 13", reason="FieldValueForbidden", message="unlucky"), "self % 2 == 1"),
    "grows": ruled(INT, "self >= oldSelf", messageExpression="oldSelf > 2 ? 'shrinks' : 'is ' + 'small'"),
    "optional": ruled(
        INT, "oldSelf.hasValue() ? self >= oldSelf.value() : self == 1", optionalOldSelf=True, message="starts at 1"
    ),
    "or_value": ruled(INT, "oldSelf.orValue(5) <= self", optionalOldSelf=True),
    "sizes": ruled(ruled(TEXT, "size(self) > 1"), "self.size() < 4", reason="FieldValueRequired"),
    "texts": ruled(TEXTS, "self.all(x, !x.endsWith('z')) && self.exists_one(x, x.contains('b'))"),
    "matched": ruled(TEXT, r"self.matches('^[a-z]+[0-9]?$')", messageExpression="'not ' + self"),
    "library": ruled(
        TEXT, "self.lowerAscii() == self && self.trim() == self && self.replace('a', 'b').split(',').size() < 3 "
    ),
    "filtered": ruled(MAP, "self.filter(k, self[k] > 1).size() < 2 && !('x' in self)", reason="FieldValueDuplicate"),
    "parts": ruled(PARTS, "self.exists(p, has(p.size) && p.size > 1) || size(self) == 0"),
    "kept": ruled(PARTS, "oldSelf.all(o, self.exists(n, n.name == o.name))", message="parts stay"),
    "same_parts": ruled(PARTS, "self == oldSelf"),
    "same_tags": ruled(SET, "self == oldSelf || size(self) > size(oldSelf)"),
    "each": {**PARTS, "items": ruled(PART, "!has(oldSelf.size) || self.size >= oldSelf.size")},
    "number": ruled({"type": "number"}, "self * 2.0 < 5.0 && self > 1"),
    "time": ruled({"type": "string", "format": "date-time"}, "self < timestamp('2024-06-01T00:00:00Z')"),
    "duration": ruled({"type": "string", "format": "duration"}, "self <= duration('1h')"),
    "bytes": ruled({"type": "string", "format": "byte"}, "size(self) == 3"),
    "port": ruled({"x-kubernetes-int-or-string": True}, "type(self) == int ? self > 1 : self == 'http'"),
    "nullable": ruled({"type": "object", "properties": {"n": {**INT, "nullable": True}}}, "has(self.n)"),
    "fails": ruled(BOUNDS, "self.min > 0"),
    "divides": ruled(INT, "100 / self > 1"),
    "conditional": ruled(BOUNDS, "has(self.min) ? self.min > 0 : !has(self.max)", reason="FieldValueInvalid"),
    "chosen": ruled(BOUNDS, "self.?min.orValue(3) > 2"),
    "whole": ruled(BOUNDS, "self.min == 1", fieldPath="['a-b']"),
    "map": {**MAP, "additionalProperties": ruled(INT, "self > 0")},
}
SPEC = ruled(
    {"type": "object", "properties": FIELDS},
    "!has(self.immutable) || has(oldSelf.immutable)",
    message="immutable is there from the start",
)
SCHEMA: Body = {"type": "object", "properties": {"spec": SPEC}}
NAMED = ruled(SCHEMA, "self.metadata.name.startsWith('a')")

VALUES: dict[str, list[Any]] = {
    "immutable": ["a", "b"],
    "bounds": [{}, {"min": 1}, {"min": 1, "max": 2}, {"min": 3, "max": 2}],
    "escaped": [{}, {"namespace": "a", "a-b": "a"}, {"namespace": "a", "a-b": "b"}, {"namespace": "a"}],
    "unlucky": [13, 12, 1, 26],
    "grows": [1, 2],
    "optional": [1, 2],
    "or_value": [4, 5, 6],
    "sizes": ["", "a", "ab", "abcd", "😀😀", "😀"],
    "texts": [[], ["ab"], ["ab", "ac"], ["az"], ["ab", "ab"], ["b"]],
    "matched": ["abc", "ab1", "AB", "abc\n"],
    "library": ["abc", "Abc", " a", "a,b,c"],
    "filtered": [{}, {"a": 1}, {"a": 2, "b": 3}, {"x": 1}],
    "parts": [[], [{"name": "a"}], [{"name": "a", "size": 2}], [{"name": "a", "size": 1}, {"name": "b", "size": 2}]],
    "kept": [[{"name": "a"}], [{"name": "b"}], [{"name": "b"}, {"name": "a", "size": 1}]],
    "same_parts": [
        [{"name": "a"}, {"name": "b", "tags": ["x", "y"]}],
        [{"name": "b", "tags": ["y", "x"]}, {"name": "a"}],
        [{"name": "a"}, {"name": "b", "tags": ["y"]}],
    ],
    "same_tags": [["a", "b"], ["b", "a"], ["c", "a"], ["a", "b", "c"]],
    "each": [[{"name": "a", "size": 2}], [{"name": "b", "size": 1}, {"name": "a", "size": 1}], [{"name": "a"}]],
    "number": [1, 2, 2.25, 2.5],
    "time": ["2024-01-01T00:00:00Z", "2024-06-01T02:00:00+01:00", "2024-06-01T00:00:00.5Z"],
    "duration": ["1h", "59m60s", "61m"],
    "bytes": ["YWJj", "YQ=="],
    "port": [1, 2, "http", "https"],
    "nullable": [{}, {"n": 1}, {"n": None}],
    "fails": [{}, {"min": 1}, {"min": 0}],
    "divides": [0, 1, 100],
    "conditional": [{}, {"min": 0}, {"min": 1}, {"max": 1}],
    "chosen": [{}, {"min": 2}, {"min": 3}],
    "whole": [{"min": 1}, {"min": 2}],
    "map": [{"a": 1, "b": 0}, {}],
}


@pytest.fixture(scope="session")
def ruled_kind(real: RealServer) -> str:
    return real.define(NAMED)


@pytest.mark.parametrize("field", FIELDS)
def test_rules_hold_as_on_the_real_server(real: RealServer, ruled_kind: str, field: str) -> None:
    schema = StructuralSchema(NAMED)
    for new in VALUES[field]:
        body = {"spec": {field: new}}
        check(verdict(schema, real.object(ruled_kind, body)), real.created(ruled_kind, body))
        for old in (ABSENT, *VALUES[field]):
            before = {"spec": {} if old is ABSENT else {field: old}}
            theirs = real.updated(ruled_kind, body, before)
            if theirs is not None:
                check(verdict(schema, real.object(ruled_kind, body), real.object(ruled_kind, before)), theirs)


def test_rules_are_not_asked_of_what_does_not_fit_the_schema(real: RealServer, ruled_kind: str) -> None:
    body = {"spec": {"unlucky": 13, "sizes": 1}}
    check(verdict(StructuralSchema(NAMED), real.object(ruled_kind, body)), real.created(ruled_kind, body))


@pytest.mark.parametrize(
    ("rule", "named"),
    [("isURL(self)", "isURL"), ("quantity(self).isGreaterThan(quantity('1'))", "quantity"), ("self.sum() > 1", "sum")],
)
def test_a_rule_that_calls_what_is_not_known_is_refused_with_its_name(rule: str, named: str) -> None:
    with pytest.raises(Refusal) as refused:
        StructuralSchema(ruled(TEXT, rule))
    assert refused.value.code == 501
    assert named in refused.value.message
