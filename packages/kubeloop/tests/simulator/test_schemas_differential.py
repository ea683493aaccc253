"""Structural schemas against the real server: verdict, causes with their words, unknown fields and what is stored."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubeloop.simulator.structural import StructuralSchema

from .real_server import RealServer, Verdict
from .schema_samples import Body, random_schema, values

EXAMPLES = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="session")
def defined(real: RealServer) -> Callable[[str, Body], tuple[str, StructuralSchema]]:
    """A kind on the real server and its schema here, made once for each name."""
    known: dict[str, tuple[str, StructuralSchema]] = {}

    def define(name: str, spec: Body) -> tuple[str, StructuralSchema]:
        if name not in known:
            schema = {"type": "object", "properties": {"spec": spec}}
            known[name] = real.define(schema), StructuralSchema(schema)
        return known[name]

    return define


def verdict(schema: StructuralSchema, body: Body, old: Body | None = None) -> Verdict:
    """Ours."""
    stored = schema.defaulted(schema.pruned(body))
    problems = schema.problems(stored, old)
    if problems:
        return Verdict(causes=[(cause.reason, cause.field, cause.message) for cause in problems])
    ours = {name: one for name, one in stored.items() if name not in ("apiVersion", "kind", "metadata")}
    return Verdict(stored=ours, unknown=schema.unknown_fields(body))


def in_go(value: Any) -> Any:
    """Numbers as text: Go writes 1.0 as 1, and whole numbers beyond its integers as floats."""
    if isinstance(value, dict):
        return {name: in_go(one) for name, one in value.items()}
    if isinstance(value, list):
        return [in_go(one) for one in value]
    return repr(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


def check(ours: Verdict, theirs: Verdict) -> None:
    assert sorted(ours.causes) == sorted(theirs.causes)
    assert in_go(ours.stored) == in_go(theirs.stored)
    assert ours.unknown == theirs.unknown


@pytest.mark.parametrize("seed", range(4))
@EXAMPLES
@given(data=st.data())
def test_creates_end_as_on_the_real_server(real: RealServer, defined: Any, seed: int, data: st.DataObject) -> None:
    chance = random.Random(seed)
    spec = {"type": "object", "properties": {f"f{number}": random_schema(chance) for number in range(12)}}
    plural, schema = defined(f"random{seed}", spec)
    field = data.draw(st.sampled_from(sorted(spec["properties"])))
    body = {"spec": {field: data.draw(values(spec["properties"][field]))}}
    check(verdict(schema, real.object(plural, body)), real.created(plural, body))


@pytest.mark.parametrize("seed", range(4))
@settings(EXAMPLES, max_examples=40)
@given(data=st.data())
def test_updates_end_as_on_the_real_server(real: RealServer, defined: Any, seed: int, data: st.DataObject) -> None:
    chance = random.Random(seed)
    spec = {"type": "object", "properties": {f"f{number}": random_schema(chance) for number in range(12)}}
    plural, schema = defined(f"random{seed}", spec)
    field = data.draw(st.sampled_from(sorted(spec["properties"])))
    old, new = ({"spec": {field: data.draw(values(spec["properties"][field]))}} for _ in range(2))
    theirs = real.updated(plural, new, old)
    if theirs is not None:
        before = schema.defaulted(schema.pruned(real.object(plural, old)))
        check(verdict(schema, real.object(plural, new), before), theirs)


EMBEDDED: Body = {"type": "object", "x-kubernetes-embedded-resource": True}
RESOURCE: Body = {**EMBEDDED, "x-kubernetes-preserve-unknown-fields": True}
AT_LEAST: Body = {"minimum": 5}
AT_MOST: Body = {"maximum": 0}
AB: Body = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
KEEPING: Body = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
HAND_MADE: Body = {
    "type": "object",
    "properties": {
        "resource": RESOURCE,
        "closed": {**EMBEDDED, "properties": {"spec": {"type": "object"}}},
        "resources": {"type": "array", "items": RESOURCE},
        "keeping": {**KEEPING, "properties": {"known": {"type": "object", "properties": {"a": {"type": "string"}}}}},
        "list": {"type": "array", "x-kubernetes-preserve-unknown-fields": True, "items": {"type": "object"}},
        "open": {"type": "object", "additionalProperties": True},
        "nested": {"type": "object", "default": {}, "properties": {"b": {"type": "string", "default": "x"}}},
        "nulls": {"type": "array", "items": {"type": "string", "nullable": True}},
        "defaults": {"type": "array", "items": {"type": "integer", "default": 7}},
        "unique": {"type": "array", "items": KEEPING, "maxItems": 3},
        "any": {**AB, "anyOf": [{"properties": {"a": AT_LEAST}}, {"properties": {"a": AT_MOST, "b": AT_LEAST}}]},
        "one": {**AB, "oneOf": [{"properties": {"a": AT_LEAST}}, {"required": ["b"], "properties": {"b": AT_LEAST}}]},
    },
}
HAND_MADE_SPECS: list[Body] = [
    {"resource": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"x": None}}},
    {"resource": {"apiVersion": "v1", "kind": "", "spec": {}}},
    {"resource": {"spec": 1}},
    {"resource": {"apiVersion": "a/b/c", "kind": "Not A Kind"}},
    {"closed": {"apiVersion": "v1", "kind": "Pod", "spec": {"x": 1}, "status": {}}},
    {"resources": [{"apiVersion": "v1", "kind": "Pod"}, {"kind": "Pod"}, {"apiVersion": "v1"}]},
    {"keeping": {"known": {"a": "x", "b": 1}, "other": {"c": [{"d": None}]}}},
    {"list": [{"a": 1}, {"b": {"c": 2}}]},
    {"open": {"a": 1, "b": {"c": 2}, "d": [1], "e": [{"f": 1}]}},
    {"nested": None},
    {"nested": {"b": None, "c": 1}},
    {"nulls": ["a", None]},
    {"defaults": [1, None]},
    {"unique": [{"a": 1}, {"a": 1}]},
    {"any": {"a": 1, "b": 7}},
    {"any": {"a": 1}},
    {"one": {"a": 1, "b": 1}},
    {"one": {"a": 5, "b": 5}},
    {"one": {"a": 1}},
]


@pytest.mark.parametrize("spec", HAND_MADE_SPECS, ids=repr)
def test_what_is_rare_in_schemas_ends_as_on_the_real_server(real: RealServer, defined: Any, spec: Body) -> None:
    plural, schema = defined("hand-made", HAND_MADE)
    body = {"spec": spec}
    check(verdict(schema, real.object(plural, body)), real.created(plural, body))


SHORT: Body = {"type": "string", "maxLength": 2}
ITEM: Body = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "value": SHORT}}
STRICT: Body = {
    "type": "object",
    "properties": {
        "text": {**SHORT, "x-kubernetes-validations": [{"rule": "self.startsWith('a')"}]},
        "other": {"type": "string"},
        "object": {"type": "object", "properties": {"x": SHORT, "y": {"type": "string"}}, "maxProperties": 1},
        "list": {"type": "array", "items": SHORT},
        "map": {
            "type": "array",
            "items": ITEM,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
        "chosen": {"type": "string", "anyOf": [{"maxLength": 2}, {"pattern": "^a"}]},
        "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
    },
}
BEFORE: Body = {
    "text": "long",
    "object": {"x": "long", "y": "y"},
    "list": ["long", "a"],
    "map": [{"name": "a", "value": "long"}, {"name": "b", "value": "b"}],
    "chosen": "long",
    "set": ["a", "a"],
}
CHANGES: list[Body] = [
    {"other": "x"},
    {"text": "longer"},
    {"object": {"x": "long", "y": "z"}},
    {"object": {"x": "long"}},
    {"list": ["long", "b"]},
    {"map": [{"name": "b", "value": "c"}, {"name": "a", "value": "long"}]},
    {"map": [{"name": "a", "value": "longer"}]},
    {"map": [{"name": "c", "value": "long"}]},
    {"chosen": "longer"},
    {"set": ["b", "b"]},
]


@pytest.fixture(scope="session")
def tightened(real: RealServer) -> str:
    """A kind with an object that its schema would not take any more."""
    loose = {"type": "object", "properties": {"spec": KEEPING}}
    plural = real.define(loose)
    status, made, _ = real.call("POST", real.path(plural), real.object(plural, {"spec": BEFORE}))
    assert status == 201, made
    real.redefine(plural, {"type": "object", "properties": {"spec": STRICT}}, {"spec": BEFORE})
    return plural


@pytest.mark.parametrize("change", CHANGES, ids=repr)
def test_what_an_update_leaves_alone_is_not_held_to_a_stricter_schema(
    real: RealServer, tightened: str, change: Body
) -> None:
    schema = StructuralSchema({"type": "object", "properties": {"spec": STRICT}})
    new = {"spec": {**BEFORE, **change}}
    before = real.object(tightened, {"spec": BEFORE})
    check(verdict(schema, real.object(tightened, new), before), real.replaced(tightened, new))
