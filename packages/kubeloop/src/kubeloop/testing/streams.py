"""A watch on its way from a server to a process.

The network reads it, in no process's name; what it has read arrives in order, each line a moment later. The process
takes the lines when it runs. A cut shorter than what TCP bears delays lines, a longer one breaks the connection: no
line is ever lost with the next one arriving.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Self

import msgspec

from kubeloop.client import errors
from kubeloop.simulator.watches import StreamBroken, WatchStream
from kubeloop.testing.faults import Fault, FaultKind

if TYPE_CHECKING:
    from kubeloop.testing.incarnation import Process
    from kubeloop.testing.network import Network

TCP_BEARS_S = 15.0
"""Without an acknowledgement: TCP_USER_TIMEOUT of kubeloop's own connections."""

_GONE = msgspec.json.encode(
    {
        "type": "ERROR",
        "object": {"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired", "message": "injected"},
    }
)

_Piece = bytes | errors.ApiError | None  # None: the orderly end


class Stream:
    """An async iterator over lines. Raises `Unavailable` when it is broken, or silent for too long."""

    def __init__(
        self,
        network: "Network",
        who: "Process",
        served: WatchStream,
        path: str,
        fault: Fault | None,
        *,
        number: int,
        idle_timeout_s: float,
    ) -> None:
        self._network = network
        self._who = who
        self._served = served
        self._path = path
        self._idle_timeout_s = idle_timeout_s
        self._loop = network.world.loop
        self._latency_s = network.latency_s()
        self._pieces: deque[_Piece] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._silent = False
        self._stalls = 0  # that go on
        self._held: list[_Piece] = []  # meanwhile
        self._faulty = False  # something is wrong with it, or will be
        self._closed = False
        self._reading = self._loop.create_task(self._read(), context=network.world.nowhere)
        network.opened(who, self)
        if fault is not None and fault.kind in _STRIKES:
            self._becomes_faulty()
            if fault.kind is FaultKind.WATCH_STALLED:
                self._stalls += 1
            network.after(fault.seconds, partial(self._struck, fault.kind, number))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._closed:
                raise errors.Unavailable(f"watch {self._path}: closed")
            self._waiter = self._loop.create_future()
            silence = self._loop.call_later(self._idle_timeout_s, self._too_silent)
            try:
                await self._waiter
            finally:
                silence.cancel()
                self._waiter = None
        piece = self._pieces.popleft()
        if isinstance(piece, bytes):
            return piece
        self._pieces.appendleft(piece)
        if piece is None:
            raise StopAsyncIteration
        raise piece

    def close(self) -> None:
        """Both ends."""
        if not self._closed:
            self._closed = True
            self._reading.cancel()
            self._served.close()
            self._network.closed(self._who, self)
            self._mended()
            self._wake()

    def cut(self, seconds: float) -> None:
        """The process is cut off for that long."""
        if seconds < TCP_BEARS_S:
            self._stalls += 1
            self._network.lasts(seconds, self.go_on)
        else:
            self._silent = True
            self._network.lasts(TCP_BEARS_S, self.break_off)

    # faults

    def _struck(self, kind: FaultKind, number: int) -> None:
        if self._closed:
            return
        stalled = kind is FaultKind.WATCH_STALLED
        self._network.world.note(self._who, f"call {number}: {kind}{' until now' if stalled else ''}")
        _STRIKES[kind](self)
        if kind is not FaultKind.WATCH_SILENT:
            self._mended()

    def end(self) -> None:
        """In order."""
        self._deliver(None)

    def break_off(self) -> None:
        """As a reset connection."""
        self._silent = False
        self._deliver(errors.Unavailable(f"watch {self._path}: the connection broke"))

    def expire(self) -> None:
        """With an event of 410."""
        self._deliver(_GONE)
        self._deliver(None)

    def fall_silent(self) -> None:
        """For ever."""
        self._silent = True

    def go_on(self) -> None:
        """After a stall: all that came meanwhile."""
        self._stalls -= 1
        if not self._stalls:
            held, self._held = self._held, []
            for piece in held:
                self._deliver(piece)

    async def _read(self) -> None:
        piece: _Piece = None
        try:
            async for line in self._served:
                self._network.after(self._latency_s, partial(self._deliver, line))
        except StreamBroken:
            piece = errors.Unavailable(f"watch {self._path}: the server has gone")
        self._network.after(self._latency_s, partial(self._deliver, piece))

    def _deliver(self, piece: _Piece) -> None:
        if self._closed or self._silent:
            return
        if self._stalls:
            self._held.append(piece)
            return
        self._pieces.append(piece)
        if not isinstance(piece, bytes):
            self._silent = True  # nothing comes after the end
            self._mended()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _too_silent(self) -> None:
        self._pieces.append(errors.Unavailable(f"watch {self._path}: silent for {self._idle_timeout_s} s"))
        self._wake()

    def _becomes_faulty(self) -> None:
        if not self._faulty:
            self._faulty = True
            self._network.pending += 1

    def _mended(self) -> None:
        if self._faulty:
            self._faulty = False
            self._network.mended()


_STRIKES: dict[FaultKind, Callable[[Stream], None]] = {
    FaultKind.WATCH_CLOSED: Stream.end,
    FaultKind.WATCH_BROKEN: Stream.break_off,
    FaultKind.WATCH_GONE: Stream.expire,
    FaultKind.WATCH_SILENT: Stream.fall_silent,
    FaultKind.WATCH_STALLED: Stream.go_on,
}
