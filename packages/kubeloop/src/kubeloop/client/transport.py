"""The seam to the API server: one request, or one stream of lines. A simulated server implements the same protocol.

The aiohttp implementation owns connections, credentials on the wire and the mapping of every failure to our errors. It
knows nothing of kinds. TLS is verified unless the configuration says otherwise. A 401 renews the credentials once and
repeats the request, which had no effect.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
import msgspec

from kubeloop.client import errors
from kubeloop.client.config import ClusterConfig

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """One call. `query` values are not yet percent-encoded."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
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

    async def close(self) -> None: ...


class _Cause(msgspec.Struct):
    reason: str | None = None
    message: str | None = None
    field: str | None = None


class _Details(msgspec.Struct):
    causes: list[_Cause] | None = None
    retry_after_seconds: int | None = msgspec.field(default=None, name="retryAfterSeconds")


class Status(msgspec.Struct):
    """The body of a refusal: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/."""

    code: int | None = None
    reason: str | None = None
    message: str | None = None
    details: _Details | None = None


def error_from_status(status: Status, *, http_status: int = 0, retry_after_s: float | None = None) -> errors.ApiError:
    """The typed error for a Status object."""
    code = status.code or http_status
    reason = status.reason or ""
    message = status.message or f"HTTP status {code}"
    if retry_after_s is None and status.details and status.details.retry_after_seconds:
        retry_after_s = float(status.details.retry_after_seconds)
    kind = _error_type(code, reason)
    found = kind(message, status=code, reason=reason, retry_after_s=retry_after_s)
    found.causes = tuple(
        errors.Cause(one.reason or "", one.field or "", one.message or "")
        for one in (status.details and status.details.causes) or ()
    )
    return found


def _error_type(code: int, reason: str) -> type[errors.ApiError]:
    if code == 409:
        return errors.AlreadyExists if reason == "AlreadyExists" else errors.Conflict
    if code >= 500:
        return errors.Unavailable
    by_code: dict[int, type[errors.ApiError]] = {
        401: errors.Unauthorized,
        403: errors.Forbidden,
        404: errors.NotFound,
        410: errors.Gone,
        422: errors.Invalid,
        429: errors.Throttled,
    }
    return by_code.get(code, errors.BadRequest)


def _refusal(http_status: int, headers: Mapping[str, str], body: bytes) -> errors.ApiError:
    try:
        status = msgspec.json.decode(body, type=Status)
    except msgspec.MsgspecError:
        status = Status(message=body[:300].decode(errors="replace").strip() or None)
    after = headers.get("Retry-After", "")
    return error_from_status(status, http_status=http_status, retry_after_s=float(after) if after.isdigit() else None)


class HttpTransport:
    """HTTP/1.1 with kept-alive connections. Use as an async context manager, or call `close`."""

    def __init__(self, config: ClusterConfig, *, user_agent: str, connections: int = 100) -> None:
        self._config = config
        self._server = config.server.rstrip("/")
        self._user_agent = user_agent
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._retired: list[aiohttp.ClientSession] = []  # still carry requests made before the CA changed
        self._tls_stamp: object = None

    async def __aenter__(self) -> "HttpTransport":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        sessions = [*self._retired, *([self._session] if self._session else [])]
        self._retired, self._session = [], None
        for session in sessions:
            await session.close()

    async def request(self, request: Request, *, timeout_s: float) -> Response:
        """See `Transport.request`."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(request)
        except TimeoutError as error:
            raise errors.Unavailable(f"{request.method} {request.path}: no answer within {timeout_s} s") from error

    async def _exchange(self, request: Request) -> Response:
        for attempt in (1, 2):
            async with self._send(request) as answer:
                body = await self._read(request, answer)
                if answer.status == 401 and attempt == 1 and self._config.credentials.renew():
                    continue
                if answer.status >= 300:
                    raise _refusal(answer.status, answer.headers, body)
                return Response(answer.status, body, answer.headers)
        raise AssertionError("unreachable")

    async def _read(self, request: Request, answer: aiohttp.ClientResponse) -> bytes:
        try:
            return await answer.read()
        except aiohttp.ClientError as error:
            raise errors.Unavailable(f"{request.method} {request.path}: the answer broke off: {error}") from error

    @asynccontextmanager
    async def stream(
        self, request: Request, *, open_timeout_s: float, idle_timeout_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `Transport.stream`."""
        opening = asyncio.timeout(open_timeout_s)
        try:
            async with opening, self._send(request) as answer:
                if answer.status >= 300:
                    raise _refusal(answer.status, answer.headers, await self._read(request, answer))
                opening.reschedule(None)
                yield _lines(answer, request.path, idle_timeout_s)
        except TimeoutError as error:
            if opening.expired():
                raise errors.Unavailable(f"watch {request.path}: not open after {open_timeout_s} s") from error
            raise

    @asynccontextmanager
    async def _send(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        session = self._open_session()
        headers = {"Accept": JSON, "User-Agent": self._user_agent, **self._config.credentials.headers()}
        if request.body:
            headers["Content-Type"] = request.content_type
        try:
            answer = await session.request(
                request.method,
                self._server + request.path,
                params=request.query,
                data=request.body or None,
                headers=headers,
                proxy=self._config.proxy_url or None,
                server_hostname=self._config.tls_server_name or None,
                allow_redirects=False,
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # nothing was sent: the connection itself was refused
            raise errors.Unavailable(f"cannot reach {self._server}: {error}", sent=False) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise errors.Unavailable(f"{request.method} {request.path}: {error!r}") from error
        try:
            yield answer
        finally:
            answer.close() if not answer.content.at_eof() else answer.release()

    def _open_session(self) -> aiohttp.ClientSession:
        """The session; a new one when the CA or the client certificate on disk has changed."""
        stamp = self._config.tls_stamp()
        if self._session is None or stamp != self._tls_stamp:
            if self._session is not None:
                self._retired.append(self._session)
            self._tls_stamp = stamp
            connector = aiohttp.TCPConnector(
                limit=self._connections,
                ssl=self._config.tls_context() if self._server.startswith("https") else False,
                keepalive_timeout=75,
            )
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=aiohttp.ClientTimeout(total=None, sock_connect=10)
            )
        return self._session


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
