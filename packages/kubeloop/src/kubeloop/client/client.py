"""The client: typed calls on one API server.

Guarantees: every call has a deadline and raises only `ApiError`s. Reads are repeated, inside the deadline, on
`Unavailable` and `Throttled`; a write only where it is certain that the first one had no effect (refused with 429, or
nothing was sent). An object that may be decoded in part is never written back whole: there are creates, patches and
deletes, no replace.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import msgspec

from kubeloop.client import errors
from kubeloop.client.config import ClusterConfig
from kubeloop.client.transport import HttpTransport, Request, Response, Status, Transport, error_from_status
from kubeloop.model.base import KubeObject
from kubeloop.model.codec import (
    ListPage,
    PartialObject,
    RawEvent,
    Undecodable,
    decode_object,
    decode_page,
    decoder,
    encode_object,
)

T = TypeVar("T", bound=KubeObject)

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """One event.

    `object` is None for a bookmark and for an object that does not decode (then `undecodable` says why).
    """

    type: EventType
    resource_version: str
    object: T | None = None
    undecodable: Undecodable | None = None


@dataclass(frozen=True, slots=True)
class MergePatch:
    """RFC 7386: a null removes a field, lists are replaced whole."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class JsonPatch:
    """RFC 6902: operations in order, all or nothing; a `test` that fails refuses the patch with `Invalid`."""

    operations: Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ApplyPatch:
    """Server-side apply: we own the fields of `body`; `force` takes them from other managers."""

    body: dict[str, Any]
    force: bool = False


Patch = MergePatch | JsonPatch | ApplyPatch


def _params(**values: str | int | bool) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value).lower() if value is True else str(value)) for name, value in values.items() if value)


class Client:
    """Typed calls over a `Transport`. `field_manager` names us in managed fields."""

    def __init__(self, transport: Transport, *, field_manager: str = "kubeloop", timeout_s: float = 30.0) -> None:
        self._transport = transport
        self._field_manager = field_manager
        self._timeout_s = timeout_s

    async def get(self, kind: type[T], name: str, *, namespace: str = "") -> T:
        """One object, read live. Raises `NotFound`."""
        request = Request("GET", kind.resource.path(namespace=namespace, name=name))
        return self._decode(kind, await self._call(request))

    async def list(
        self,
        kind: type[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
    ) -> ListPage[T]:
        """One page.

        An empty `resource_version` is a consistent read. Raises `Gone` when the continue token has expired.
        """
        query = _params(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            limit=limit,
            resourceVersion=resource_version,
            **{"continue": continue_},
        )
        response = await self._call(Request("GET", kind.resource.path(namespace=namespace), query))
        try:
            return decode_page(kind, response.body)
        except msgspec.MsgspecError as error:
            raise errors.DecodeError(f"list of {kind.resource.plural}: {error}") from error

    @asynccontextmanager
    async def watch(
        self,
        kind: type[T],
        *,
        resource_version: str,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_s: int = 300,
        idle_timeout_s: float = 90.0,
    ) -> AsyncIterator[AsyncIterator[WatchEvent[T]]]:
        """The events after `resource_version`, with bookmarks.

        `timeout_s` is when the server ends it orderly; a silence of `idle_timeout_s` (bookmarks come about every
        minute) raises `Unavailable`; an ERROR event raises what it says, a version too old `Gone`.
        """
        query = _params(
            watch=True,
            allowWatchBookmarks=True,
            resourceVersion=resource_version,
            labelSelector=label_selector,
            fieldSelector=field_selector,
            timeoutSeconds=timeout_s,
        )
        request = Request("GET", kind.resource.path(namespace=namespace), query)
        async with self._transport.stream(
            request, open_timeout_s=self._timeout_s, idle_timeout_s=idle_timeout_s
        ) as lines:
            yield _events(kind, lines)

    async def create(self, obj: T, *, dry_run: bool = False) -> T:
        """Creates the object in its namespace.

        Raises `AlreadyExists`, `Forbidden` in a terminating namespace, `Invalid`.
        """
        kind = type(obj)
        request = Request(
            "POST",
            kind.resource.path(namespace=obj.metadata.namespace),
            _params(fieldManager=self._field_manager, dryRun="All" if dry_run else ""),
            encode_object(obj),
        )
        return self._decode(kind, await self._call(request))

    async def patch(self, kind: type[T], name: str, patch: Patch, *, namespace: str = "", subresource: str = "") -> T:
        """Patches an object or its subresource. Raises `NotFound`, `Conflict`, `Invalid`."""
        body: Any
        force = False
        if isinstance(patch, ApplyPatch):
            content_type, body, force = "application/apply-patch+yaml", patch.body, patch.force
        elif isinstance(patch, MergePatch):
            content_type, body = "application/merge-patch+json", patch.body
        else:
            content_type, body = "application/json-patch+json", list(patch.operations)
        request = Request(
            "PATCH",
            kind.resource.path(namespace=namespace, name=name, subresource=subresource),
            _params(fieldManager=self._field_manager, force=force),
            msgspec.json.encode(body),
            content_type,
        )
        return self._decode(kind, await self._call(request))

    async def delete(
        self, kind: type[KubeObject], name: str, *, namespace: str = "", uid: str = "", resource_version: str = ""
    ) -> None:
        """Asks for deletion. Raises `NotFound`, and `Conflict` when the object has another UID or version by now."""
        preconditions = dict(_params(uid=uid, resourceVersion=resource_version))
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            **({"preconditions": preconditions} if preconditions else {}),
        }
        path = kind.resource.path(namespace=namespace, name=name)
        await self._call(Request("DELETE", path, (), msgspec.json.encode(body)))

    async def _call(self, request: Request) -> Response:
        """One request within the deadline, repeated where that is safe."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        delay_s = 0.1
        while True:
            try:
                return await self._transport.request(request, timeout_s=max(deadline - loop.time(), 0.001))
            except (errors.Unavailable, errors.Throttled) as error:
                harmless = request.method == "GET" or isinstance(error, errors.Throttled) or not error.sent
                wait_s = error.retry_after_s or delay_s * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
                if not harmless or loop.time() + wait_s >= deadline or delay_s > 2:
                    raise
            await asyncio.sleep(wait_s)
            delay_s *= 2.5

    def _decode(self, kind: type[T], response: Response) -> T:
        obj = decode_object(kind, response.body)
        if isinstance(obj, Undecodable):
            raise errors.DecodeError(f"{kind.resource.kind} {obj.key}: {obj.problem}", status=response.status)
        return obj


async def _events(kind: type[T], lines: AsyncIterator[bytes]) -> AsyncIterator[WatchEvent[T]]:
    decode_event = decoder(RawEvent).decode
    async for line in lines:
        try:
            raw = decode_event(line)
        except msgspec.MsgspecError as error:
            raise errors.Unavailable(f"watch of {kind.resource.plural}: not an event: {error}") from error
        body = memoryview(raw.object)
        if raw.type == "BOOKMARK":
            meta = decoder(PartialObject).decode(body).metadata
            yield WatchEvent("BOOKMARK", meta.resource_version or "")
        elif raw.type == "ERROR":
            raise error_from_status(decoder(Status).decode(body))
        elif raw.type in ("ADDED", "MODIFIED", "DELETED"):
            obj = decode_object(kind, body)
            if isinstance(obj, Undecodable):
                yield WatchEvent(raw.type, obj.resource_version, undecodable=obj)
            else:
                yield WatchEvent(raw.type, obj.metadata.resource_version, obj)


@asynccontextmanager
async def connect(
    config: ClusterConfig, *, user_agent: str, field_manager: str = "kubeloop", timeout_s: float = 30.0
) -> AsyncIterator[Client]:
    """A client over HTTP, closed on exit. `user_agent` is `name/version`."""
    async with HttpTransport(config, user_agent=user_agent) as transport:
        yield Client(transport, field_manager=field_manager, timeout_s=timeout_s)
