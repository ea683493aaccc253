"""Null equals absent, by type: the slow path of decoding, for objects that say null where their type takes none.

Only where a type has an opinion: what it keeps raw (msgspec.Raw, Any) keeps its nulls, and so does what may be None.
"""

from functools import cache
from typing import Any

from msgspec import inspect


def without_nulls(value: Any, of: type) -> Any:
    """`value`, as decoded from JSON, without the nulls that `of` does not take, and without fields it does not have."""
    return _prune(value, _info(of))


@cache
def _info(of: type) -> inspect.Type:
    return inspect.type_info(of)


def _prune(value: Any, info: inspect.Type) -> Any:
    match info:
        case inspect.Metadata():
            return _prune(value, info.type)
        case inspect.UnionType():
            shape = next((one for one in info.types if _shaped(value, one)), None)
            return value if shape is None else _prune(value, shape)
        case inspect.StructType() if isinstance(value, dict):
            types = {field.encode_name: field.type for field in info.fields}
            return {
                key: _prune(item, types[key])
                for key, item in value.items()
                if key in types and _takes(item, types[key])
            }
        case inspect.DictType() if isinstance(value, dict):
            return {key: _prune(item, info.value_type) for key, item in value.items() if _takes(item, info.value_type)}
        case inspect.ListType() | inspect.VarTupleType() if isinstance(value, list):
            return [_prune(item, info.item_type) for item in value if _takes(item, info.item_type)]
    return value


def _shaped(value: Any, info: inspect.Type) -> bool:
    bare = info.type if isinstance(info, inspect.Metadata) else info
    if isinstance(value, dict):
        return isinstance(bare, inspect.StructType | inspect.DictType)
    return isinstance(value, list) and isinstance(bare, inspect.ListType | inspect.VarTupleType)


def _takes(value: Any, info: inspect.Type) -> bool:
    if value is not None:
        return True
    bare = info.type if isinstance(info, inspect.Metadata) else info
    if isinstance(bare, inspect.UnionType):
        return any(_takes(value, one) for one in bare.types)
    return isinstance(bare, inspect.AnyType | inspect.RawType | inspect.NoneType)
