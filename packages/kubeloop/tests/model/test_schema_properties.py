"""Schemas, types and the check for breaking changes agree, whatever the types are.

`accepts` is the part of OpenAPI's meaning that our schemas use, written independently of the code under test.
"""

import re
from itertools import product
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from kubeloop.model.base import KubeStruct
from kubeloop.model.compatibility import breaking_changes
from kubeloop.model.schema import schema_of

LEAVES: tuple[Any, ...] = (
    str,
    int,
    bool,
    float,
    str | None,
    Literal["a", "b"],
    Literal["a", "b", "c"],
    Annotated[int, Meta(ge=0)],
    Annotated[int, Meta(ge=0, le=9)],
    Annotated[str, Meta(min_length=1, max_length=3)],
    Annotated[str, Meta(pattern="^[ab]*$")],
    tuple[str, ...],
    Annotated[tuple[int, ...], Meta(max_length=2)],
    dict[str, int],
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-20, 20) | st.floats(-9, 9) | st.text("abc", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcxyz"), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def structs(draw: st.DrawFn, depth: int = 2) -> type[msgspec.Struct]:
    fields: list[Any] = []
    for name in draw(st.lists(st.sampled_from("xyz"), unique=True, max_size=3)):
        nested = depth > 0 and draw(st.booleans())
        of = draw(structs(depth=depth - 1)) if nested else draw(st.sampled_from(LEAVES))
        required = draw(st.booleans())
        fields.append((name, of) if required else (name, of | None, None))
    return msgspec.defstruct("Any", fields, bases=(KubeStruct,), frozen=True, kw_only=True)


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that the schema accepts."""
    made: st.SearchStrategy[Any]
    match schema:
        case {"enum": enum}:
            made = st.sampled_from(enum)
        case {"type": "string"}:
            made = st.text("abc", max_size=4).filter(lambda text: accepts({**schema, "nullable": False}, text))
        case {"type": "integer"}:
            made = st.integers(schema.get("minimum", -20), schema.get("maximum", 20))
        case {"type": "number"}:
            made = st.floats(-9, 9)
        case {"type": "boolean"}:
            made = st.booleans()
        case {"type": "array"}:
            made = st.lists(values(schema["items"]), max_size=schema.get("maxItems", 3))
        case {"additionalProperties": of}:
            made = st.dictionaries(st.sampled_from("abc"), values(of), max_size=3)
        case _:
            fields = {name: values(of) for name, of in schema.get("properties", {}).items()}
            needed = {name: fields.pop(name) for name in schema.get("required", ())}
            made = st.fixed_dictionaries(needed, optional=fields)
    return st.none() | made if schema.get("nullable") else made


def accepts(schema: dict[str, Any], value: Any) -> bool:
    if value is None:
        return bool(schema.get("nullable"))
    kinds: dict[str, Any] = {"string": str, "boolean": bool, "array": list, "object": dict, "number": (int, float)}
    of = kinds.get(schema["type"], int)
    if not isinstance(value, of) or (isinstance(value, bool) and of is not bool):
        return False
    length = len(value) if isinstance(value, str | list | dict) else 0
    bounds = (
        value >= schema["minimum"] if "minimum" in schema else True,
        value <= schema["maximum"] if "maximum" in schema else True,
        schema.get("minLength", schema.get("minItems", 0)) <= length,
        length <= schema.get("maxLength", schema.get("maxItems", length)),
        value in schema["enum"] if "enum" in schema else True,
        re.search(schema["pattern"], value) if "pattern" in schema else True,
    )
    if not all(bounds):
        return False
    if isinstance(value, list):
        return all(accepts(schema["items"], item) for item in value)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        rest = schema.get("additionalProperties")
        return all(name in value for name in schema.get("required", ())) and all(
            accepts(known.get(name, rest), item) for name, item in value.items() if name in known or rest
        )
    return True


def decodes(of: type[msgspec.Struct], value: Any) -> bool:
    try:
        msgspec.json.decode(msgspec.json.encode(value), type=of)
    except msgspec.ValidationError:
        return False
    return True


@given(structs(), st.data())
def test_what_the_schema_accepts_is_what_the_type_decodes(of: type[msgspec.Struct], data: st.DataObject) -> None:
    assert decodes(of, data.draw(values(schema_of(of))))


@given(structs(), st.data())
def test_whatever_the_type_can_hold_the_schema_accepts(of: type[msgspec.Struct], data: st.DataObject) -> None:
    value = data.draw(JSON)
    if isinstance(value, dict) and decodes(of, value):
        held = msgspec.json.decode(msgspec.json.encode(msgspec.convert(value, of)))
        assert accepts(schema_of(of), held)


@given(structs())
def test_a_schema_does_not_break_itself(of: type[msgspec.Struct]) -> None:
    assert breaking_changes(schema_of(of), schema_of(of)) == ()


@given(st.sampled_from(LEAVES), st.sampled_from(LEAVES), st.data())
def test_what_was_valid_stays_valid_where_no_change_is_said_to_break(old: Any, new: Any, data: st.DataObject) -> None:
    def kind(*fields: Any) -> dict[str, Any]:
        return schema_of(msgspec.defstruct("Any", fields, bases=(KubeStruct,), frozen=True, kw_only=True))

    before = kind(("x", old), ("y", data.draw(structs(depth=1))))
    grown = data.draw(st.booleans())
    after = kind(("x", new), ("y", data.draw(structs(depth=1))), *([("z", int | None, None)] if grown else []))
    if not breaking_changes(before, after):
        assert accepts(after, pruned(before, data.draw(values(before))))


@pytest.mark.parametrize(("old", "new"), list(product(LEAVES, LEAVES)))
def test_a_leaf_that_becomes_another_breaks_unless_it_only_widens(old: Any, new: Any) -> None:
    def kind(of: Any) -> type[msgspec.Struct]:
        return msgspec.defstruct("Any", [("x", of)], bases=(KubeStruct,), frozen=True, kw_only=True)

    widened = not breaking_changes(schema_of(kind(old)), schema_of(kind(new)))
    samples = ["", "a", "abc", "c", "abcd", 0, -3, 12, 0.5, True, None, [], [1], [1, 2, 3], ["a"], {}, {"a": 1}]
    valid = [accepts(schema_of(kind(old)), {"x": value}) for value in samples]
    still = [accepts(schema_of(kind(new)), {"x": value}) for value in samples]
    if widened:
        assert all(after for before, after in zip(valid, still, strict=True) if before)


def pruned(schema: dict[str, Any], value: Any) -> Any:
    """As the server stores it: without the fields that the schema does not know."""
    if isinstance(value, list):
        return [pruned(schema["items"], item) for item in value]
    if not isinstance(value, dict):
        return value
    known, rest = schema.get("properties", {}), schema.get("additionalProperties")
    return {name: pruned(known.get(name, rest), item) for name, item in value.items() if name in known or rest}
