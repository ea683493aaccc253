"""The events of a watch: the lines of its answer, decoded one by one.

The fast path decodes event and object in one pass; a line that does not fit that is looked at in two, event and then
object: bookmarks, errors, objects with nulls or that do not decode.
"""

from collections.abc import AsyncIterator
from functools import cache
from typing import Any, Generic, Literal, TypeVar

import msgspec

from kubeloop.client import errors
from kubeloop.client.transport import Status, error_from_status
from kubeloop.model.base import KubeObject, KubeStruct
from kubeloop.model.codec import RawEvent, Undecodable, decode_object, decoder

T = TypeVar("T", bound=KubeObject)

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class WatchEvent(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One event.

    `object` is None for a bookmark and for an object that does not decode (then `undecodable` says why).
    `initial_events_end` marks the bookmark after which everything that was there has been sent: see
    `send_initial_events` of `Client.watch`.
    """

    type: EventType
    resource_version: str
    object: T | None = None
    undecodable: Undecodable | None = None
    initial_events_end: bool = False


class _BookmarkMeta(KubeStruct, frozen=True, kw_only=True):
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class _Bookmark(KubeStruct, frozen=True, kw_only=True):
    metadata: _BookmarkMeta = _BookmarkMeta()


async def decode_events(kind: type[T], lines: AsyncIterator[bytes]) -> AsyncIterator[WatchEvent[T]]:
    """The event of each line.

    An ERROR event raises what it says; what is no event at all raises `Unavailable`: the watch may be resumed.
    """
    decode = decoder(_event_type(kind)).decode
    async for line in lines:
        try:
            raw = decode(line)
        except msgspec.MsgspecError:
            raw = None
        if raw is not None and raw.type in ("MODIFIED", "ADDED", "DELETED"):
            yield WatchEvent(raw.type, raw.object.metadata.resource_version, raw.object)
            continue
        try:
            event = _event(kind, line)
        except msgspec.MsgspecError as error:
            raise errors.Unavailable(f"watch of {kind.resource.plural}: not an event: {error}") from error
        if event is not None:
            yield event


@cache
def _event_type(kind: type[KubeObject]) -> Any:
    return msgspec.defstruct(f"{kind.__name__}Event", [("type", str), ("object", kind)], frozen=True, gc=False)


def _event(kind: type[T], line: bytes) -> WatchEvent[T] | None:
    raw = decoder(RawEvent).decode(line)
    body = memoryview(raw.object)
    match raw.type:
        case "ADDED" | "MODIFIED" | "DELETED":
            obj = decode_object(kind, body)
            if isinstance(obj, Undecodable):
                return WatchEvent(raw.type, obj.resource_version, undecodable=obj)
            return WatchEvent(raw.type, obj.metadata.resource_version, obj)
        case "BOOKMARK":
            meta = decoder(_Bookmark).decode(body).metadata
            ended = (meta.annotations or {}).get(INITIAL_EVENTS_END) == "true"
            return WatchEvent("BOOKMARK", meta.resource_version, initial_events_end=ended)
        case "ERROR":
            raise error_from_status(decoder(Status).decode(body))
    return None  # a type of event that a later server invents
