"""What an API server tells at paths that are no resources': health, version, discovery, OpenAPI; and may I?

Whoever reaches this server may do everything: there is no authentication, and SelfSubjectAccessReviews say so.
"""

import re

import msgspec

from kubeloop.client.transport import JSON, Request, Response
from kubeloop.simulator.definitions import DEFINITIONS
from kubeloop.simulator.discovery import AGGREGATED, VERSION, aggregated_discovery, discovery, wants_aggregated
from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.openapi import openapi_document, openapi_index, openapi_v2
from kubeloop.simulator.refusals import Body, unsupported
from kubeloop.simulator.server import ApiServer

_HEALTH = ("healthz", "livez", "readyz")
_ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_ALLOWED: Body = {
    "kind": "SelfSubjectAccessReview",
    "apiVersion": "authorization.k8s.io/v1",
    "metadata": {},
    "spec": {},
    "status": {"allowed": True, "reason": "the simulated API server lets everybody do everything"},
}
# What a real server has beside its objects: whole programs and networks.
_NOT_SIMULATED = re.compile(
    r"/api/v1/namespaces/[^/]+/(pods|services|serviceaccounts)/[^/]+/"
    r"(attach|ephemeralcontainers|exec|log|portforward|proxy|resize|token)(?:/|$)"
    r"|/api/v1/(nodes)/[^/]+/(proxy)(?:/|$)"
)
_NOT_FOUND = Response(404, b"404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})


class Documents:
    """Those of one server."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    def answer(self, request: Request, accept: str) -> Response | None:
        """None for a path that is not ours. Raises `Refusal`."""
        path = request.path.rstrip("/")
        if elsewhere := _NOT_SIMULATED.match(path):
            raise unsupported("/".join(part for part in elsewhere.groups() if part))
        first = path.partition("/")[2].partition("/")[0]
        if path == _ACCESS_REVIEWS and request.method == "POST":
            return _json(_ALLOWED, status=201)
        if request.method != "GET":
            return None
        if first in _HEALTH:
            return Response(200, b"ok", {"Content-Type": "text/plain; charset=utf-8"})
        if path == "/version":
            return _json(VERSION)
        if first == "openapi":
            return self._openapi(path, accept)
        if first in ("api", "apis"):
            return self._discovery(path, accept)
        return None

    def _discovery(self, path: str, accept: str) -> Response | None:
        if path in ("/api", "/apis") and wants_aggregated(accept):
            return _json(aggregated_discovery(path, self._server.kinds), AGGREGATED)
        found = discovery(path, self._server.kinds)
        return None if found is None else _json(found)

    def _openapi(self, path: str, accept: str) -> Response:
        if path == "/openapi/v2":
            return openapi_v2(accept)
        if path == "/openapi/v3":
            return _json(openapi_index(self._server.kinds, self.schema_of))
        found = openapi_document(path.removeprefix("/openapi/v3/"), self._server.kinds, self.schema_of)
        return _NOT_FOUND if found is None else _json(found)

    def schema_of(self, kind: Kind) -> Body | None:
        """The schema in the definition of a custom kind."""
        found: Body | None = self.version_of(kind).get("schema", {}).get("openAPIV3Schema")
        return found

    def version_of(self, kind: Kind) -> Body:
        """What the definition of a custom kind says of this version; nothing for a built-in kind."""
        stored = self._server.storage.get(DEFINITIONS, kind.resource) if kind.custom else None
        if stored is None:
            return {}
        versions: list[Body] = stored.body["spec"]["versions"]
        return next((one for one in versions if one["name"] == kind.version), {})


def _json(body: Body, content_type: str = JSON, status: int = 200) -> Response:
    return Response(status, msgspec.json.encode(body), {"Content-Type": content_type})
