"""JSON to typed objects and back.

Null equals absent: the server and its clients write `null` for empty fields. The fast path decodes a whole page with
the typed decoder; only when that fails each object is looked at alone: decoded untyped, nulls dropped, converted. What
still fails is `Undecodable`, with its key and what is wrong, and the rest of the page is delivered.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

from kubeloop.model.base import KubeObject, KubeStruct, ObjectKey

T = TypeVar("T", bound=KubeObject)
S = TypeVar("S")


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
    try:
        obj: T = decoder(kind).decode(body)
    except msgspec.ValidationError:
        pass
    else:
        return obj
    try:
        obj = msgspec.convert(_without_nulls(msgspec.json.decode(body)), kind)
    except msgspec.ValidationError as error:
        return _undecodable(body, str(error))
    return obj


def _undecodable(body: bytes | memoryview, problem: str) -> Undecodable:
    try:
        meta = decoder(PartialObject).decode(body).metadata
    except msgspec.ValidationError:
        meta = PartialMeta()
    return Undecodable(ObjectKey(meta.namespace or "", meta.name), meta.uid or "", meta.resource_version or "", problem)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    return value


def encode_object(obj: KubeObject) -> bytes:
    """An object as the API server takes it: apiVersion and kind first."""
    return msgspec.json.encode(
        {"apiVersion": obj.resource.api_version, "kind": obj.resource.kind, **msgspec.to_builtins(obj)}
    )
