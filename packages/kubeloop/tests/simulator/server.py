"""A simulated server as its own tests use it: requests without a transport."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from kubeloop.client.transport import JSON, Request, Response
from kubeloop.simulator import ApiServer, Storage, WatchStream

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"

Body = dict[str, Any]


def call(
    server: ApiServer, method: str, path: str, body: object = None, *, content_type: str = JSON, **query: object
) -> tuple[int, Any]:
    """Status and body of an answer. Query names are Python's: `continue_` is `continue`."""
    answer = server.handle(_request(method, path, body, content_type, query), user_agent="test/1")
    assert isinstance(answer, Response)
    return answer.status, msgspec.json.decode(answer.body)


def config_map(name: str, *, namespace: str = "default", **meta: Any) -> Body:
    return {"metadata": {"name": name, "namespace": namespace, **meta}, "data": {}}


def create(server: ApiServer, name: str, **meta: Any) -> Body:
    status, body = call(server, "POST", CONFIG_MAPS, config_map(name, **meta))
    assert status == 201, body
    return dict(body)


def change(server: ApiServer, name: str, value: str) -> Body:
    status, body = call(server, "PATCH", f"{CONFIG_MAPS}/{name}", {"data": {"x": value}}, content_type=MERGE)
    assert status == 200, body
    return dict(body)


def version(body: Body) -> int:
    return int(body["metadata"]["resourceVersion"])


def names(body: Body) -> list[str]:
    return [item["metadata"]["name"] for item in body["items"]]


@asynccontextmanager
async def watch(server: ApiServer, path: str = CONFIG_MAPS, **query: object) -> AsyncIterator[WatchStream]:
    stream = server.watch(_request("GET", path, None, JSON, {"watch": "true", **query}))
    assert isinstance(stream, WatchStream), stream
    try:
        yield stream
    finally:
        stream.close()


def told(stream: WatchStream) -> list[tuple[str, str]]:
    """Type and name of what it has to say now."""
    events = [msgspec.json.decode(line) for line in stream.take()]
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


def new_server() -> ApiServer:
    return ApiServer(Storage())


def _request(method: str, path: str, body: object, content_type: str, query: dict[str, object]) -> Request:
    params = tuple((name.rstrip("_"), str(value)) for name, value in query.items())
    return Request(method, path, params, b"" if body is None else msgspec.json.encode(body), content_type)
