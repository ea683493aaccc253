"""The seam to the API server: one request, or one stream of lines. A simulated server implements the same protocol.

The aiohttp implementation owns credentials on the wire, the fence, metrics and the mapping of every failure to our
errors; connections are `connections`'. It knows nothing of kinds. A 401 renews the credentials once and repeats the
request, which had no effect; nothing else is repeated but a read whose kept-alive connection had been closed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
from multidict import CIMultiDict
from prometheus_client import Counter, Histogram

from kubeloop.client import errors
from kubeloop.client.config import ClusterConfig, Identity
from kubeloop.client.connections import Connections, WriteAttempt
from kubeloop.client.fence import Fence
from kubeloop.client.status import Status as Status
from kubeloop.client.status import error_from_status as error_from_status
from kubeloop.client.status import refusal
from kubeloop.metrics import Metrics

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """One call. `query` values are not yet percent-encoded."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)  # may hold a Secret
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


class Transport(Protocol):
    """How requests reach an API server."""

    async def request(self, request: Request, *, timeout_s: float) -> Response:
        """Answers with a 2xx response; raises `ApiError` for everything else."""
        ...

    def stream(
        self, request: Request, *, open_timeout_s: float, idle_timeout_s: float
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The lines of a long answer.

        Raises `ApiError` on a refusal, and `Unavailable` after a silence of `idle_timeout_s`.
        """
        ...

    async def close(self) -> None:
        """Ends every connection; requests under way raise `Unavailable`."""
        ...


class Cluster(Protocol):
    """An API server that is reached otherwise than a `ClusterConfig` says: a simulated one, in this process."""

    def transport(self, *, user_agent: str, fence: Fence | None, metrics: Metrics | None) -> Transport:
        """A new transport, closed by the caller. It asks the fence right before each write takes effect."""
        ...


def resource_of(path: str) -> str:
    """The plural that a path of the API is about, for metrics: of few values, so without names. Else empty."""
    parts = path.split("/")
    rest = parts[3:] if parts[1:2] == ["api"] else parts[4:] if parts[1:2] == ["apis"] else []
    if len(rest) > 2 and rest[0] == "namespaces" and not (parts[1] == "api" and rest[2] in ("status", "finalize")):
        return rest[2]
    return rest[0] if rest else ""


class HttpTransport:
    """HTTP/1.1 with kept-alive connections. Use as an async context manager, or call `close`.

    With a `fence` every request but GET and HEAD is refused with `NotLeader` once we do not lead, also one that
    started while we did and had to wait for a connection.
    """

    def __init__(
        self,
        config: ClusterConfig,
        *,
        user_agent: str,
        fence: Fence | None = None,
        metrics: Metrics | None = None,
        connections: int = 100,
    ) -> None:
        self._config = config
        self._server = config.server.rstrip("/")
        self._proxy = config.proxy_url or None
        self._server_hostname = config.tls_server_name or None
        self._fence = fence
        self._metrics = metrics or Metrics()
        self._connections = Connections(config, limit=connections)
        self._own_headers = [
            ("Accept", JSON),
            ("Accept-Encoding", "identity"),  # the server is near: to unpack lists and watches costs us 5 % of our CPU
            ("User-Agent", user_agent),
            *(config.impersonation.headers() if config.impersonation else ()),
        ]
        self._headers: dict[str, CIMultiDict[str]] = {}  # by content type, for the identity of the last request
        self._headers_of: Identity | None = None
        self._counters: dict[tuple[str, str, str], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    async def __aenter__(self) -> "HttpTransport":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Breaks off what is under way, which raises `Unavailable` there. Takes a second or two at most."""
        await self._connections.close()

    async def request(self, request: Request, *, timeout_s: float) -> Response:
        """See `Transport.request`."""
        attempt = _attempt(request, self._fence)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(request, attempt)
        except TimeoutError as error:
            self._count("<error>", request.method, request.path)
            raise errors.Unavailable(
                f"{request.method} {request.path}: no answer within {timeout_s} s", sent=_sent(attempt)
            ) from error

    async def _exchange(self, request: Request, attempt: WriteAttempt | None) -> Response:
        async with self._answered(request, attempt, request.method) as answer:
            body = await self._read(request, answer)
            if answer.status >= 300:
                raise refusal(answer.status, answer.headers, body)
            return Response(answer.status, body, answer.headers)

    async def _read(self, request: Request, answer: aiohttp.ClientResponse) -> bytes:
        try:
            return await answer.read()
        except (aiohttp.ClientError, ConnectionError) as error:
            raise errors.Unavailable(f"{request.method} {request.path}: the answer broke off: {error}") from error

    @asynccontextmanager
    async def stream(
        self, request: Request, *, open_timeout_s: float, idle_timeout_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `Transport.stream`."""
        opening = asyncio.timeout(open_timeout_s)
        try:
            async with opening, self._answered(request, _attempt(request, self._fence), "WATCH") as answer:
                if answer.status >= 300:
                    raise refusal(answer.status, answer.headers, await self._read(request, answer))
                opening.reschedule(None)
                yield _lines(answer, request.path, idle_timeout_s)
        except TimeoutError as error:
            if opening.expired():
                self._count("<error>", "WATCH", request.path)
                raise errors.Unavailable(f"watch {request.path}: not open after {open_timeout_s} s") from error
            raise

    @asynccontextmanager
    async def _answered(
        self, request: Request, attempt: WriteAttempt | None, verb: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer; after a 401, which had no effect, the one to a second request with renewed credentials."""
        credentials = self._config.credentials
        for second in (False, True):
            identity = await credentials.identity()
            pool = self._connections.acquire(identity.key_pair)
            try:
                answer = await self._send(pool.session, request, identity, attempt, verb)
                try:
                    if answer.status == 401 and not second:
                        await self._read(request, answer)  # kept in `answer`
                        if await credentials.renew(identity):
                            continue
                    yield answer
                finally:
                    _break_off(answer) if not answer.content.at_eof() else answer.release()
            finally:
                await self._connections.release(pool)
            return

    async def _send(
        self,
        session: aiohttp.ClientSession,
        request: Request,
        identity: Identity,
        attempt: WriteAttempt | None,
        verb: str,
    ) -> aiohttp.ClientResponse:
        started = time.perf_counter()
        try:
            answer = await session.request(
                request.method,
                self._server + request.path,
                params=request.query,
                data=request.body or None,
                headers=self._headers_for(identity, request),
                proxy=self._proxy,
                server_hostname=self._server_hostname,
                allow_redirects=False,
                middlewares=None if attempt is None else (attempt.started_anew(),),
            )
        except (aiohttp.ClientError, OSError, errors.ApiError) as error:
            self._count("<error>", verb, request.path)
            if isinstance(error, errors.ApiError):
                raise
            raise self._failure(request, error, sent=_sent(attempt)) from error
        except asyncio.CancelledError as error:
            # aiohttp cancels those who wait for a connection when the pool is closed: to them it is not a cancellation
            task = asyncio.current_task()
            if self._connections.closed and task is not None and not task.cancelling():
                raise errors.Unavailable("this transport was closed", sent=_sent(attempt)) from error
            raise
        self._count(str(answer.status), verb, request.path)
        self._observe(verb, time.perf_counter() - started)
        return answer

    def _headers_for(self, identity: Identity, request: Request) -> "CIMultiDict[str]":
        if identity is not self._headers_of:
            self._headers.clear()
            self._headers_of = identity
        content_type = request.content_type if request.body else ""
        headers = self._headers.get(content_type)
        if headers is None:
            headers = self._headers[content_type] = CIMultiDict([*self._own_headers, *identity.headers.items()])
            if content_type:
                headers["Content-Type"] = content_type
        return headers

    def _failure(self, request: Request, error: Exception, *, sent: bool) -> errors.Unavailable:
        """Every failure to get an answer, in our terms and with what to do about it."""
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return errors.Unavailable(
                f"{self._server}: the server's certificate is not accepted: {error.certificate_error}. Trusted is "
                f"{self._config.trust}; check certificate-authority, the server's name and tls-server-name",
                sent=False,
            )
        if isinstance(error, aiohttp.ClientHttpProxyError):
            said = f"{error.status} {error.message}"  # str(error) would give away the password in the proxy's URL
            return errors.Unavailable(f"the proxy does not connect to {self._server}: {said}", sent=False)
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return errors.Unavailable(f"cannot reach {self._server}: {error}", sent=False)
        return errors.Unavailable(f"{request.method} {request.path}: {error!r}", sent=sent)

    def _count(self, code: str, verb: str, path: str) -> None:
        key = (code, verb, resource_of(path))
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._metrics.requests.labels(*key)
        counter.inc()

    def _observe(self, verb: str, seconds: float) -> None:
        timer = self._timers.get(verb)
        if timer is None:
            timer = self._timers[verb] = self._metrics.request_seconds.labels(verb)
        timer.observe(seconds)


def _attempt(request: Request, fence: Fence | None) -> WriteAttempt | None:
    """None for reads: they may be repeated and need no fence."""
    return None if request.method in ("GET", "HEAD") else WriteAttempt(fence)


def _sent(attempt: WriteAttempt | None) -> bool:
    return attempt is None or attempt.sent


async def _lines(answer: aiohttp.ClientResponse, path: str, idle_timeout_s: float) -> AsyncIterator[bytes]:
    """Splits the body into lines of any length; ends with the body."""
    rest: list[bytes] = []
    while True:
        try:
            async with asyncio.timeout(idle_timeout_s):
                chunk = await answer.content.readany()
        except TimeoutError as error:
            raise errors.Unavailable(f"watch {path}: silent for {idle_timeout_s} s") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise errors.Unavailable(f"watch {path}: broken off: {error!r}") from error
        if not chunk:
            return
        *whole, tail = chunk.split(b"\n")
        for line in whole:
            if rest:
                rest.append(line)
                line = b"".join(rest)
                rest.clear()
            if line:
                yield line
        if tail:
            rest.append(tail)


def _break_off(answer: aiohttp.ClientResponse) -> None:
    """Closes the connection of an answer that goes on, as a watch does, at once.

    An orderly end of TLS would wait for the peer: with one that is dead, or when the event loop ends first, the socket
    stays open.
    """
    connection = answer.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    answer.close()
