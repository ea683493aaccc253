"""Several processes, each an event loop of its own, on one virtual clock, and a server between which the network lies.

A step advances the clock and gives every process that is not stopped its turns. A stopped process gets none: what it
started, sent and was answered waits for it, as after SIGSTOP. Nothing here really sleeps.
"""

import asyncio
import contextlib
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
import time_machine

from kubeloop.client import errors
from kubeloop.client.client import Client
from kubeloop.client.transport import Request, Response
from kubeloop.leader import LeaderElection

TICK_S = 0.05

Fate = Literal["fine", "request lost", "answer lost", "unavailable"]


@dataclass(frozen=True, slots=True)
class Passage:
    """What the network does to one exchange."""

    fate: Fate = "fine"
    there_s: float = 0.0
    back_s: float = 0.0


class LeaseServer:
    """One Lease with optimistic concurrency; `writes` are the holders of all that was accepted, by time."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.writes: list[str] = []
        self._version = 0

    def answer(self, request: Request) -> Response:
        """Raises `ApiError` as the API server refuses."""
        body = msgspec.json.decode(request.body) if request.body else {}
        if request.method == "POST":
            if self.lease is not None:
                raise errors.AlreadyExists("leases exists", status=409)
            return self._store(body)
        if self.lease is None:
            raise errors.NotFound("no such lease", status=404)
        if request.method == "PATCH":
            known = body["metadata"].get("resourceVersion", "")
            if known and known != self.lease["metadata"]["resourceVersion"]:
                raise errors.Conflict("the object has been modified", status=409)
            return self._store({**self.lease, "spec": {**self.lease["spec"], **body["spec"]}})
        return Response(200, msgspec.json.encode(self.lease))

    def _store(self, lease: dict[str, Any]) -> Response:
        self._version += 1
        self.lease = {**lease, "metadata": {**lease["metadata"], "resourceVersion": str(self._version)}}
        self.writes.append(lease["spec"].get("holderIdentity", ""))
        return Response(200, msgspec.json.encode(self.lease))


class World:
    """The clock, the server and the processes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.server = LeaseServer()
        self.processes: list[Process] = []
        self._passages: Iterator[Passage] = iter(())
        self._network: list[tuple[float, int, Callable[[], None]]] = []
        self._sent = 0

    def network(self, passages: Iterator[Passage]) -> None:
        """What happens to the exchanges from now on, in the order in which they are sent; then all is fine."""
        self._passages = passages

    def passage(self) -> Passage:
        return next(self._passages, Passage())

    def deliver(self, after_s: float, what: Callable[[], None]) -> None:
        self._sent += 1
        heapq.heappush(self._network, (self.now + after_s, self._sent, what))

    def step(self) -> None:
        self.now = round(self.now + TICK_S, 6)
        while self._network and self._network[0][0] <= self.now:
            heapq.heappop(self._network)[2]()
        for process in self.processes:
            process.turn()
            assert len(self.open_fences) <= 1, f"at {self.now} s: {self.open_fences}"

    @property
    def open_fences(self) -> list[str]:
        """Of all processes, also the stopped: their next write would go out."""
        return [process.name for process in self.processes if process.election.leading]

    def run_for(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.step()

    def run_until(self, condition: Callable[[], bool], within_s: float) -> float:
        """Returns how long it took."""
        start = self.now
        while not condition():
            assert self.now < start + within_s, f"not within {within_s} s"
            self.step()
        return self.now - start

    def close(self) -> None:
        for process in self.processes:
            process.close()


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, world: World) -> None:
        self._world = world
        super().__init__()

    def time(self) -> float:
        return self._world.now


@dataclass
class _Wire:
    """The `Transport` of one process."""

    world: World

    async def request(self, request: Request, *, timeout_s: float) -> Response:
        passage = self.world.passage()
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

        def arrive() -> None:
            result: Response | errors.ApiError
            try:
                if passage.fate == "unavailable":
                    raise errors.Unavailable("503", status=503)
                result = self.world.server.answer(request)
            except errors.ApiError as error:
                result = error
            if passage.fate != "answer lost":
                self.world.deliver(passage.back_s, lambda: come_back(result))

        def come_back(result: Response | errors.ApiError) -> None:
            if answered.done():
                return
            if isinstance(result, errors.ApiError):
                answered.set_exception(result)
            else:
                answered.set_result(result)

        if passage.fate != "request lost":
            self.world.deliver(passage.there_s, arrive)
        try:
            async with asyncio.timeout(timeout_s):
                return await answered
        except TimeoutError as error:
            raise errors.Unavailable("no answer") from error

    def stream(
        self, request: Request, *, open_timeout_s: float, idle_timeout_s: float
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        raise NotImplementedError

    async def close(self) -> None:
        pass


@dataclass
class Process:
    """A candidate. Its `lead` notes when it ran and writes through the fence each 100 ms unless given another."""

    world: World
    name: str
    lead: Callable[["Process"], Awaitable[None]] | None = None
    stopped: bool = False
    #: seconds that the machine slept: the clock counts them, the event loop does not
    suspended_s: float = 0.0
    #: what its wall clock shows beyond the others'
    wall_ahead_s: float = 0.0
    #: of each `lead`: from and until
    terms: list[tuple[float, float]] = field(default_factory=list)
    written: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._loop = _Loop(self.world)
        self.client = Client(_Wire(self.world))
        self.election = LeaderElection(
            self.client,
            namespace="kube-system",
            name="test",
            identity=self.name,
            clock=lambda: self.world.now + self.suspended_s,
        )
        self.task = self._loop.create_task(self.election.run(self._lead))
        self.world.processes.append(self)

    async def _lead(self) -> None:
        start = self.world.now
        try:
            await (self.lead or _write)(self)
        finally:
            self.terms.append((start, self.world.now))

    def write(self) -> None:
        try:
            self.election.check()
        except errors.NotLeader:
            self.refused.append(self.world.now)
            raise
        self.written.append(self.world.now)

    def turn(self) -> None:
        """Runs what is ready, and what that made ready, some times over."""
        if self.stopped or self._loop.is_closed():
            return
        wall = datetime.now(UTC) + timedelta(seconds=self.wall_ahead_s)
        with time_machine.travel(wall) if self.wall_ahead_s else contextlib.nullcontext():
            for _ in range(6):
                self._loop.call_soon(self._loop.stop)
                self._loop.run_forever()

    def cancel(self) -> None:
        self.task.cancel()

    def failure(self) -> BaseException | None:
        return self.task.exception()

    def close(self) -> None:
        self.stopped = False
        for _ in range(50):
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self.turn()
            if not tasks:
                break
            self.world.now += 1
        if self.task.done() and not self.task.cancelled():
            self.task.exception()
        self._loop.close()


async def _write(process: Process) -> None:
    while True:
        process.write()
        await asyncio.sleep(0.1)


@contextlib.contextmanager
def a_world() -> Iterator[World]:
    world = World()
    try:
        yield world
    finally:
        world.close()
