"""The client: typed calls on one API server.

Guarantees: every call has a deadline over all its attempts and raises only `ApiError`s, and for a misuse that no server
need see TypeError or ValueError. Reads are repeated inside the deadline on `Unavailable` and `Throttled`; a write only
where it is certain that the first one had no effect (see `calls`). Every write that the server accepts is noted (see
`writes`), unless it was a dry run. An object that may be decoded in part is never written back whole: `replace` takes
only kinds that declare `complete`.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/.
"""

import builtins
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, TypedDict, TypeVar

import msgspec

from kubeloop.client import errors
from kubeloop.client.calls import call
from kubeloop.client.config import ClusterConfig
from kubeloop.client.fence import Fence
from kubeloop.client.patches import ApplyPatch, JsonPatch, MergePatch, Patch, encode_patch
from kubeloop.client.transport import Cluster, HttpTransport, Request, Response, Transport
from kubeloop.client.watching import EventType, WatchEvent, decode_events
from kubeloop.client.writes import Write, note
from kubeloop.metrics import Metrics
from kubeloop.model.base import KubeObject, ObjectKey
from kubeloop.model.codec import (
    Answer,
    ListPage,
    Undecodable,
    decode_object,
    decode_page,
    decode_struct,
    encode_object,
    encode_whole,
)

T = TypeVar("T", bound=KubeObject)
S = TypeVar("S", bound=msgspec.Struct)

PropagationPolicy = Literal["", "Background", "Foreground", "Orphan"]
VersionMatch = Literal["", "Exact", "NotOlderThan"]


def _params(**values: str | int | bool) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value).lower() if value is True else str(value)) for name, value in values.items() if value)


class _Selection(TypedDict):
    namespace: str
    label_selector: str
    field_selector: str


class Client:
    """Typed calls over a `Transport`.

    `field_manager` names us in managed fields. `timeout_s` is the deadline of a call that names none of its own; each
    call's `timeout_s` covers all its attempts and the waits between them.
    """

    def __init__(self, transport: Transport, *, field_manager: str = "kubeloop", timeout_s: float = 30.0) -> None:
        self._transport = transport
        self._field_manager = field_manager
        self._timeout_s = timeout_s

    def with_field_manager(self, field_manager: str) -> "Client":
        """The same client under another name in managed fields, for who applies one object in parts."""
        return Client(self._transport, field_manager=field_manager, timeout_s=self._timeout_s)

    async def get(self, kind: type[T], name: str, *, namespace: str = "", timeout_s: float | None = None) -> T:
        """One object, read live. Raises `NotFound`."""
        request = Request("GET", kind.resource.path(namespace=namespace, name=name))
        return self._decode(kind, await self._call(request, timeout_s))

    async def get_subresource(
        self,
        kind: type[KubeObject],
        name: str,
        subresource: str,
        answer: type[S],
        *,
        namespace: str = "",
        timeout_s: float | None = None,
    ) -> S:
        """A subresource whose answer is of another kind, as `scale`. Raises `NotFound`."""
        path = kind.resource.path(namespace=namespace, name=name, subresource=subresource)
        return self._decode_answer(answer, await self._call(Request("GET", path), timeout_s))

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
        resource_version_match: VersionMatch = "",
        timeout_s: float | None = None,
    ) -> ListPage[T]:
        """One page, over all namespaces when none is given; `limit` 0 is everything.

        An empty `resource_version` is a consistent read, "0" whatever the server has at hand. Raises `Gone` when the
        continue token, or an exact version, has expired.
        """
        query = _params(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            limit=limit,
            resourceVersion=resource_version,
            resourceVersionMatch=resource_version_match,
            **{"continue": continue_},
        )
        response = await self._call(Request("GET", kind.resource.path(namespace=namespace), query), timeout_s)
        try:
            return decode_page(kind, response.body)
        except msgspec.MsgspecError as error:
            raise errors.DecodeError(f"list of {kind.resource.plural}: {error}") from error

    async def pages(
        self,
        kind: type[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
        timeout_s: float | None = None,
    ) -> AsyncIterator[ListPage[T]]:
        """The pages of a consistent list, one after the other; `timeout_s` is for each.

        All show the collection at one moment. Raises `Gone` when whoever reads them took longer than the server keeps
        that moment (about 5 minutes): begin anew.
        """
        continue_ = ""
        while True:
            page = await self.list(
                kind,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                limit=limit,
                continue_=continue_,
                timeout_s=timeout_s,
            )
            yield page
            continue_ = page.continue_
            if not continue_:
                return

    async def list_all(
        self,
        kind: type[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
        timeout_s: float | None = None,
    ) -> ListPage[T]:
        """A consistent list of everything, fetched in pages of `limit` and given as one; `timeout_s` is for each.

        Where the list expires on the way it is read once more, in one piece.
        """
        chosen = _Selection(namespace=namespace, label_selector=label_selector, field_selector=field_selector)
        items: builtins.list[T] = []
        undecodable: builtins.list[Undecodable] = []
        version = ""
        try:
            async for page in self.pages(kind, limit=limit, timeout_s=timeout_s, **chosen):
                items += page.items
                undecodable += page.undecodable
                version = page.resource_version
        except errors.Gone:
            return await self.list(kind, timeout_s=timeout_s, **chosen)
        return ListPage(tuple(items), version, undecodable=tuple(undecodable))

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
        send_initial_events: bool = False,
    ) -> AsyncIterator[AsyncIterator[WatchEvent[T]]]:
        """The events after `resource_version`, with bookmarks.

        `timeout_s` is when the server ends it orderly; a silence of `idle_timeout_s` (bookmarks come about every
        minute) raises `Unavailable`; an ERROR event raises what it says, a version too old `Gone`.

        With `send_initial_events` (WatchList, KEP-3157) it begins with an ADDED event for every object that is there,
        not older than `resource_version` (empty: a consistent read), then the bookmark with `initial_events_end`. A
        server without that feature raises `Invalid`.
        """
        query = _params(
            watch=True,
            allowWatchBookmarks=True,
            resourceVersion=resource_version,
            labelSelector=label_selector,
            fieldSelector=field_selector,
            timeoutSeconds=timeout_s,
            sendInitialEvents=send_initial_events,
            resourceVersionMatch="NotOlderThan" if send_initial_events else "",
        )
        request = Request("GET", kind.resource.path(namespace=namespace), query)
        async with self._transport.stream(
            request, open_timeout_s=self._timeout_s, idle_timeout_s=idle_timeout_s
        ) as lines:
            yield decode_events(kind, lines)

    async def create(self, obj: T, *, dry_run: bool = False, timeout_s: float | None = None) -> T:
        """Creates the object in its namespace and gives what the server made of it, a generated name included.

        Raises `AlreadyExists`, `Forbidden` in a terminating namespace, `Invalid`. After `Unavailable` with `sent` the
        object may be there or not; it is not sent again, as with a generated name that would make a second one.
        """
        kind = type(obj)
        body = encode_whole(obj) if kind.complete else encode_object(obj)
        query = self._write_params(dry_run)
        request = Request("POST", kind.resource.path(namespace=obj.metadata.namespace), query, body)
        return self._written(kind, await self._call(request, timeout_s), dry_run)

    async def create_subresource(
        self,
        kind: type[KubeObject],
        name: str,
        subresource: str,
        body: KubeObject,
        answer: type[S],
        *,
        namespace: str = "",
        dry_run: bool = False,
        timeout_s: float | None = None,
    ) -> S:
        """Posts to a subresource that is an action, as `eviction` of pods or `token` of service accounts.

        It is not noted: the answer does not say what became of the object. Raises `Throttled` for an eviction that a
        disruption budget forbids now, `NotFound`, `Conflict`.
        """
        path = kind.resource.path(namespace=namespace, name=name, subresource=subresource)
        request = Request("POST", path, self._write_params(dry_run), encode_object(body))
        return self._decode_answer(answer, await self._call(request, timeout_s))

    async def replace(
        self, obj: T, *, subresource: str = "", dry_run: bool = False, timeout_s: float | None = None
    ) -> T:
        """Replaces the whole object (PUT), or with `subresource="status"` its status.

        Every field is written, also one that equals its default, for the server's default may be another; None is
        absent. With a resource version only that state is replaced, else `Conflict`; without one custom resources
        answer `Invalid`. Raises TypeError for a kind that does not declare `complete = True`, as fields which it does
        not know would be lost: use a patch.
        """
        kind = type(obj)
        if not kind.complete:
            raise TypeError(f"{kind.__name__} does not declare `complete`: unknown fields would be lost; use a patch")
        meta = obj.metadata
        path = kind.resource.path(namespace=meta.namespace, name=meta.name, subresource=subresource)
        request = Request("PUT", path, self._write_params(dry_run), encode_whole(obj))
        return self._written(kind, await self._call(request, timeout_s), dry_run)

    async def apply(self, obj: T, *, force: bool = False, dry_run: bool = False, timeout_s: float | None = None) -> T:
        """Server-side apply of what `obj` says, creating it when there is none; see `ApplyPatch`.

        What equals its default in the type is not said: where an explicit zero is meant, patch with an `ApplyPatch` of
        your own. Raises as `patch`.
        """
        patch = ApplyPatch(msgspec.to_builtins(obj), force)
        key = obj.key
        return await self.patch(
            type(obj), key.name, patch, namespace=key.namespace, dry_run=dry_run, timeout_s=timeout_s
        )

    async def patch(
        self,
        kind: type[T],
        name: str,
        patch: Patch,
        *,
        namespace: str = "",
        subresource: str = "",
        uid: str = "",
        resource_version: str = "",
        dry_run: bool = False,
        timeout_s: float | None = None,
    ) -> T:
        """Patches an object, or a subresource that answers with the object, as `status`.

        With `uid` or `resource_version` it takes effect only on that object or state, else `Conflict`. Raises
        `NotFound`, `Conflict` (also when an apply without force meets another manager's field: `causes` names it) and
        `Invalid`.
        """
        response = await self._patch(
            kind, name, patch, namespace, subresource, uid, resource_version, dry_run, timeout_s
        )
        return self._written(kind, response, dry_run)

    async def patch_subresource(
        self,
        kind: type[KubeObject],
        name: str,
        subresource: str,
        patch: Patch,
        answer: type[S],
        *,
        namespace: str = "",
        dry_run: bool = False,
        timeout_s: float | None = None,
    ) -> S:
        """Patches a subresource whose answer is of another kind, as `scale`. It is not noted. Raises as `patch`."""
        response = await self._patch(kind, name, patch, namespace, subresource, "", "", dry_run, timeout_s)
        return self._decode_answer(answer, response)

    async def _patch(
        self,
        kind: type[KubeObject],
        name: str,
        patch: Patch,
        namespace: str,
        subresource: str,
        uid: str,
        resource_version: str,
        dry_run: bool,
        timeout_s: float | None,
    ) -> Response:
        content_type, body = encode_patch(patch, kind, name, uid=uid, resource_version=resource_version)
        query = self._write_params(dry_run, force=isinstance(patch, ApplyPatch) and patch.force)
        path = kind.resource.path(namespace=namespace, name=name, subresource=subresource)
        try:
            return await self._call(Request("PATCH", path, query, body, content_type), timeout_s)
        except errors.Invalid as error:
            if (uid or resource_version) and error.precondition_failed:
                text = f"{kind.resource.kind} {ObjectKey(namespace, name)} is not what was looked at any more"
                raise errors.Conflict(f"{text}: {error}", status=error.status, reason=error.reason) from error
            raise

    async def delete(
        self,
        kind: type[T],
        name: str,
        *,
        namespace: str = "",
        uid: str = "",
        resource_version: str = "",
        propagation_policy: PropagationPolicy = "",
        grace_period_s: int | None = None,
        dry_run: bool = False,
        timeout_s: float | None = None,
    ) -> T | None:
        """Asks for deletion; gives the object where the server answers with it (it is going: finalizers or a grace
        period hold it), None where it answers that it is gone.

        `propagation_policy` says what becomes of dependents, `grace_period_s` 0 does not wait for a pod's node. Raises
        `NotFound`, and `Conflict` when the object has another UID or version by now.
        """
        options = _delete_options(uid, resource_version, propagation_policy, grace_period_s, dry_run)
        request = Request("DELETE", kind.resource.path(namespace=namespace, name=name), (), options)
        response = await self._call(request, timeout_s)
        answer = decode_struct(Answer, response.body)
        if isinstance(answer, Answer) and answer.kind not in ("Status", ""):
            return self._written(kind, response, dry_run, deleted=True)
        if not dry_run:
            answered = (answer.details and answer.details.uid) or "" if isinstance(answer, Answer) else ""
            note(Write(kind, ObjectKey(namespace, name), answered or uid, "", deleted=True))
        if isinstance(answer, msgspec.DecodeError):
            raise errors.DecodeError(f"delete of {kind.resource.kind} {name}: {answer}", status=response.status)
        return None

    async def delete_collection(
        self,
        kind: type[KubeObject],
        *,
        namespace: str = "",
        all_namespaces: bool = False,
        label_selector: str = "",
        field_selector: str = "",
        propagation_policy: PropagationPolicy = "",
        grace_period_s: int | None = None,
        dry_run: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        """Asks for deletion of everything selected in one namespace; `timeout_s` is for each request.

        The whole cluster only with `all_namespaces` (needed for a kind without namespaces too): then namespace by
        namespace, as the server deletes no collection across them. Not atomic: after an error some may be gone. Raises
        ValueError for neither or both.
        """
        if bool(namespace) == all_namespaces:
            raise ValueError(f"delete_collection of {kind.resource.plural}: name a namespace, or say all_namespaces")
        selectors = _params(labelSelector=label_selector, fieldSelector=field_selector)
        options = _delete_options("", "", propagation_policy, grace_period_s, dry_run)
        namespaces = {namespace}
        if all_namespaces and kind.resource.namespaced:
            found = await self.list_all(
                kind, label_selector=label_selector, field_selector=field_selector, timeout_s=timeout_s
            )
            namespaces = {one.key.namespace for one in found.items} | {one.key.namespace for one in found.undecodable}
        for each in sorted(namespaces):
            request = Request("DELETE", kind.resource.path(namespace=each), selectors, options)
            response = await self._call(request, timeout_s)
            if not dry_run:
                _note_collection(kind, response)

    def _write_params(self, dry_run: bool, *, force: bool = False) -> tuple[tuple[str, str], ...]:
        return _params(fieldManager=self._field_manager, dryRun="All" if dry_run else "", force=force)

    async def _call(self, request: Request, timeout_s: float | None) -> Response:
        return await call(self._transport, request, timeout_s=self._timeout_s if timeout_s is None else timeout_s)

    def _written(self, kind: type[T], response: Response, dry_run: bool, *, deleted: bool = False) -> T:
        """The object that a write answered with, noted even when it does not decode: it was written."""
        obj = decode_object(kind, response.body)
        if not dry_run and obj.key.name:  # an answer that does not even name it shows in no store
            note(_write(kind, obj, deleted=deleted))
        if isinstance(obj, Undecodable):
            raise errors.DecodeError(
                f"{kind.resource.kind} {obj.key} was written, but its answer does not decode: {obj.problem}",
                status=response.status,
            )
        return obj

    def _decode(self, kind: type[T], response: Response) -> T:
        obj = decode_object(kind, response.body)
        if isinstance(obj, Undecodable):
            raise errors.DecodeError(f"{kind.resource.kind} {obj.key}: {obj.problem}", status=response.status)
        return obj

    def _decode_answer(self, of: type[S], response: Response) -> S:
        answer = decode_struct(of, response.body)
        if isinstance(answer, msgspec.DecodeError):
            raise errors.DecodeError(f"{of.__name__}: {answer}", status=response.status) from answer
        return answer


def _delete_options(
    uid: str, resource_version: str, propagation_policy: str, grace_period_s: int | None, dry_run: bool
) -> bytes:
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
    preconditions = dict(_params(uid=uid, resourceVersion=resource_version))
    if preconditions:
        body["preconditions"] = preconditions
    if propagation_policy:
        body["propagationPolicy"] = propagation_policy
    if grace_period_s is not None:
        body["gracePeriodSeconds"] = grace_period_s
    if dry_run:
        body["dryRun"] = ["All"]
    return msgspec.json.encode(body)


def _write(kind: type[T], answer: T | Undecodable, *, deleted: bool) -> Write:
    if isinstance(answer, Undecodable):
        return Write(kind, answer.key, answer.uid, answer.resource_version, deleted)
    meta = answer.metadata
    # what takes the last finalizer deletes the object, and is answered with the version of before (seen with 1.37)
    gone = meta.deleting and not meta.finalizers and not meta.deletion_grace_period_seconds
    return Write(kind, meta.key, meta.uid, "" if gone else meta.resource_version, deleted or gone, meta.labels)


def _note_collection(kind: type[T], response: Response) -> None:
    try:
        page = decode_page(kind, response.body)
    except msgspec.MsgspecError:
        return  # a Status: nothing is said of the objects
    answers: list[T | Undecodable] = [*page.items, *page.undecodable]
    for answer in answers:
        note(_write(kind, answer, deleted=True))


@asynccontextmanager
async def connect(
    config: ClusterConfig | Cluster,
    *,
    user_agent: str,
    field_manager: str = "kubeloop",
    timeout_s: float = 30.0,
    fence: Fence | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[Client]:
    """A client, closed on exit; over HTTP where a `ClusterConfig` is given. `user_agent` is `name/version`.

    A `fence` may refuse its writes.
    """
    transport: Transport
    if isinstance(config, ClusterConfig):
        transport = HttpTransport(config, user_agent=user_agent, fence=fence, metrics=metrics)
    else:
        transport = config.transport(user_agent=user_agent, fence=fence, metrics=metrics)
    try:
        yield Client(transport, field_manager=field_manager, timeout_s=timeout_s)
    finally:
        await transport.close()


__all__ = [
    "ApplyPatch",
    "Client",
    "EventType",
    "JsonPatch",
    "MergePatch",
    "Patch",
    "PropagationPolicy",
    "VersionMatch",
    "WatchEvent",
    "connect",
]
