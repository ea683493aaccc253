"""What the suite asks of an API server, and the calls with which its tests speak to one.

The protocol is all that a server must offer to be held to the contract: the real kube-apiserver here, and whatever
claims to behave like it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from kubeloop.client.transport import JSON, Request, Response, Transport
from kubeloop.model.base import KubeObject
from kubeloop.model.core import Namespace

from .kinds import Gadget

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

Body = dict[str, Any]


class ApiServer(Protocol):
    """An API server that is running."""

    name: str

    def transport(self) -> Transport:
        """How kubeloop's clients reach it, as a user who may do everything; closed by the caller."""
        ...

    async def exchange(self, request: Request) -> Response:
        """One request and its answer, whatever that is: errors are what the contract is about."""
        ...

    async def compact(self) -> None:
        """Forgets all history: no watch and no list goes on from a version or token that was given before."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its body read as JSON."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def meta(self) -> Any:
        return self.body["metadata"]

    @property
    def version(self) -> int:
        return int(self.body["metadata"]["resourceVersion"])

    @property
    def causes(self) -> list[tuple[str, str]]:
        """Reason and field of each cause of a refusal; once, though metadata of custom kinds is validated twice."""
        causes = [(cause.get("reason", ""), cause.get("field", "")) for cause in self.body["details"]["causes"]]
        return list(dict.fromkeys(causes))


class Api:
    """Raw calls in one namespace of one server."""

    def __init__(self, server: ApiServer, transport: Transport, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        self._transport = transport

    def path(self, kind: type[KubeObject] = Gadget, name: str = "", subresource: str = "") -> str:
        return kind.resource.path(namespace=self.namespace, name=name, subresource=subresource)

    async def call(
        self, method: str, path: str, body: object = None, *, content_type: str = JSON, **query: str | int | bool
    ) -> Answer:
        """Query names are Python's: `continue_` is `continue`; True is `true`."""
        params = _params(query)
        content = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        request = Request(method, path, params, content, content_type)
        answer = await self.server.exchange(request)
        for _ in range(50):
            if answer.status != 429:
                break
            await asyncio.sleep(0.1)  # a server that has just started fills its caches first
            answer = await self.server.exchange(request)
        try:
            parsed = msgspec.json.decode(answer.body)
        except msgspec.DecodeError:
            parsed = answer.body.decode()
        return Answer(answer.status, parsed, {name.lower(): value for name, value in answer.headers.items()})

    async def get(self, path: str, **query: str | int | bool) -> Answer:
        return await self.call("GET", path, **query)

    async def names(self, path: str, **query: str | int | bool) -> list[str]:
        """The names that a list has."""
        answer = await self.call("GET", path, **query)
        assert answer.status == 200, answer.body
        return [item["metadata"]["name"] for item in answer.body["items"]]

    async def create(self, body: Body, kind: type[KubeObject] = Gadget, **query: str | int | bool) -> Answer:
        return await self.call("POST", self.path(kind), body, **query)

    async def made(self, body: Body, kind: type[KubeObject] = Gadget) -> Answer:
        """Creates what must succeed."""
        answer = await self.create(body, kind)
        assert answer.status == 201, answer.body
        return answer

    async def put(self, body: Body, *, kind: type[KubeObject] = Gadget, subresource: str = "") -> Answer:
        return await self.call("PUT", self.path(kind, body["metadata"]["name"], subresource), body)

    async def merge(
        self, name: str, body: Body, *, kind: type[KubeObject] = Gadget, subresource: str = "", **query: str | bool
    ) -> Answer:
        return await self.call("PATCH", self.path(kind, name, subresource), body, content_type=MERGE, **query)

    async def apply(
        self,
        body: Body,
        manager: str,
        *,
        kind: type[KubeObject] = Gadget,
        subresource: str = "",
        force: bool = False,
        **query: str,
    ) -> Answer:
        path = self.path(kind, body["metadata"]["name"], subresource)
        more: dict[str, str | bool] = {**query, **({"force": True} if force else {})}
        return await self.call("PATCH", path, body, content_type=APPLY, fieldManager=manager, **more)

    async def delete(self, name: str, options: Body | None = None, *, kind: type[KubeObject] = Gadget) -> Answer:
        return await self.call("DELETE", self.path(kind, name), options)

    async def make_namespace(self) -> None:
        answer = await self.call("POST", Namespace.resource.path(), {"metadata": {"name": self.namespace}})
        assert answer.status == 201, answer.body

    async def elsewhere(self) -> "Api":
        """The same in another namespace, `<ours>-other`."""
        other = Api(self.server, self._transport, f"{self.namespace}-other")
        await other.make_namespace()
        return other

    @asynccontextmanager
    async def watch(self, path: str, **query: str | int | bool) -> AsyncIterator["Events"]:
        request = Request("GET", path, (("watch", "true"), *_params(query)))
        async with self._transport.stream(request, open_timeout_s=10, idle_timeout_s=30) as lines:
            yield Events(lines)


class Events:
    """The events of a watch."""

    def __init__(self, lines: AsyncIterator[bytes]) -> None:
        self._lines = lines

    async def take(self, count: int) -> list[Body]:
        """The next events. Raises TimeoutError when they do not come within 10 s."""
        found: list[Body] = []
        async with asyncio.timeout(10):
            while len(found) < count:
                found.append(msgspec.json.decode(await anext(self._lines)))
        return found

    async def rest(self) -> list[Body]:
        """All events until the server ends the watch."""
        async with asyncio.timeout(20):
            return [msgspec.json.decode(line) async for line in self._lines]


def told(events: list[Body]) -> list[tuple[str, str]]:
    """Type and name of each event."""
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


def gadget(name: str, **more: Any) -> Body:
    """A gadget that is valid; `spec` adds to its own or, with `...`, takes away, `meta` goes into the metadata."""
    spec = {key: value for key, value in {"owner": "me", **more.get("spec", {})}.items() if value is not ...}
    resource = Gadget.resource
    body = {"apiVersion": resource.api_version, "kind": resource.kind}
    return {**body, "metadata": {"name": name, **more.get("meta", {})}, "spec": spec}


def config_map(name: str, **data: str) -> Body:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _params(query: Mapping[str, str | int | bool]) -> tuple[tuple[str, str], ...]:
    texts = {name.rstrip("_"): "true" if value is True else str(value) for name, value in query.items()}
    return tuple(texts.items())
