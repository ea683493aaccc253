"""Schemas, random ones and such as say one thing each, and bodies that fit them more or less."""

import random
from typing import Any

from hypothesis import strategies as st

Body = dict[str, Any]

PATTERNS = ("^[a-z]+$", r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$", r"\d{2,3}", "a|b.c", r"^(?:x|y)+\.z?$", r"[^\s/]+/\w*")
STRINGS = (
    "",
    "a",
    "b",
    "abc",
    "ab",
    "12",
    "+1.5",
    "é\n",
    "a\n",
    "x y",
    "xy.z",
    "x/",
    "ab.c",
    "\u000b",
    '"<&>\\',
    "😀😀",
    "0",
)
NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    5,
    10,
    100,
    1.0,
    1.5,
    -0.25,
    2**31,
    2**31 - 1,
    -(2**31) - 1,
    2**53,
    2**63,
    2**63 - 1,
    1e21,
    1e-7,
)
TIMES = (
    "2024-02-29T10:00:00Z",
    "2023-02-29T10:00:00Z",
    "2024-01-01t10:00:00.5+02:00",
    "2024-01-01T24:00:00Z",
    "2024-01-01",
)
FORMATTED = {
    "date-time": TIMES,
    "date": (*TIMES, "0000-02-29", "2024-13-01"),
    "duration": ("1h", "1h30m", "-2.5s", "0", "5", "2 days", "3 hrs", "x", "+.5ms"),
    "byte": ("YWJj", "YQ==", "YQ", "a b", "_-8="),
    "uuid": ("123e4567-e89b-12d3-a456-426614174000", "123E4567E89B12D3A456426614174000", "123e4567"),
    "uuid4": ("123e4567-e89b-42d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
    "ipv4": ("1.2.3.4", "1.2.3.004", "1.2.3", "::1", "256.1.1.1", "::ffff:1.2.3.4"),
    "ipv6": ("::1", "fe80::1%eth0", "1.2.3.4", "::ffff:1.2.3.4", "x"),
    "cidr": ("10.0.0.0/8", "10.0.0.1/33", "fd00::/64", "fd00::/129", "10.0.0.0"),
    "hexcolor": ("#fff", "#ffff", "00ff00"),
    "k8s-short-name": ("a-b", "a.b", "-a"),
    "k8s-long-name": ("a-b.c", "a..b", "A"),
    "password": ("x",),
    "nonsense": ("x",),
}


def random_schema(chance: random.Random, depth: int = 0) -> Body:
    """A structural schema."""
    kinds = ["string", "integer", "number", "boolean", "int-or-string", "formatted"]
    kinds += ["object", "array", "map", "object", "array"] if depth < 3 else []
    schema = _OF_KIND[chance.choice(kinds)](chance, depth)
    if chance.random() < 0.2:
        schema["nullable"] = True
    return schema


def _string(chance: random.Random, _: int) -> Body:
    schema: Body = {"type": "string"}
    match chance.randrange(7):
        case 0:
            schema["maxLength"] = chance.randrange(1, 4)
        case 1:
            schema |= {"minLength": 2, "maxLength": 3}
        case 2:
            schema["pattern"] = chance.choice(PATTERNS)
        case 3:
            schema["enum"] = ["a", "b", "abc"]
        case 4:
            schema["default"] = chance.choice(["a", "abc"])
        case 5:
            schema["oneOf"] = [{"minLength": 3}, {"pattern": "^a"}, {"maxLength": 1}]
    return schema


def _formatted(chance: random.Random, _: int) -> Body:
    return {"type": "string", "format": chance.choice(list(FORMATTED))}


def _number(kind: str, chance: random.Random) -> Body:
    schema: Body = {"type": kind}
    match chance.randrange(7):
        case 0:
            schema |= {"minimum": 1, "maximum": 5}
        case 1:
            schema |= {"minimum": 1, "exclusiveMinimum": True, "maximum": 5, "exclusiveMaximum": True}
        case 2:
            schema["multipleOf"] = 2 if kind == "integer" else 0.25
        case 3:
            schema["format"] = chance.choice(["int32", "int64"] if kind == "integer" else ["float", "double"])
        case 4:
            schema |= {"default": 3, "enum": [1, 2, 3]}
        case 5:
            schema |= {"allOf": [{"minimum": 1}, {"multipleOf": 2}], "not": {"minimum": 50}}
    return schema


def _object(chance: random.Random, depth: int) -> Body:
    names = chance.sample(["alpha", "beta", "gamma", "namespace", "a-b"], chance.randrange(1, 4))
    schema: Body = {"type": "object", "properties": {name: random_schema(chance, depth + 1) for name in names}}
    match chance.randrange(8):
        case 0 | 1:
            schema["required"] = names[:1]
        case 2:
            schema["x-kubernetes-preserve-unknown-fields"] = True
        case 3:
            schema |= {"minProperties": 1, "maxProperties": 2}
        case 4:
            schema["default"] = {}
        case 5:
            schema["anyOf"] = [{"required": [name]} for name in names]
        case 6:
            schema |= {"oneOf": [{"required": [name]} for name in names], "x-kubernetes-map-type": "atomic"}
    return schema


def _map(chance: random.Random, depth: int) -> Body:
    schema: Body = {"type": "object", "additionalProperties": random_schema(chance, depth + 1)}
    return {**schema, "maxProperties": 1} if chance.random() < 0.3 else schema


def _array(chance: random.Random, depth: int) -> Body:
    match chance.randrange(5):
        case 0:
            return {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}
        case 1:
            key: Body = {"type": "string", **({"default": "a"} if chance.random() < 0.5 else {})}
            item: Body = {"type": "object", "properties": {"name": key, "value": random_schema(chance, depth + 1)}}
            if "default" not in key:
                item["required"] = ["name"]
            return {
                "type": "array",
                "items": item,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            }
        case 2:
            return {"type": "array", "items": random_schema(chance, depth + 1), "minItems": 1, "maxItems": 2}
        case _:
            return {"type": "array", "items": random_schema(chance, depth + 1)}


_OF_KIND = {
    "string": _string,
    "formatted": _formatted,
    "integer": lambda chance, _: _number("integer", chance),
    "number": lambda chance, _: _number("number", chance),
    "boolean": lambda chance, _: {"type": "boolean", **({"default": True} if chance.random() < 0.3 else {})},
    "int-or-string": lambda chance, _: {"x-kubernetes-int-or-string": True},
    "object": _object,
    "map": _map,
    "array": _array,
}

ANYTHING = st.sampled_from(
    [None, None, True, "", "abc", 1, 1.5, [], ["a", "a"], [None], [[1]], {}, {"alpha": 1}, {"x": None}, [{"name": "a"}]]
)


@st.composite
def values(draw: st.DrawFn, schema: Body) -> Any:
    """Mostly of the right type."""
    if draw(st.integers(0, 11)) == 0:
        return draw(ANYTHING)
    match schema.get("type"):
        case "string":
            return draw(st.sampled_from([*FORMATTED.get(schema.get("format", ""), STRINGS), *schema.get("enum", ())]))
        case "integer" | "number":
            return draw(st.sampled_from(NUMBERS))
        case "boolean":
            return draw(st.booleans())
        case "array":
            return draw(st.lists(values(schema["items"]), max_size=3))
        case "object" if "additionalProperties" in schema:
            names = st.sampled_from(["alpha", "x.y", "z"])
            return draw(st.dictionaries(names, values(schema["additionalProperties"]), max_size=2))
        case "object":
            fields = {name: values(one) for name, one in schema["properties"].items()}
            unknown = {"unknown": ANYTHING} if draw(st.integers(0, 3)) == 0 else {}
            return draw(st.fixed_dictionaries({}, optional={**fields, **unknown}))
        case _:
            return draw(st.sampled_from([*NUMBERS, *STRINGS]))
