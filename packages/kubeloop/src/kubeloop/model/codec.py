"""JSON to typed objects and back.

Null equals absent: the server and its clients write `null` for empty fields. The fast path decodes a whole page with
the typed decoder; only when that fails each object is looked at alone, without its nulls (see `nulls`). What still
fails is `Undecodable`, with its key and what is wrong, and the rest of the page is delivered.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

from kubeloop.model.base import KubeObject, KubeStruct, ObjectKey
from kubeloop.model.nulls import without_nulls

T = TypeVar("T", bound=KubeObject)
S = TypeVar("S")
V = TypeVar("V", bound=msgspec.Struct)


class ListMeta(KubeStruct, frozen=True, kw_only=True):
    resource_version: str = ""
    continue_: str = ""
    remaining_item_count: int | None = None


class _RawList(KubeStruct, frozen=True, kw_only=True):
    metadata: ListMeta = ListMeta()
    items: list[msgspec.Raw] | None = None


class RawEvent(KubeStruct, frozen=True, kw_only=True):
    """A line of a watch before its object is decoded."""

    type: str
    object: msgspec.Raw


class PartialMeta(KubeStruct, frozen=True, kw_only=True):
    name: str = ""
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None


class PartialObject(KubeStruct, frozen=True, kw_only=True):
    """What can be said of any object, whatever else is wrong with it."""

    metadata: PartialMeta = PartialMeta()


class AnswerDetails(KubeStruct, frozen=True, kw_only=True):
    uid: str | None = None


class Answer(KubeStruct, frozen=True, kw_only=True):
    """The answer to a delete: a Status, or the object itself."""

    kind: str = ""
    details: AnswerDetails | None = None


@dataclass(frozen=True, slots=True)
class Undecodable:
    """An object that does not decode into the asked type."""

    key: ObjectKey
    uid: str
    resource_version: str
    problem: str


@dataclass(frozen=True, slots=True)
class ListPage(Generic[T]):
    """One page of a list. `continue_` is empty on the last; `resource_version` is where a watch goes on."""

    items: tuple[T, ...]
    resource_version: str
    continue_: str = ""
    remaining: int | None = None
    undecodable: tuple[Undecodable, ...] = ()


@cache
def decoder(of: type[S]) -> msgspec.json.Decoder[S]:
    """The decoder of a type, made once."""
    return msgspec.json.Decoder(of)


@cache
def _list_type(kind: type[KubeObject]) -> Any:
    items = tuple.__class_getitem__((kind, ...))  # tuple[kind, ...]: only the run time needs to know
    return msgspec.defstruct(
        f"{kind.__name__}List", [("metadata", ListMeta, ListMeta()), ("items", items, ())], frozen=True
    )


def decode_page(kind: type[T], body: bytes) -> ListPage[T]:
    """Decodes a list. Raises `msgspec.MsgspecError` only when the answer is not a list at all."""
    undecodable: tuple[Undecodable, ...] = ()
    try:
        page = decoder(_list_type(kind)).decode(body)
        meta, items = page.metadata, page.items
    except msgspec.ValidationError:
        raw = decoder(_RawList).decode(body)
        decoded = [decode_object(kind, memoryview(item)) for item in raw.items or ()]
        meta = raw.metadata
        items = tuple(item for item in decoded if not isinstance(item, Undecodable))
        undecodable = tuple(item for item in decoded if isinstance(item, Undecodable))
    return ListPage(items, meta.resource_version, meta.continue_, meta.remaining_item_count, undecodable)


def decode_object(kind: type[T], body: bytes | memoryview) -> T | Undecodable:
    """Decodes one object, nulls taken for absent."""
    obj = decode_struct(kind, body)
    return _undecodable(body, str(obj)) if isinstance(obj, msgspec.DecodeError) else obj


def decode_struct(of: type[V], body: bytes | memoryview) -> V | msgspec.DecodeError:
    """Decodes JSON, nulls taken for absent; what does not fit, or is no JSON (a proxy's page), gives the error, as it
    is no exception in a list.
    """
    found: V
    try:
        found = decoder(of).decode(body)
    except msgspec.ValidationError:
        pass
    except msgspec.DecodeError as error:
        return error
    else:
        return found
    try:
        found = decoder(of).decode(msgspec.json.encode(without_nulls(msgspec.json.decode(body), of)))
    except msgspec.DecodeError as error:
        return error
    return found


def _undecodable(body: bytes | memoryview, problem: str) -> Undecodable:
    try:
        meta = decoder(PartialObject).decode(body).metadata
    except msgspec.DecodeError:
        meta = PartialMeta()
    return Undecodable(ObjectKey(meta.namespace or "", meta.name), meta.uid or "", meta.resource_version or "", problem)


def encode_object(obj: KubeObject) -> bytes:
    """An object as the API server takes it: apiVersion and kind first."""
    return msgspec.json.encode(
        {"apiVersion": obj.resource.api_version, "kind": obj.resource.kind, **msgspec.to_builtins(obj)}
    )


def encode_whole(obj: KubeObject) -> bytes:
    """An object with every field of a kind that is complete, also one that equals its default: the server's default may
    be another. None is absent. In the metadata, which the server alone completes, empty is absent.
    """
    fields = {
        "apiVersion": obj.resource.api_version,
        "kind": obj.resource.kind,
        **_whole(obj),
        "metadata": msgspec.to_builtins(obj.metadata),
    }
    return msgspec.json.encode(fields)


def _whole(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        found = ((encoded, getattr(value, name)) for name, encoded in names)
        return {name: _whole(item) for name, item in found if item is not None and item is not msgspec.UNSET}
    if isinstance(value, tuple | list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return value
