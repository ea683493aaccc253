"""Kubeloop's clients on a simulated API server in the same process: no bytes leave it, and no time passes.

Nothing goes wrong here. Faults are put around it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubeloop.client import errors
from kubeloop.client.fence import Fence
from kubeloop.client.status import refusal
from kubeloop.client.transport import Request, Response
from kubeloop.metrics import Metrics
from kubeloop.simulator.server import ApiServer
from kubeloop.simulator.storage import Storage
from kubeloop.simulator.watches import StreamBroken, WatchStream


class SimulatedTransport:
    """kubeloop's `Transport` over one server; `fence` is asked right before each write."""

    def __init__(self, server: ApiServer, *, user_agent: str = "", fence: Fence | None = None) -> None:
        self._server = server
        self._user_agent = user_agent
        self._fence = fence
        self._streams: dict[WatchStream, None] = {}
        self._closed = False

    async def request(self, request: Request, *, timeout_s: float) -> Response:
        """See `Transport.request`."""
        await asyncio.sleep(0)  # as every answer of a network, this one lets others run first
        self._check(request)
        answer = self._server.handle(request, user_agent=self._user_agent)
        if answer.status >= 300:
            raise refusal(answer.status, answer.headers, answer.body)
        return answer

    @asynccontextmanager
    async def stream(
        self, request: Request, *, open_timeout_s: float, idle_timeout_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `Transport.stream`."""
        await asyncio.sleep(0)
        self._check(request)
        found = self._server.watch(request)
        if isinstance(found, Response):
            raise refusal(found.status, found.headers, found.body)
        self._streams[found] = None
        try:
            yield _lines(found, request.path, idle_timeout_s)
        finally:
            del self._streams[found]
            found.close()

    async def close(self) -> None:
        """See `Transport.close`."""
        self._closed = True
        for stream in tuple(self._streams):
            stream.break_off()

    def _check(self, request: Request) -> None:
        if self._closed:
            raise errors.Unavailable("this transport was closed", sent=False)
        if self._fence is not None and request.method not in ("GET", "HEAD"):
            self._fence.check()


async def _lines(stream: WatchStream, path: str, idle_timeout_s: float) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(idle_timeout_s):
                line = await anext(stream)
        except TimeoutError as error:
            raise errors.Unavailable(f"watch {path}: silent for {idle_timeout_s} s") from error
        except StreamBroken as error:
            raise errors.Unavailable(f"watch {path}: broken off") from error
        except StopAsyncIteration:
            return
        yield line


class SimulatedCluster:
    """A storage with one API server: kubeloop's `Cluster`, in this process."""

    def __init__(self, storage: Storage | None = None) -> None:
        self.storage = storage if storage is not None else Storage()
        self.server = ApiServer(self.storage)

    def transport(
        self, *, user_agent: str = "", fence: Fence | None = None, metrics: Metrics | None = None
    ) -> SimulatedTransport:
        """See `Cluster.transport`; metrics are not kept."""
        return SimulatedTransport(self.server, user_agent=user_agent, fence=fence)
