"""One simulated kube-apiserver over a storage: requests in, answers out, each whole and at once.

It decides which kind and verb a request is about, and makes refusals into answers; what the verbs do is in `registry`,
`lists` and `watches`. It has no state but its watch caches and the kinds that it serves, both out of the storage.
"""

import re

from kubeloop.client.transport import Request, Response
from kubeloop.simulator.answers import NOT_FOUND, refused
from kubeloop.simulator.definitions import DEFINITIONS, Definitions
from kubeloop.simulator.kinds import BUILT_IN, Kind, Kinds
from kubeloop.simulator.lists import expired, read_version
from kubeloop.simulator.options import ListOptions, WriteOptions, boolean, list_options
from kubeloop.simulator.refusals import Refusal, unsupported
from kubeloop.simulator.registry import Registry
from kubeloop.simulator.requests import query_of
from kubeloop.simulator.routes import Route, route
from kubeloop.simulator.storage import Change, Storage
from kubeloop.simulator.verbs import Verbs
from kubeloop.simulator.watch_cache import WatchCache
from kubeloop.simulator.watches import WatchStream

_MORE = ("pods", "nodes", "services", "serviceaccounts")  # have subresources that are not known here
_OLD_WATCH = re.compile(r"/(api/v1|apis/[^/]+/[^/]+)/watch/")
_BUILT_IN_GROUPS = frozenset(kind.group for kind in BUILT_IN)
_FIRST_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "default")


def is_watch(request: Request) -> bool:
    """Of one object there is none: it is read, whatever `watch` says."""
    if request.method != "GET" or not boolean(query_of(request).get("watch")):
        return False
    where = route(request.path)
    return where is not None and not where.name


class ApiServer:
    """One kube-apiserver process over a Storage (etcd). Several may share one Storage."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.kinds = Kinds()
        self._registry = Registry(storage)
        self._definitions = Definitions(storage, self._registry, self.kinds)
        self._verbs = Verbs(storage, self._registry, self._cache)
        self._caches: dict[str, WatchCache] = {}
        self._streams: dict[WatchStream, None] = {}
        self._started_at = storage.revision
        storage.subscribe(self._changed)
        self._make_namespaces()

    def handle(self, request: Request, *, user_agent: str = "") -> Response:
        """One request, whole, now: never raises for what a client did, refusals are Responses with a Status.

        A watch is not for here, but for `watch`.
        """
        warnings: list[str] = []
        try:
            kind, where = self._find(request)
            if kind.warning:
                warnings.append(kind.warning)
            return self._verbs.answer(kind, where, request, user_agent, warnings)
        except _NotServed:
            return NOT_FOUND
        except RecursionError:
            return refused(unsupported("values that hold values to such a depth"))
        except Refusal as refusal:
            return refused(refusal, warnings)

    def watch(self, request: Request) -> Response | WatchStream:
        """A stream, or an answer when it is refused."""
        try:
            kind, where = self._find(request)
            return self._watch(kind, where, list_options(query_of(request), kind, watch=True))
        except _NotServed:
            return NOT_FOUND
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
        if change.resource == DEFINITIONS and change.before is not None:
            self._end_watches(change)

    def _end_watches(self, change: Change) -> None:
        """Of a kind that is not defined any more, or otherwise: clients begin anew."""
        before, now = change.before, change.now
        assert before is not None
        if change.type == "DELETED" or before.body["spec"] != now.body["spec"]:
            for stream in tuple(self._streams):
                if stream.resource == change.key:
                    stream.close()

    def _find(self, request: Request) -> tuple[Kind, Route]:
        if _OLD_WATCH.match(request.path):
            raise unsupported("the old paths of watches: ask the list for watch=true")
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
        if kind.namespaced and where.name and not where.namespace:
            raise _NotServed
        if where.subresource and where.subresource not in kind.subresources:
            raise unsupported(f"{kind.plural}/{where.subresource}") if kind.resource in _MORE else _unknown_resource()
        return kind, where

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
        options = WriteOptions(manager="kube-apiserver")
        for name in _FIRST_NAMESPACES:
            self._registry.create(kind, "", {"metadata": {"name": name}}, options, [])


class _NotServed(Exception):
    """Nothing is at this path."""


def _unknown_resource() -> Refusal:
    return Refusal(404, "NotFound", "the server could not find the requested resource", details={})
