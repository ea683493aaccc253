"""The simulated API server over HTTP/1.1, in real time: for kubectl, for controllers in any language, for load.

It turns requests into those of `ApiServer`, answers into the form that was asked for, and streams watches. Plain HTTP
and no credentials: whoever reaches it may do everything, so it listens on loopback unless told otherwise.
"""

import asyncio
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from kubeloop.client.config import ClusterConfig
from kubeloop.client.transport import JSON, Request, Response
from kubeloop.simulator.accept import PLAIN, Form, negotiated
from kubeloop.simulator.answers import refused
from kubeloop.simulator.columns import SCALE
from kubeloop.simulator.documents import Documents
from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.protobuf import PROTOBUF, decoded
from kubeloop.simulator.refusals import Refusal, unsupported, unsupported_media_type
from kubeloop.simulator.requests import query_of
from kubeloop.simulator.routes import route
from kubeloop.simulator.server import ApiServer, is_watch
from kubeloop.simulator.storage import Storage
from kubeloop.simulator.tables import Shown, columns_of
from kubeloop.simulator.watches import StreamBroken, WatchStream

_LONGEST_BODY_BYTES = 3 * 1024 * 1024
_LONGEST_LINE_BYTES = 128 * 1024  # of a request: selectors and continue tokens are long
_SHUTDOWN_S = 1.0


class NotLoopback(Exception):
    """The address is reached from other machines, and nobody has said that it shall."""


class HttpSimulator:
    """Serves one `ApiServer` while it is entered. Two of them on one storage are two replicas.

    `port` 0 takes a free one. Raises `NotLoopback` for another `host` than loopback, unless `reachable` says that other
    machines may do everything here.
    """

    def __init__(
        self,
        server: ApiServer | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        reachable: bool = False,
    ) -> None:
        if not reachable and not _is_loopback(host):
            raise NotLoopback(f"{host} is not loopback, and whoever reaches this server may do everything")
        self.server = server if server is not None else ApiServer(Storage())
        self._host = host
        self._port = port
        self._documents = Documents(self.server)
        self._runner: web.ServerRunner | None = None
        self._streams: set[WatchStream] = set()

    async def __aenter__(self) -> "HttpSimulator":
        """Listens. Raises `OSError` when the address is taken."""
        listener = web.Server(
            self._serve,
            request_factory=_make_request,
            handler_cancellation=True,  # a watch learns only so that its client is gone
            access_log=None,
            auto_decompress=False,
            max_line_size=_LONGEST_LINE_BYTES,
            max_field_size=_LONGEST_LINE_BYTES,
        )
        self._runner = web.ServerRunner(listener, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends its watches in order, as a server that is stopped does."""
        for stream in tuple(self._streams):
            stream.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def watches(self) -> int:
        """How many are open."""
        return len(self._streams)

    def config(self) -> ClusterConfig:
        """For kubeloop's clients."""
        return ClusterConfig(self.url)

    async def _serve(self, http: web.BaseRequest) -> web.StreamResponse:
        accept = http.headers.get("Accept", "")
        try:
            request = await _read(http)
            if "Upgrade" in http.headers:
                raise unsupported(f"connections that are upgraded, as {request.path} wants it")
            if is_watch(request):
                return await self._serve_watch(http, request, accept)
            return _sent(self._answer(request, accept, http.headers.get("User-Agent", "")))
        except Refusal as refusal:
            return _sent(refused(refusal))

    def _answer(self, request: Request, accept: str, user_agent: str) -> Response:
        document = self._documents.answer(request, accept)
        if document is not None:
            return document
        form = negotiated(accept)
        if request.content_type.startswith(PROTOBUF) and self._kind(request) is not None:
            request = replace(request, body=msgspec.json.encode(decoded(request.body)), content_type=JSON)
        answer = self.server.handle(request, user_agent=user_agent)
        if form is PLAIN or answer.headers.get("Content-Type") != JSON or answer.status >= 300:
            return answer
        body = self._shown(request, form).answer(msgspec.json.decode(answer.body), datetime.now(UTC))
        if form.encoding == "yaml":
            return Response(
                answer.status, msgspec.yaml.encode(body), {**answer.headers, "Content-Type": "application/yaml"}
            )
        return Response(answer.status, msgspec.json.encode(body), answer.headers)

    def _kind(self, request: Request) -> Kind | None:
        where = route(request.path)
        return None if where is None else self.server.kinds.get(where.group, where.version, where.plural)

    def _shown(self, request: Request, form: Form) -> Shown:
        kind, where = self._kind(request), route(request.path)
        if kind is None or where is None:
            return Shown(PLAIN, ())
        if where.subresource == "scale":
            return Shown(form, SCALE)
        printed = self._documents.version_of(kind).get("additionalPrinterColumns", []) if kind.custom else None
        return Shown(form, columns_of(kind.resource, printed), include=query_of(request).get("includeObject", ""))

    async def _serve_watch(self, http: web.BaseRequest, request: Request, accept: str) -> web.StreamResponse:
        form = negotiated(accept)
        if form.encoding != "json":
            raise Refusal(406, "NotAcceptable", "watches come as JSON alone")
        shown = None if form is PLAIN else self._shown(request, form)
        stream = self.server.watch(request)
        if isinstance(stream, Response):
            return _sent(stream)
        response = web.StreamResponse(headers={"Content-Type": JSON, "Cache-Control": "no-cache, private"})
        self._streams.add(stream)
        try:
            await response.prepare(http)
            async for line in stream:
                lines = [line, *stream.take()]  # all at once: a write is a system call
                await response.write(b"\n".join([*(_as_shown(lines, shown) if shown else lines), b""]))
            await response.write_eof()
        except StreamBroken:
            if http.transport is not None:
                http.transport.abort()
        except ConnectionError:
            pass  # the client is gone
        finally:
            stream.close()
            self._streams.discard(stream)
        return response


async def _read(http: web.BaseRequest) -> Request:
    query = tuple(http.query.items()) if http.query_string else ()
    if not http.body_exists:
        return Request(http.method, http.rel_url.raw_path, query)
    if http.headers.get("Content-Encoding", "identity") != "identity":
        raise unsupported_media_type("the simulated API server reads no bodies that are compressed")
    if http.headers.get("Expect", "").lower() == "100-continue" and http.transport is not None:
        http.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # its client waits for this
    try:
        body = await http.read()
    except web.HTTPRequestEntityTooLarge:
        text = f"Request entity too large: limit is {_LONGEST_BODY_BYTES}"
        raise Refusal(413, "RequestEntityTooLarge", text) from None
    return Request(http.method, http.rel_url.raw_path, query, body, http.headers.get("Content-Type", ""))


def _as_shown(lines: Iterable[bytes], shown: Shown) -> Iterator[bytes]:
    for line in lines:
        yield msgspec.json.encode(shown.event(msgspec.json.decode(line), datetime.now(UTC)))


def _sent(answer: Response) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=_headers(answer.headers))


def _headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    return {"Cache-Control": "no-cache, private", **headers}


def _make_request(*parts: Any) -> web.BaseRequest:
    message, payload, protocol, writer, task = parts
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_LONGEST_BODY_BYTES)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
