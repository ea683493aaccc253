"""The network between simulated processes and API servers: it takes time, and does what was decided about each call.

A request is checked by the fence, counted and decided about when its bytes leave; it arrives a moment later, is handled
whole, and its answer takes a moment to come back. What has left a process that is killed on the way is lost with it,
but for a late effect. A watch is read by the network, whether its process runs or not (see `streams`).
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from kubeloop.client import errors
from kubeloop.client.fence import Fence
from kubeloop.client.transport import Request, Response, Transport
from kubeloop.simulator.server import ApiServer
from kubeloop.simulator.watches import WatchStream
from kubeloop.testing.exchange import Answer, Exchange
from kubeloop.testing.faults import Call, Fault, FaultKind
from kubeloop.testing.incarnation import Process
from kubeloop.testing.requests import changes_something, resource_of, verb_of
from kubeloop.testing.streams import Stream
from kubeloop.testing.trace import Line

if TYPE_CHECKING:
    from kubeloop.testing.world import World

LATENCY_S = (0.0005, 0.003)


class Network:
    """All connections of a run. `pending` counts what is not as it should be, `waiting` are the requests whose senders
    wait for an answer.
    """

    def __init__(self, world: "World", servers: tuple[ApiServer, ...], chance: random.Random) -> None:
        self.world = world
        self.servers = servers
        self.pending = 0
        self.waiting: dict[asyncio.Future[Answer], Process] = {}
        self._chance = chance
        self._down_until: dict[int, float] = {}  # by the server's number, in the loop's time
        self._streams: dict[Process, list[Stream]] = {}
        self._loop = world.loop

    def transport(self, who: Process, fence: Fence | None, user_agent: str) -> Transport:
        """For one client of `who`."""
        return NetworkTransport(self, who, fence, user_agent)

    @property
    def busy(self) -> bool:
        """Something is under way, or not as it should be."""
        return self.pending > 0 or bool(self.waiting)

    def latency_s(self) -> float:
        """Of one way."""
        return self._chance.uniform(*LATENCY_S)

    def pick(self) -> int:
        """The number of the server that serves a call."""
        return 0 if len(self.servers) == 1 else self._chance.randrange(len(self.servers))

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Does something later, in no process's name."""
        self._loop.call_later(seconds, do, context=self.world.nowhere)

    def lasts(self, seconds: float, then: Callable[[], None] | None = None) -> None:
        """Something is not as it should be for so long."""
        self.pending += 1

        def over() -> None:
            self.mended()
            if then is not None:
                then()

        self.after(seconds, over)

    def mended(self) -> None:
        """One thing is as it should be again; what that leads to takes its time."""
        self.pending -= 1
        self.world.restless()

    def forget(self, who: Process) -> None:
        """A process is dead: its connections are closed."""
        for stream in self._streams.pop(who, []):
            stream.close()
        self.waiting = {answered: waiting for answered, waiting in self.waiting.items() if waiting is not who}

    def opened(self, who: Process, stream: Stream) -> None:
        self._streams.setdefault(who, []).append(stream)

    def closed(self, who: Process, stream: Stream) -> None:
        if stream in (streams := self._streams.get(who, [])):
            streams.remove(stream)

    def cut(self, who: Process, seconds: float) -> None:
        """Its connections carry nothing for that long."""
        self.lasts(seconds)
        for stream in tuple(self._streams.get(who, ())):
            stream.cut(seconds)

    def down(self, server: int) -> bool:
        """It is being started anew."""
        return self._loop.time() < self._down_until.get(server, 0.0)

    def strike(self, who: Process, server: int, call: Call, fault: Fault) -> None:
        """The faults of servers and processes that come with a call which otherwise goes its way."""
        serving = self.servers[server]
        match fault.kind:
            case FaultKind.STALE:
                serving.hold(call.resource)
                self.lasts(fault.seconds, lambda: serving.release(call.resource))
            case FaultKind.RESTART:
                serving.restart()
                self._down_until[server] = self._loop.time() + fault.seconds
                self.lasts(fault.seconds)
            case FaultKind.COMPACTION:
                self.world.storage.compact()
            case FaultKind.PAUSE:
                who.pause(fault.seconds)
            case FaultKind.CUT_OFF:
                who.isolate(fault.seconds)


class NetworkTransport:
    """The `Transport` of one client in a simulated process."""

    def __init__(self, network: Network, who: Process, fence: Fence | None, user_agent: str) -> None:
        self._network = network
        self._who = who
        self._fence = fence
        self._user_agent = user_agent
        self._loop = network.world.loop
        self._waiting: dict[asyncio.Future[Answer], None] = {}
        self._open: dict[Stream, None] = {}
        self._closed = False

    async def request(self, request: Request, *, timeout_s: float) -> Response:
        """See `Transport.request`."""
        answered, line = await self._send(request)
        answer = await self._wait(answered, request, line, timeout_s)
        assert isinstance(answer, Response)
        return answer

    async def _send(self, request: Request) -> "tuple[asyncio.Future[Answer], Line]":
        call, fault, line = self._leave(request)
        server = self._network.pick()
        if fault is not None:
            if fault.kind is FaultKind.KILL_BEFORE:
                self._who.kill(restart_s=fault.seconds)
                await self._who.never()
            self._network.strike(self._who, server, call, fault)
        answered: asyncio.Future[Answer] = self._loop.create_future()
        exchange = Exchange(self._network, self._who, request, self._user_agent, server, call, fault, line, answered)
        exchange.leave()
        return answered, line

    async def _wait(
        self, answered: "asyncio.Future[Answer]", request: Request, line: Line, timeout_s: float
    ) -> Response | WatchStream:
        self._waiting[answered] = None
        self._network.waiting[answered] = self._who
        patience = self._loop.call_later(timeout_s, _give_up, answered)  # asyncio.timeout costs thrice as much
        try:
            answer = await answered
        finally:
            patience.cancel()
            self._network.waiting.pop(answered, None)
            del self._waiting[answered]
        if answer is None:
            line.answer = line.answer or "no answer in time"
            self._network.world.restless()
            raise errors.Unavailable(f"{request.method} {request.path}: no answer within {timeout_s} s")
        if isinstance(answer, errors.ApiError):
            raise answer
        return answer

    @asynccontextmanager
    async def stream(
        self, request: Request, *, open_timeout_s: float, idle_timeout_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `Transport.stream`."""
        answered, line = await self._send(request)
        served = await self._wait(answered, request, line, open_timeout_s)
        assert not isinstance(served, Response)
        number = line.call.number if line.call is not None else 0
        stream = Stream(
            self._network,
            self._who,
            served,
            request.path,
            line.fault,
            number=number,
            idle_timeout_s=idle_timeout_s,
        )
        self._open[stream] = None
        try:
            yield stream
        finally:
            del self._open[stream]
            stream.close()

    async def close(self) -> None:
        """See `Transport.close`."""
        self._closed = True
        for answered in self._waiting:
            if not answered.done():
                answered.set_result(errors.Unavailable("this transport was closed"))
        for stream in self._open:
            stream.close()

    def _leave(self, request: Request) -> tuple[Call, Fault | None, Line]:
        if self._closed:
            raise errors.Unavailable("this transport is closed", sent=False)
        changes = changes_something(request)
        if self._fence is not None and request.method not in ("GET", "HEAD"):
            self._fence.check()
        return self._network.world.gate.passed(
            self._who,
            verb_of(request),
            request.path,
            resource=resource_of(request.path),
            query=request.query,
            changes=changes,
        )


def _give_up(answered: "asyncio.Future[Answer]") -> None:
    if not answered.done():
        answered.set_result(None)
