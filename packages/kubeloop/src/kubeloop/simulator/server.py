"""One simulated kube-apiserver over a storage: requests in, answers out, each whole and at once.

It decides which kind and verb a request is about, and makes refusals into answers; what the verbs do is in `registry`,
`lists` and `watches`. It has no state but its watch caches and the kinds that it serves, both out of the storage.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from kubeloop.client.transport import JSON, Request, Response
from kubeloop.simulator.built_in import topology_of
from kubeloop.simulator.definitions import Definitions
from kubeloop.simulator.kinds import BUILT_IN, Kind, Kinds
from kubeloop.simulator.lists import Page, encode_list, expired, page, read_version
from kubeloop.simulator.options import ListOptions, delete_options, list_options, write_options
from kubeloop.simulator.patches import json_patched, merge_patched
from kubeloop.simulator.refusals import Body, Refusal, bad_request, unsupported_media_type
from kubeloop.simulator.registry import Outcome, Registry
from kubeloop.simulator.routes import Route, route
from kubeloop.simulator.storage import Change, Storage, Stored
from kubeloop.simulator.strategic_merge import strategic_merge_patched
from kubeloop.simulator.watch_cache import WatchCache
from kubeloop.simulator.watches import WatchStream

_MERGE = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
_APPLY = "application/apply-patch+yaml"
_NOT_FOUND = Response(404, b"404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})
_JSON_HEADERS = {"Content-Type": JSON}
_BUILT_IN_GROUPS = frozenset(kind.group for kind in BUILT_IN)
_FIRST_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "default")


def is_watch(request: Request) -> bool:
    return request.method == "GET" and any(
        name == "watch" and value not in ("false", "0") for name, value in request.query
    )


class ApiServer:
    """One kube-apiserver process over a Storage (etcd). Several may share one Storage."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.kinds = Kinds()
        self._registry = Registry(storage)
        self._definitions = Definitions(storage, self._registry, self.kinds)
        self._caches: dict[str, WatchCache] = {}
        self._streams: dict[WatchStream, None] = {}
        self._started_at = storage.revision
        storage.subscribe(self._changed)
        self._make_namespaces()

    def handle(self, request: Request, *, accept: str = JSON, user_agent: str = "") -> Response:
        """One request, whole, now: never raises for what a client did, refusals are Responses with a Status.

        A watch is not for here, but for `watch`.
        """
        try:
            kind, where = self._find(request)
            return self._answer(kind, where, request, user_agent)
        except _NotServed:
            return _NOT_FOUND
        except Refusal as refusal:
            return refused(refusal)

    def watch(self, request: Request, *, accept: str = JSON) -> Response | WatchStream:
        """A stream, or an answer when it is refused."""
        try:
            kind, where = self._find(request)
            options = list_options(dict(request.query), kind, watch=True)
            return self._watch(kind, where, options)
        except _NotServed:
            return _NOT_FOUND
        except Refusal as refusal:
            return refused(refusal)

    def restart(self) -> None:
        """Ends every stream; the watch caches begin anew at the storage's revision, without history."""
        for stream in tuple(self._streams):
            stream.break_off()
        self._streams.clear()
        self._caches.clear()
        self._started_at = self.storage.revision

    def hold(self, resource: str) -> None:
        """That resource's watch cache stands still ("pods", "gadgets.example.dev")."""
        self._cache(resource).hold()

    def release(self, resource: str) -> None:
        """And catches up."""
        self._cache(resource).release()

    def _cache(self, resource: str) -> WatchCache:
        cache = self._caches.get(resource)
        if cache is None:
            cache = WatchCache(self.storage, resource, self._started_at, self.storage.revision)
            self._caches[resource] = cache
        return cache

    def _changed(self, change: Change) -> None:
        cache = self._caches.get(change.resource)
        if cache is None:
            cache = WatchCache(self.storage, change.resource, self._started_at, change.revision - 1)
            self._caches[change.resource] = cache
        cache.changed(change)
        self._definitions.changed(change)

    def _find(self, request: Request) -> tuple[Kind, Route]:
        where = route(request.path)
        if where is None:
            raise _NotServed
        kind = self.kinds.get(where.group, where.version, where.plural)
        if kind is None:
            if where.group in _BUILT_IN_GROUPS:
                raise _unknown_resource()
            raise _NotServed
        if where.namespace and not kind.namespaced:
            raise _NotServed if kind.custom else _unknown_resource()
        if where.subresource and where.subresource not in kind.subresources:
            raise _unknown_resource()
        return kind, where

    def _answer(self, kind: Kind, where: Route, request: Request, user_agent: str) -> Response:
        query = dict(request.query)
        method = request.method
        if not where.name:
            if method == "GET":
                return self._list(kind, where, list_options(query, kind, watch=False))
            if method == "POST" and bool(where.namespace) == kind.namespaced:
                options = write_options(query, user_agent, of="CreateOptions")
                body = _read_body(request, kind)
                return _written(kind, self._registry.create(kind, where.namespace, body, options))
            if method == "DELETE" and bool(where.namespace) == kind.namespaced and kind.collection_deletable:
                return self._delete_collection(kind, where, request, query)
            raise _not_allowed()
        if kind.namespaced and not where.namespace:
            raise _NotServed
        if method == "GET" and where.subresource in ("", "status"):
            return _json(200, self._get(kind, where, query).encoded(kind.api_version))
        if method == "DELETE" and not where.subresource:
            outcome = self._registry.delete(kind, where.namespace, where.name, delete_options(request, query))
            return _deleted(kind, outcome)
        if method == "PUT" and where.subresource in ("", "status", "finalize"):
            options = write_options(query, user_agent, of="UpdateOptions")
            body = _read_body(request, kind)
            return _written(
                kind, self._registry.replace(kind, where.namespace, where.name, where.subresource, body, options)
            )
        if method == "PATCH" and where.subresource in ("", "status"):
            return _written(kind, self._patch(kind, where, request, query, user_agent))
        raise _not_allowed()

    def _patch(self, kind: Kind, where: Route, request: Request, query: dict[str, str], user_agent: str) -> Outcome:
        content_type = request.content_type.partition(";")[0]
        if content_type not in (_MERGE, _JSON_PATCH, _APPLY) and (content_type != _STRATEGIC or kind.custom):
            known = [_JSON_PATCH, _MERGE, *([] if kind.custom else [_STRATEGIC]), _APPLY]
            raise unsupported_media_type(
                f"the body of the request was in an unknown format - accepted media types include: {', '.join(known)}"
            )
        options = write_options(query, user_agent, of="PatchOptions", apply=content_type == _APPLY)
        patch = _decode_patch(request)
        at = (kind, where.namespace, where.name, where.subresource)
        if content_type == _APPLY:
            return self._registry.apply(*at, _mapping(patch), options)
        return self._registry.patch(*at, _patcher(kind, content_type, patch), options)

    def _get(self, kind: Kind, where: Route, query: dict[str, str]) -> Stored:
        version = query.get("resourceVersion", "")
        if not version:
            return self._registry.get(kind, where.namespace, where.name)
        return self._registry.get_from(self._cache(kind.resource), kind, where.namespace, where.name, version)

    def _list(self, kind: Kind, where: Route, options: ListOptions) -> Response:
        found = self._page(kind, where, options)
        return _json(200, encode_list(kind, found.found, found.meta), kind)

    def _page(self, kind: Kind, where: Route, options: ListOptions) -> Page:
        return page(self.storage, self._cache(kind.resource), kind, where.namespace, options)

    def _delete_collection(self, kind: Kind, where: Route, request: Request, query: dict[str, str]) -> Response:
        options = delete_options(request, query)
        found = self._page(kind, where, list_options(query, kind, watch=False))
        deleted = [
            self._registry.delete(kind, where.namespace, stored.body["metadata"]["name"], options).stored
            for stored in found.found
        ]
        return _json(200, encode_list(kind, deleted, {"resourceVersion": str(self.storage.revision)}), kind)

    def _watch(self, kind: Kind, where: Route, options: ListOptions) -> WatchStream:
        cache = self._cache(kind.resource)
        stream = WatchStream(cache, kind, where.namespace, options, self._closed)
        version = read_version(options.version)
        initial = options.initial_events if options.initial_events is not None else version == 0
        if not initial and version < cache.oldest and version:
            stream.fail(expired(f"too old resource version: {version} ({cache.oldest})"))
            return stream
        until = version or self.storage.revision if options.version != "0" else cache.version
        stream.open(
            initial=initial, version=version or cache.version, initial_until=until if options.bookmarks else None
        )
        self._streams[stream] = None
        return stream

    def _closed(self, stream: WatchStream) -> None:
        self._streams.pop(stream, None)

    def _make_namespaces(self) -> None:
        kind = self.kinds.get("", "v1", "namespaces")
        assert kind is not None
        if self.storage.objects(kind.resource):
            return
        options = write_options({}, "kube-apiserver", of="CreateOptions")
        for name in _FIRST_NAMESPACES:
            self._registry.create(kind, "", {"metadata": {"name": name}}, options)


class _NotServed(Exception):
    """Nothing is at this path."""


def _unknown_resource() -> Refusal:
    return Refusal(404, "NotFound", "the server could not find the requested resource", details={})


def _not_allowed() -> Refusal:
    text = "the server does not allow this method on the requested resource"
    return Refusal(405, "MethodNotAllowed", text, details={})


def _patcher(kind: Kind, content_type: str, patch: Any) -> Callable[[Body], Body]:
    if content_type == _JSON_PATCH:
        return lambda body: json_patched(body, patch)
    if content_type == _MERGE:
        return lambda body: merge_patched(body, patch)
    return lambda body: strategic_merge_patched(body, patch, topology_of(kind))


def _read_body(request: Request, kind: Kind) -> Body:
    if request.content_type.partition(";")[0] not in (JSON, ""):
        raise unsupported_media_type(f"the simulated API server does not read {request.content_type}")
    try:
        return _mapping(msgspec.json.decode(request.body))
    except msgspec.DecodeError as error:
        what = f"the object provided is unrecognized (must be of type {kind.kind})"
        raise bad_request(f"{what}: couldn't get version/kind; json parse error: {error}") from None


def _decode_patch(request: Request) -> Any:
    yaml = request.content_type.startswith(_APPLY) and not request.body.startswith(b"{")
    try:
        return (msgspec.yaml if yaml else msgspec.json).decode(request.body)
    except msgspec.DecodeError as error:
        raise bad_request(f"error decoding patch: {error}") from None


def _mapping(body: Any) -> Body:
    if not isinstance(body, dict):
        raise bad_request("the body of the request is no object")
    return body


def _written(kind: Kind, outcome: Outcome) -> Response:
    encoded = outcome.stored.encoded(kind.api_version)
    return _json(201 if outcome.created else 200, encoded, kind, outcome.warnings)


def _deleted(kind: Kind, outcome: Outcome) -> Response:
    if not outcome.deleted or kind.answers_deleted:
        return _json(200, outcome.stored.encoded(kind.api_version), kind)
    meta = outcome.stored.body["metadata"]
    details = {"name": meta["name"], "group": kind.group, "kind": kind.plural, "uid": meta["uid"]}
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {name: value for name, value in details.items() if value},
    }
    return _json(200, msgspec.json.encode(status), kind)


def refused(refusal: Refusal) -> Response:
    """The answer that a refusal is."""
    headers = dict(_JSON_HEADERS)
    if refusal.details and "retryAfterSeconds" in refusal.details:
        headers["Retry-After"] = str(refusal.details["retryAfterSeconds"])
    return Response(refusal.code, msgspec.json.encode(refusal.status()), headers)


def _json(status: int, body: bytes, kind: Kind | None = None, warnings: list[str] | None = None) -> Response:
    told = [*([kind.warning] if kind is not None and kind.warning else []), *(warnings or ())]
    if not told:
        return Response(status, body, _JSON_HEADERS)
    escaped = [text.replace("\\", "\\\\").replace('"', '\\"') for text in told]
    header = ", ".join(f'299 - "{text}"' for text in escaped)
    return Response(status, body, {**_JSON_HEADERS, "Warning": header})
