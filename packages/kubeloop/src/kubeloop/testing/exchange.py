"""One request on its way there and back, and what was decided about it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

import msgspec

from kubeloop.client import errors
from kubeloop.client.status import refusal
from kubeloop.client.transport import Request, Response
from kubeloop.simulator.watches import WatchStream
from kubeloop.testing.faults import Call, Fault, FaultKind
from kubeloop.testing.incarnation import Process
from kubeloop.testing.trace import Line

if TYPE_CHECKING:
    from kubeloop.testing.network import Network

Answer = Response | WatchStream | errors.ApiError | None
"""None: none in time."""


@dataclass(slots=True)
class Exchange:
    """`answered` gets what comes back; `line` of the trace says what came of it."""

    network: "Network"
    who: Process
    request: Request
    user_agent: str
    server: int
    call: Call
    fault: Fault | None
    line: Line
    answered: "asyncio.Future[Answer]"

    @property
    def kind(self) -> FaultKind | None:
        """Of the fault."""
        return self.fault.kind if self.fault is not None else None

    @property
    def seconds(self) -> float:
        """Of the fault."""
        return self.fault.seconds if self.fault is not None else 0.0

    def leave(self) -> None:
        """Its bytes are with the network."""
        there_s = self.network.latency_s()
        if self.kind is FaultKind.LATE_EFFECT:
            self.network.after(there_s, self._break)
            self.network.lasts(self.seconds, self._take_effect_late)
        elif self.kind is FaultKind.NO_ANSWER or self.who.cut_off:
            self.line.answer = "lost"
        else:
            self.network.after(there_s, self._arrive)

    def _arrive(self) -> None:
        if self.who.dead or self.who.cut_off:
            self.line.answer = "lost"
            return
        if self.network.down(self.server):
            self._come_back(errors.Unavailable("connection refused", sent=False))
            return
        refused = _INJECTED.get(self.kind) if self.kind is not None else None
        if self.kind is FaultKind.REQUEST_LOST:
            self._break()
        elif refused is not None and self.fault is not None:
            self._come_back(refused(self.fault))
        else:
            self._handle()

    def _handle(self) -> None:
        server = self.network.servers[self.server]
        if self.call.verb == "watch":
            self._come_back(server.watch(self.request))
            return
        response = server.handle(self.request, user_agent=self.user_agent)
        self.line.answer = str(response.status)
        self.line.body = crc32(response.body)
        if self.kind is FaultKind.KILL_AFTER:
            self.who.kill(restart_s=self.seconds)
        elif self.kind is FaultKind.ANSWER_LOST:
            self._break()
        elif self.kind is FaultKind.FAILED:
            self._come_back(_status(500, "InternalError", "injected, after the effect"))
        else:
            self._come_back(response, slow_s=self.seconds if self.kind is FaultKind.SLOW else 0)

    def _take_effect_late(self) -> None:
        response = self.network.servers[self.server].handle(self.request, user_agent=self.user_agent)
        self.network.world.note(self.who, f"late effect of call {self.call.number} -> {response.status}")

    def _break(self) -> None:
        self.line.answer = self.line.answer or "lost"
        self._answer(errors.Unavailable(f"{self.request.method} {self.request.path}: the connection broke"))

    def _come_back(self, response: Answer, *, slow_s: float = 0.0) -> None:
        if isinstance(response, Response):
            self.line.answer = self.line.answer or f"{response.status}"
            if response.status >= 300:
                response = refusal(response.status, response.headers, response.body)
        else:
            said = response.message if isinstance(response, errors.ApiError) else "open"
            self.line.answer = self.line.answer or said
        answer = response
        self.network.after(self.network.latency_s() + slow_s, lambda: self._answer(answer))

    def _answer(self, answer: Answer) -> None:
        if not self.answered.done() and not self.who.cut_off:
            self.answered.set_result(answer)
        elif isinstance(answer, WatchStream):
            answer.close()


def _status(code: int, reason: str, message: str, **headers: str) -> Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message}
    return Response(code, msgspec.json.encode({**body, "code": code}), headers)


_INJECTED: dict[FaultKind, Callable[[Fault], Response]] = {
    FaultKind.CONFLICT: lambda _: _status(409, "Conflict", "injected: the object has been modified"),
    FaultKind.GONE: lambda _: _status(410, "Expired", "injected: too old"),
    FaultKind.UNAVAILABLE: lambda _: _status(503, "ServiceUnavailable", "injected"),
    FaultKind.THROTTLED: lambda fault: _status(
        429, "TooManyRequests", "injected", **{"Retry-After": f"{max(round(fault.seconds), 1)}"}
    ),
}
