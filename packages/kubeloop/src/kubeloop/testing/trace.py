"""What happened in a run: a list of lines, comparable as a whole and readable one by one.

    12.345  operator#2   17 (e5) patch /api/v1/namespaces/a/configmaps/one  answer lost -> 200

The time is virtual, in seconds since the run began; `#2` is the process's incarnation, 17 the call's number, e5 its
number among those that may change something. Two runs of one seed have equal traces.
"""

from collections.abc import Iterator
from hashlib import blake2b

import msgspec

from kubeloop.testing.faults import Call, Fault


class Line(msgspec.Struct):
    """One thing that happened. Of a call: what was decided about it, and what came of it, once that is known; else
    what `answer` says.
    """

    at_s: float
    process: str  # with its incarnation: "operator#2"; empty where no process did it
    answer: str
    call: Call | None = None
    fault: Fault | None = None
    body: int = 0  # a checksum of the answer's, which is not shown but compared

    def __str__(self) -> str:
        head = f"{self.at_s:10.3f}  {self.process:14}"
        call = self.call
        if call is None:
            return f"{head} {self.answer}"
        effect = "" if call.effect is None else f" (e{call.effect})"
        fault = "" if self.fault is None else f"  {self.fault}"
        answer = f" -> {self.answer}" if self.answer else ""
        return f"{head} {call.number}{effect} {call.verb} {call.path}{_asked(call)}{fault}{answer}"


class Trace:
    """The lines of a run, in order."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def add(self, line: Line) -> None:
        self.lines.append(line)

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trace) and self.lines == other.lines

    __hash__ = None  # type: ignore[assignment]  # it changes

    def digest(self) -> str:
        """Of the lines and the bodies of all answers: equal where the traces are."""
        hashed = blake2b(digest_size=16)
        for line in self.lines:
            hashed.update(f"{line} {line.body:x}\n".encode())
        return hashed.hexdigest()

    def last(self, count: int) -> str:
        """The last lines, as text."""
        return "\n".join(map(str, self.lines[-count:]))

    def __str__(self) -> str:
        return "\n".join(map(str, self.lines))


_TOLD = ("continue", "resourceVersion", "sendInitialEvents", "labelSelector", "fieldSelector", "dryRun")


def _asked(call: Call) -> str:
    told = [f"{name}={value}" for name, value in call.query if name in _TOLD]
    return f"?{'&'.join(told)}" if told else ""
