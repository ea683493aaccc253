"""The connections to one server: TLS contexts, socket options, and their replacement when certificates rotate.

A new CA or client certificate makes a new pool; the old one serves the requests that it carries and is closed with the
last of them. Certificates that do not load, as files do while they are written, change nothing: what worked goes on
and the files are looked at again a second later.

A peer that fell silent is noticed by the kernel: an idle connection within 20 s by keep-alive probes, unacknowledged
data within 15 s. While a server cannot be reached a SYN goes out at least every 3 s, so that its return is noticed
soon: older kernels double their patience with each SYN, so there an attempt ends after two (3 s); from Linux 6.5 they
come each second (tcp_syn_linear_timeouts). An attempt to connect, with its TLS handshake, ends after 6 s in any case.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp.client_reqrep import ClientRequest

from kubeloop.client.config import LOOK_AT_FILES_EVERY_S, ClusterConfig
from kubeloop.client.errors import NotLeader, Unavailable
from kubeloop.client.fence import Fence
from kubeloop.client.tls import FileStamp, KeyPair

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 6.0

_TCP_OPTIONS = {  # Linux's names; other systems lack some
    "TCP_SYNCNT": 1,  # one more SYN after 1 s, the end after 2 s more; linear ones come on top
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPINTVL": 3,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 15_000,  # ms
}


def open_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for one of `getaddrinfo`'s answers, whose dead peer is noticed in time."""
    family, kind, protocol = address[:3]
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _TCP_OPTIONS.items():
        if hasattr(socket, name):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return opened


class WriteAttempt:
    """One write on its way; goes to aiohttp as a middleware.

    It asks the fence when a connection is there, and again right before the bytes go. `sent` is False as long as no
    byte was handed over. It keeps aiohttp from repeating a DELETE or PUT whose connection broke.
    """

    __slots__ = ("_fence", "sent")

    def __init__(self, fence: Fence | None) -> None:
        self._fence = fence
        self.sent = False

    async def __call__(self, request: ClientRequest, handler: Callable[[ClientRequest], Any]) -> aiohttp.ClientResponse:
        assert isinstance(request, FencedRequest)
        request.attempt = self
        try:
            answer: aiohttp.ClientResponse = await handler(request)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            if self.sent:  # aiohttp repeats these, once
                raise Unavailable(f"{request.method} {request.url.path}: {error!r}") from error
            raise
        return answer

    def started_anew(self) -> "WriteAttempt":
        """For the second request after a 401, which had no effect."""
        self.sent = False
        return self

    def check(self) -> None:
        """Raises `NotLeader`."""
        if self._fence is not None:
            self._fence.check()


class FencedRequest(ClientRequest):
    """A request that asks before it is sent, if it was given an attempt to ask."""

    attempt: WriteAttempt | None = None

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        """Called by aiohttp with a connection of the pool; an exception closes the connection."""
        if self.attempt is not None:
            self.attempt.check()
            self.attempt.sent = self.attempt.sent or not self._body
        return await super().send(conn)

    async def write_bytes(self, writer: Any, conn: Any, content_length: int | None = None) -> None:
        """Runs as a task of its own, an iteration of the loop later; the headers wait in a buffer for the body."""
        if self.attempt is not None:
            try:
                self.attempt.check()
            except NotLeader as error:
                conn.protocol.set_exception(error)  # the one who waits for the answer gets it
                return
            self.attempt.sent = True
        await super().write_bytes(writer, conn, content_length)


class Pool:
    """One aiohttp session, and how many requests it carries."""

    __slots__ = ("session", "users")

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.users = 0


class Connections:
    """Hands out the pool to use, and closes what is out of use. `limit` is of connections, over all requests."""

    def __init__(self, config: ClusterConfig, *, limit: int = 100, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._limit = limit
        self._clock = clock
        self._tls = config.server.startswith("https:")
        self._pool: Pool | None = None
        self._retired: set[Pool] = set()
        self._key_pair: KeyPair | None = None
        self._stamp: tuple[FileStamp, ...] = ()
        self._look_at = 0.0
        self.closed = False

    @property
    def retired(self) -> int:
        """How many pools are not given out any more but still open."""
        return len(self._retired)

    def acquire(self, key_pair: KeyPair | None) -> Pool:
        """The pool for one request, which must release it.

        Raises `Unavailable` when the certificates do not load and never did.
        """
        if self.closed:
            raise Unavailable("this transport is closed", sent=False)
        now = self._clock()
        if self._pool is None or (self._tls and (now >= self._look_at or key_pair is not self._key_pair)):
            self._look_at = now + LOOK_AT_FILES_EVERY_S
            self._pool = self._replaced(key_pair)
        self._pool.users += 1
        return self._pool

    async def release(self, pool: Pool) -> None:
        """The request has ended."""
        pool.users -= 1
        if self._retired:
            unused = [pool for pool in self._retired if not pool.users]
            self._retired.difference_update(unused)
            for pool in unused:
                await _close(pool)

    async def close(self) -> None:
        """Breaks off what is under way; bounded in time. Requests after it are refused."""
        self.closed = True
        pools = [*self._retired, *([self._pool] if self._pool else [])]
        self._retired, self._pool = set(), None
        for pool in pools:
            await _close(pool)

    def _replaced(self, key_pair: KeyPair | None) -> Pool:
        """The pool, or a new one if certificates have changed and load."""
        if not self._tls:
            return self._new_pool(None)
        try:
            stamp = self._config.tls_stamp()  # before the files are read: what is written meanwhile shows next time
            if self._pool is not None and stamp == self._stamp and key_pair == self._key_pair:
                self._key_pair = key_pair  # equal, but perhaps another object: the check before is by identity
                return self._pool
            context = self._config.tls_context(key_pair)
        except (ssl.SSLError, OSError) as error:
            problem = f"certificates cannot be loaded ({self._config.trust}): {error}"
            if self._pool is None or key_pair != self._key_pair:
                raise Unavailable(problem, sent=False) from error
            log.warning("the old certificates stay in use", extra={"problem": problem})
            return self._pool
        if self._pool is not None:
            self._retired.add(self._pool)
        self._stamp, self._key_pair = stamp, key_pair
        return self._new_pool(context)

    def _new_pool(self, context: ssl.SSLContext | None) -> Pool:
        connector = aiohttp.TCPConnector(
            limit=self._limit,
            ssl=context if context is not None else False,
            keepalive_timeout=75,
            socket_factory=open_socket,
        )
        return Pool(
            aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
                request_class=FencedRequest,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        )


async def _close(pool: Pool) -> None:
    """At once: TLS is not shut down in order. A plain connection whose peer takes nothing more must not hold us up."""
    with suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            await pool.session.close()
