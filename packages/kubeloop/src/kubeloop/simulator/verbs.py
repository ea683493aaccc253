"""What the verbs do to collections, objects and subresources: each request is answered here, out of the parts.

Raises `Refusal`. Watches are not for here: they are streams, which `server` keeps.
"""

from collections.abc import Callable

import msgspec

from kubeloop.client.transport import Request, Response
from kubeloop.simulator.answers import answer, deleted, done, written
from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.lists import Page, encode_list, page
from kubeloop.simulator.options import delete_options, list_options, write_options
from kubeloop.simulator.refusals import Refusal, unsupported
from kubeloop.simulator.registry import Outcome, Registry
from kubeloop.simulator.requests import APPLY, mapping, media_type, patcher, query_of, read_body, read_patch
from kubeloop.simulator.routes import Route
from kubeloop.simulator.storage import Storage, Stored
from kubeloop.simulator.subresources import bind, evict, scale_of, scaled
from kubeloop.simulator.watch_cache import WatchCache

_OBJECT = ("", "status")


class Verbs:
    """Of one server; `cache` gives its watch cache of a resource."""

    def __init__(self, storage: Storage, registry: Registry, cache: Callable[[str], WatchCache]) -> None:
        self._storage = storage
        self._registry = registry
        self._cache = cache

    def answer(self, kind: Kind, where: Route, request: Request, user_agent: str, warnings: list[str]) -> Response:
        """`warnings` gets those of the request, which go with a refusal too."""
        call = _Call(kind, where, request, query_of(request), user_agent, warnings)
        if not where.name:
            return self._of_collection(call)
        if where.subresource == "scale":
            return self._scale(call)
        if where.subresource in ("binding", "eviction"):
            return self._act(call)
        return self._of_object(call)

    def _of_collection(self, call: "_Call") -> Response:
        kind, where = call.kind, call.where
        if call.request.method == "GET":
            found = self._page(call)
            return answer(200, encode_list(kind, found.found, found.meta), call.warnings)
        if bool(where.namespace) != kind.namespaced:
            raise not_allowed()
        if call.request.method == "POST":
            options = write_options(call.query, call.user_agent, of="CreateOptions")
            body = read_body(call.request, kind.kind)
            return written(
                kind, self._registry.create(kind, where.namespace, body, options, call.warnings), call.warnings
            )
        if call.request.method == "DELETE" and kind.collection_deletable:
            return self._delete_collection(call)
        raise not_allowed()

    def _of_object(self, call: "_Call") -> Response:
        kind, where = call.kind, call.where
        match call.request.method:
            case "GET" if where.subresource in _OBJECT:
                return answer(200, self._get(call).encoded(kind), call.warnings)
            case "PUT":
                options = write_options(call.query, call.user_agent, of="UpdateOptions")
                body = read_body(call.request, kind.kind)
                return written(kind, self._registry.replace(*call.target, body, options, call.warnings), call.warnings)
            case "PATCH" if where.subresource in _OBJECT:
                return written(kind, self._patch(call), call.warnings)
            case "DELETE" if not where.subresource:
                outcome = self._registry.delete(
                    kind, where.namespace, where.name, delete_options(call.request, call.query)
                )
                return deleted(kind, outcome, call.warnings)
        raise not_allowed()

    def _patch(self, call: "_Call") -> Outcome:
        patch = read_patch(call.request, call.kind)
        by_apply = media_type(call.request) == APPLY
        options = write_options(call.query, call.user_agent, of="PatchOptions", apply=by_apply)
        if by_apply:
            return self._registry.apply(*call.target, mapping(patch), options, call.warnings)
        patched = patcher(call.request, call.kind, patch)
        return self._registry.patch(*call.target, patched, options, call.warnings)

    def _get(self, call: "_Call") -> Stored:
        kind, where = call.kind, call.where
        version = call.query.get("resourceVersion", "")
        if not version:
            return self._registry.get(kind, where.namespace, where.name)
        return self._registry.get_from(self._cache(kind.resource), kind, where.namespace, where.name, version)

    def _page(self, call: "_Call") -> Page:
        options = list_options(call.query, call.kind, watch=False)
        return page(self._storage, self._cache(call.kind.resource), call.kind, call.where.namespace, options)

    def _delete_collection(self, call: "_Call") -> Response:
        """One by one, in the order of their names; the answer shows them as they were."""
        options = delete_options(call.request, call.query)
        found = self._page(call)
        for stored in found.found:
            self._registry.delete(call.kind, call.where.namespace, stored.body["metadata"]["name"], options)
        return answer(200, encode_list(call.kind, found.found, found.meta), call.warnings)

    def _scale(self, call: "_Call") -> Response:
        kind, where, request = call.kind, call.where, call.request
        stored = self._registry.get(kind, where.namespace, where.name)
        if request.method == "GET":
            return answer(200, msgspec.json.encode(scale_of(kind, stored)))
        if request.method == "PUT":
            options = write_options(call.query, call.user_agent, of="UpdateOptions")
            body = read_body(request, "Scale")
            write = scaled(kind, where.name, lambda _: body, stored)
        elif request.method == "PATCH":
            patch = read_patch(request, kind)
            if media_type(request) == APPLY:
                raise unsupported("how a Scale is applied")
            options = write_options(call.query, call.user_agent, of="PatchOptions")
            write = scaled(kind, where.name, patcher(request, kind, patch), stored)
        else:
            raise not_allowed()
        outcome = self._registry.patch(*call.target, write, options, [])
        return answer(200, msgspec.json.encode(scale_of(kind, outcome.stored)))

    def _act(self, call: "_Call") -> Response:
        kind, where = call.kind, call.where
        if call.request.method != "POST":
            raise not_allowed()
        options = write_options(call.query, call.user_agent, of="CreateOptions")
        body = read_body(call.request, where.subresource.capitalize())
        pod = self._registry.get(kind, where.namespace, where.name)
        if where.subresource == "binding":
            bind(self._registry, kind, pod, body, options)
        else:
            evict(self._storage, self._registry, kind, pod, body, options)
        return done(call.warnings)


class _Call(msgspec.Struct, frozen=True):
    """A request, and what is known of it."""

    kind: Kind
    where: Route
    request: Request
    query: dict[str, str]
    user_agent: str
    warnings: list[str]

    @property
    def target(self) -> tuple[Kind, str, str, str]:
        return self.kind, self.where.namespace, self.where.name, self.where.subresource


def not_allowed() -> Refusal:
    text = "the server does not allow this method on the requested resource"
    return Refusal(405, "MethodNotAllowed", text, details={})
