"""An API server with nothing but Events, in memory, and an event loop that jumps over every wait."""

import asyncio
import selectors
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import msgspec

from kubeloop.client import errors
from kubeloop.client.transport import Request, Response

T = TypeVar("T")


class EventServer:
    """`events` by name as stored; `calls` in order; each of `faults` fails one call, before or after its effect."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.times: list[float] = []
        self.faults: list[tuple[errors.ApiError, bool]] = []
        self.hangs = False

    async def request(self, request: Request, *, timeout_s: float) -> Response:
        self.calls.append(f"{request.method} {request.path}")
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.001)
        if self.hangs:
            await asyncio.sleep(timeout_s)
            raise errors.Unavailable("no answer")
        fault, after = self.faults.pop(0) if self.faults else (None, False)
        if fault and not after:
            raise fault
        answer = self._answer(request)
        if fault:
            raise fault
        return Response(200, msgspec.json.encode(answer))

    def _answer(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = msgspec.json.decode(request.body)
        if request.method == "POST":
            name = body["metadata"]["name"]
            if name in self.events:
                raise errors.AlreadyExists("it is there", status=409)
            assert body["metadata"]["namespace"] == request.path.split("/")[5]
            self.events[name] = body
            return body
        name = request.path.rsplit("/", 1)[1]
        if name not in self.events:
            raise errors.NotFound("it is not there", status=404)
        assert set(body) == {"series"}, "the server refuses all other changes"
        self.events[name].update(body)
        return self.events[name]

    def stream(
        self, request: Request, *, open_timeout_s: float, idle_timeout_s: float
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        raise NotImplementedError

    async def close(self) -> None:
        pass


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits, for nothing")
        if not ready and timeout:
            self.now += timeout + 1e-6
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run_virtually(scenario: Callable[[], Awaitable[T]]) -> T:
    """Runs to its end without waiting for real."""

    async def run() -> T:
        return await scenario()

    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        return runner.run(run())
