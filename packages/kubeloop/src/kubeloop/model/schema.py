"""Structural OpenAPI v3 schemas from types:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/.

Understood: Structs, str, int, float, bool, Literal, Enum, tuple/list, dict[str, X], Optional, and the constraints and
descriptions of `Annotated[..., msgspec.Meta]`. No `$ref` (the API server refuses it). A field without a default is
required; a scalar default is written into the schema, so the server fills it in. What cannot be expressed raises
TypeError with the field's path.
"""

from typing import Any

import msgspec
from msgspec import inspect

_CONSTRAINTS = {
    "ge": "minimum",
    "le": "maximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
    "min_length": "minLength",
    "max_length": "maxLength",
}
_ITEM_COUNTS = {"min_length": "minItems", "max_length": "maxItems"}


def schema_of(of: type[msgspec.Struct]) -> dict[str, Any]:
    """The schema of a Struct."""
    return _schema(inspect.type_info(of), of.__name__)


def _schema(info: inspect.Type, path: str) -> dict[str, Any]:
    match info:
        case inspect.Metadata():
            return _described(_schema(info.type, path), info)
        case inspect.StructType():
            return _struct(info, path)
        case inspect.StrType():
            return {"type": "string", **_constraints(info, _CONSTRAINTS)}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType():
            return {"type": "integer", "format": "int64", **_constraints(info, _CONSTRAINTS)}
        case inspect.FloatType():
            return {"type": "number", **_constraints(info, _CONSTRAINTS)}
        case inspect.VarTupleType() | inspect.ListType():
            return {"type": "array", "items": _schema(info.item_type, f"{path}[]"), **_constraints(info, _ITEM_COUNTS)}
        case inspect.DictType():
            return {"type": "object", "additionalProperties": _schema(info.value_type, f"{path}.*")}
        case inspect.LiteralType():
            return {"type": "string", "enum": sorted(map(str, info.values))}
        case inspect.EnumType():
            return {"type": "string", "enum": [str(member.value) for member in info.cls]}
        case inspect.UnionType():
            return _optional(info, path)
        case _:
            raise TypeError(f"{path}: {type(info).__name__} has no structural schema")


def _optional(info: inspect.UnionType, path: str) -> dict[str, Any]:
    others = [one for one in info.types if not isinstance(one, inspect.NoneType)]
    if len(others) != 1 or len(others) == len(info.types):
        raise TypeError(f"{path}: only `X | None` unions have a structural schema")
    return {**_schema(others[0], path), "nullable": True}


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
    return schema


def _field(field: inspect.Field, path: str) -> dict[str, Any]:
    schema = _schema(field.type, path)
    # a default equal to the empty value says nothing, and we leave such fields out when we write
    if isinstance(field.default, str | int | float) and field.default:
        schema["default"] = field.default
    return schema


def _described(schema: dict[str, Any], info: inspect.Metadata) -> dict[str, Any]:
    extra = {key: value for key, value in (info.extra_json_schema or {}).items() if key in ("description", "format")}
    return {**schema, **extra}


def _constraints(info: inspect.Type, names: dict[str, str]) -> dict[str, Any]:
    return {name: value for field, name in names.items() if (value := getattr(info, field, None)) is not None}
