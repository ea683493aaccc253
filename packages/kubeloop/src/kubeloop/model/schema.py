"""Structural OpenAPI v3 schemas from types:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/.

Understood: Structs, str, int, float, bool, bytes, datetime, Literal, Enum, tuple/list, dict[str, X], `int | str`,
Optional, raw JSON (msgspec.Raw, Any, dict[str, Any]: kept as it is), and the constraints, descriptions and `markers` of
`Annotated`. No `$ref` (the API server refuses it). A field without a default is required; a default that is not empty
is written into the schema, so the server fills it in. What cannot be expressed raises TypeError with the field's path.
"""

import copy
from typing import Any

import msgspec
from msgspec import inspect

from kubeloop.model.markers import IMMUTABLE, VALIDATIONS, Rule

_CONSTRAINTS = {
    "ge": "minimum",
    "le": "maximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
    "min_length": "minLength",
    "max_length": "maxLength",
}
_ITEM_COUNTS = {"min_length": "minItems", "max_length": "maxItems"}
_ENTRY_COUNTS = {"min_length": "minProperties", "max_length": "maxProperties"}
_PRESERVE = {"x-kubernetes-preserve-unknown-fields": True}
# fmt: off
_CEL_RESERVED = frozenset((
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
    "loop", "package", "namespace", "return", "var", "void", "while",
))
# fmt: on


def schema_of(of: type[msgspec.Struct]) -> dict[str, Any]:
    """The schema of a Struct. Raises TypeError for what a structural schema cannot say."""
    schema = _schema(inspect.type_info(of), of.__name__)
    _refuse_lost_transitions(schema, of.__name__)
    return schema


def _schema(info: inspect.Type, path: str) -> dict[str, Any]:
    match info:
        case inspect.Metadata():
            return _marked(_schema(info.type, path), info, path)
        case inspect.StructType():
            return _struct(info, path)
        case inspect.StrType():
            return {"type": "string", **_constraints(info, _CONSTRAINTS)}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType():
            return {"type": "integer", "format": "int64", **_constraints(info, _CONSTRAINTS), **_exclusive(info)}
        case inspect.FloatType():
            return {"type": "number", **_constraints(info, _CONSTRAINTS), **_exclusive(info)}
        case inspect.BytesType():
            return {"type": "string", "format": "byte"}
        case inspect.DateTimeType():
            return {"type": "string", "format": "date-time"}
        case inspect.VarTupleType() | inspect.ListType():
            return {"type": "array", "items": _schema(info.item_type, f"{path}[]"), **_constraints(info, _ITEM_COUNTS)}
        case inspect.DictType():
            return _map(info, path)
        case inspect.LiteralType():
            return _enum(list(info.values), path)
        case inspect.EnumType():
            return _enum([member.value for member in info.cls], path)
        case inspect.UnionType():
            return _union(info, path)
        case inspect.RawType() | inspect.AnyType():
            return dict(_PRESERVE)
        case _:
            raise TypeError(f"{path}: {type(info).__name__} has no structural schema")


def _map(info: inspect.DictType, path: str) -> dict[str, Any]:
    if not isinstance(_bare(info.key_type), inspect.StrType):
        raise TypeError(f"{path}: the keys of a map are strings")
    counts = _constraints(info, _ENTRY_COUNTS)
    if isinstance(info.value_type, inspect.AnyType):
        return {"type": "object", **_PRESERVE, **counts}
    return {"type": "object", "additionalProperties": _schema(info.value_type, f"{path}.*"), **counts}


def _enum(values: list[Any], path: str) -> dict[str, Any]:
    for of, name in ((str, "string"), (int, "integer")):
        if all(isinstance(value, of) and not isinstance(value, bool) for value in values):
            return {"type": name, "enum": sorted(values)}
    raise TypeError(f"{path}: the values of an enumeration are all strings or all integers")


def _union(info: inspect.UnionType, path: str) -> dict[str, Any]:
    others = [one for one in info.types if not isinstance(one, inspect.NoneType)]
    if any(isinstance(one, inspect.RawType) for one in others):
        raise TypeError(f"{path}: msgspec decodes nothing but null into `Raw | None`; use Any, or Raw with a default")
    nullable = {"nullable": True} if len(others) < len(info.types) else {}
    if len(others) == 1:
        return {**_schema(others[0], path), **nullable}
    if {type(one) for one in others} == {inspect.IntType, inspect.StrType}:
        return {"x-kubernetes-int-or-string": True, **nullable}
    raise TypeError(f"{path}: only `X | None` and `int | str` unions have a structural schema")


def _struct(info: inspect.StructType, path: str) -> dict[str, Any]:
    properties = {field.encode_name: _field(field, f"{path}.{field.name}") for field in info.fields}
    schema: dict[str, Any] = {"type": "object"}
    doc = (info.cls.__doc__ or "").strip()
    if doc:
        schema["description"] = " ".join(doc.split())
    if properties:
        schema["properties"] = properties
    required = [field.encode_name for field in info.fields if field.required]
    if required:
        schema["required"] = required
    rules: tuple[Rule, ...] = getattr(info.cls, "rules", ())
    found = [rule.schema() for rule in rules]
    for name, field in properties.items():
        always_there = name in required or "default" in field
        if not always_there and any(rule["rule"] == IMMUTABLE for rule in field.get(VALIDATIONS, ())):
            found.append(_neither_added_nor_removed(name))
    if found:
        schema[VALIDATIONS] = found
    return schema


def _neither_added_nor_removed(name: str) -> dict[str, Any]:
    """A field's own transition rule is not evaluated while it comes or goes, so the object has to say it."""
    cel = f"__{name}__" if name in _CEL_RESERVED else name
    return Rule(f"has(self.{cel}) == has(oldSelf.{cel})", f"{name} is immutable").schema()


def _field(field: inspect.Field, path: str) -> dict[str, Any]:
    schema = _schema(field.type, path)
    # a default equal to the empty value says nothing, and we leave such fields out when we write
    default = None if field.default is msgspec.NODEFAULT else msgspec.to_builtins(field.default)
    if default:
        schema["default"] = list(default) if isinstance(default, tuple) else default
    return schema


def _marked(schema: dict[str, Any], info: inspect.Metadata, path: str) -> dict[str, Any]:
    extra = {
        key: copy.deepcopy(value)  # a marker's, which many fields may share
        for key, value in (info.extra_json_schema or {}).items()
        if key in ("description", "format", "title") or key.startswith("x-kubernetes-")
    }
    if extra.get("x-kubernetes-list-type") == "atomic" and schema.get("type") == "object":
        del extra["x-kubernetes-list-type"]
        extra["x-kubernetes-map-type"] = "atomic"
    if "x-kubernetes-list-type" in extra and schema.get("type") != "array":
        raise TypeError(f"{path}: only a list has a list type")
    _require_keys(schema, extra.get("x-kubernetes-list-map-keys", ()), path)
    if VALIDATIONS in schema and VALIDATIONS in extra:
        extra[VALIDATIONS] = [*schema[VALIDATIONS], *extra[VALIDATIONS]]
    return {**schema, **extra}


def _require_keys(schema: dict[str, Any], keys: tuple[str, ...], path: str) -> None:
    for key in keys:
        items = schema["items"]
        if key not in items.get("required", ()) and "default" not in items.get("properties", {}).get(key, {}):
            raise TypeError(f"{path}: the key {key!r} of its items must be required or have a default")


def _refuse_lost_transitions(schema: dict[str, Any], path: str, *, lost: bool = False) -> None:
    """Below the items of a list without identity there is no oldSelf: the API server refuses such a rule."""
    if lost and any("oldSelf" in rule["rule"] for rule in schema.get(VALIDATIONS, ())):
        raise TypeError(f"{path}: no rule with oldSelf within a list that is not a list_map")
    for name, field in schema.get("properties", {}).items():
        _refuse_lost_transitions(field, f"{path}.{name}", lost=lost)
    if isinstance(schema.get("additionalProperties"), dict):
        _refuse_lost_transitions(schema["additionalProperties"], f"{path}.*", lost=lost)
    if "items" in schema:
        identified = schema.get("x-kubernetes-list-type") == "map"
        _refuse_lost_transitions(schema["items"], f"{path}[]", lost=lost or not identified)


def _bare(info: inspect.Type) -> inspect.Type:
    return info.type if isinstance(info, inspect.Metadata) else info


def _constraints(info: inspect.Type, names: dict[str, str]) -> dict[str, Any]:
    return {name: value for field, name in names.items() if (value := getattr(info, field, None)) is not None}


def _exclusive(info: inspect.IntType | inspect.FloatType) -> dict[str, Any]:
    """`gt` and `lt`, which OpenAPI v3.0 says as a bound and a boolean."""
    found: dict[str, Any] = {}
    if info.gt is not None:
        found |= {"minimum": info.gt, "exclusiveMinimum": True}
    if info.lt is not None:
        found |= {"maximum": info.lt, "exclusiveMaximum": True}
    return found
