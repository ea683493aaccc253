"""What may go wrong with the calls of simulated processes: decisions, as data.

A decision is made for each call, by its number, when its bytes would leave the process. A run's decisions are a mapping
from numbers to `Fault`s (`World.decisions`): `ScriptedFaults` of them replays the run, without some of them it is a
smaller one.

Nothing here acts: `network` does what is decided. `SeededFaults` decides only what a real cluster could do to such a
call: no 410 for a create, no answer lost after the effect of a read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Protocol

import msgspec


class FaultKind(StrEnum):
    """What may go wrong; `seconds` are the fault's."""

    # of one request
    REQUEST_LOST = "request lost"  #: no effect; the connection breaks, the sender cannot know
    ANSWER_LOST = "answer lost"  #: it took effect; the connection breaks before the answer
    LATE_EFFECT = "late effect"  #: the connection breaks; it takes effect `seconds` later, whoever leads by then
    NO_ANSWER = "no answer"  #: half-open: neither effect nor answer, until the sender gives up
    SLOW = "slow"  #: it takes effect at once, and is answered after `seconds`
    CONFLICT = "conflict"  #: 409, without effect
    GONE = "gone"  #: 410: a list's continue token, or the version of a watch
    THROTTLED = "throttled"  #: 429 with Retry-After of `seconds`, without effect
    UNAVAILABLE = "unavailable"  #: 503, without effect
    FAILED = "failed"  #: 500 after it took effect
    # of one watch, `seconds` after it was opened
    WATCH_CLOSED = "watch closed"  #: in order, as at its timeoutSeconds
    WATCH_BROKEN = "watch broken"  #: in the middle, as when the connection is reset
    WATCH_GONE = "watch gone"  #: an ERROR event of 410
    WATCH_SILENT = "watch silent"  #: half-open: nothing comes any more
    WATCH_STALLED = "watch stalled"  #: what comes from now on is delivered together after `seconds`: reordered
    # of the servers
    STALE = "stale"  #: this server's watch cache of this resource stands still for `seconds`
    RESTART = "restart"  #: this API server starts anew, and is back after `seconds`
    COMPACTION = "compaction"  #: the history so far is forgotten
    # of the process that calls
    CUT_OFF = "cut off"  #: nothing of it reaches the API, and nothing comes back, for `seconds`
    PAUSE = "pause"  #: the request leaves, then the process does not run for `seconds`, as after SIGSTOP
    KILL_BEFORE = "kill before"  #: the request does not leave; it is started again after `seconds`
    KILL_AFTER = "kill after"  #: killed at the instant of the effect


class Fault(msgspec.Struct, frozen=True):
    """What happens to a call; what `seconds` are is the kind's."""

    kind: FaultKind
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} {self.seconds:g} s" if self.seconds else str(self.kind)


class Call(msgspec.Struct, frozen=True):
    """One call of a simulated process, as its bytes would leave. `verb` is the API's: get, list, watch, create,
    update, patch, delete, deletecollection; for other back ends `effect`, and `path` is what they say.

    `effect` is the call's number among those that may change something, None for one that cannot. Numbers start at 1.
    """

    number: int
    at_s: float
    process: str
    incarnation: int
    verb: str
    path: str
    resource: str = ""
    query: tuple[tuple[str, str], ...] = ()
    effect: int | None = None

    def asks(self, parameter: str) -> str:
        """The query's parameter, or an empty text."""
        return next((value for name, value in self.query if name == parameter), "")


class Faults(Protocol):
    """Asked once for each call, in order."""

    @property
    def until_s(self) -> float:
        """From then on, in seconds since the run began, nothing goes wrong by chance."""
        ...

    def decide(self, call: Call) -> Fault | None: ...


class NoFaults:
    """All goes well."""

    until_s = 0.0

    def decide(self, call: Call) -> Fault | None:
        return None


@dataclass(frozen=True, slots=True)
class ScriptedFaults:
    """Decides by the call's number, and where that says nothing by the effect's number."""

    by_call: Mapping[int, Fault] = field(default_factory=dict)
    by_effect: Mapping[int, Fault] = field(default_factory=dict)
    until_s: float = 0.0

    def decide(self, call: Call) -> Fault | None:
        """See `Faults`."""
        decided = self.by_call.get(call.number)
        if decided is None and call.effect is not None:
            return self.by_effect.get(call.effect)
        return decided


Seconds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a fault strikes where it can (0 to 1), and how long it is: between two bounds."""

    of_calls: float
    seconds: Seconds = (0.0, 0.0)


def default_rates() -> dict[FaultKind, Rate]:
    """About every fifth call of a process meets a fault. Times go beyond the lease, and beyond what a sender waits."""
    kind = FaultKind
    return {
        kind.REQUEST_LOST: Rate(0.02),
        kind.ANSWER_LOST: Rate(0.03),
        kind.LATE_EFFECT: Rate(0.02, (0.5, 40)),
        kind.NO_ANSWER: Rate(0.01),
        kind.SLOW: Rate(0.03, (0.1, 8)),
        kind.CONFLICT: Rate(0.02),
        kind.GONE: Rate(0.05),
        kind.THROTTLED: Rate(0.01, (1, 3)),
        kind.UNAVAILABLE: Rate(0.02),
        kind.FAILED: Rate(0.02),
        kind.WATCH_CLOSED: Rate(0.05, (0, 20)),
        kind.WATCH_BROKEN: Rate(0.05, (0, 20)),
        kind.WATCH_GONE: Rate(0.05, (0, 20)),
        kind.WATCH_SILENT: Rate(0.05, (0, 20)),
        kind.WATCH_STALLED: Rate(0.10, (0.1, 15)),
        kind.STALE: Rate(0.02, (0.1, 20)),
        kind.RESTART: Rate(0.005, (0, 10)),
        kind.COMPACTION: Rate(0.01),
        kind.CUT_OFF: Rate(0.004, (1, 40)),
        kind.PAUSE: Rate(0.004, (1, 60)),
        kind.KILL_BEFORE: Rate(0.01, (0.5, 5)),
        kind.KILL_AFTER: Rate(0.02, (0.5, 5)),
    }


class SeededFaults:
    """Decides by chance, until `until_s` of virtual time have passed: then all goes well, so that a run converges."""

    def __init__(
        self, random: Random, rates: Mapping[FaultKind, Rate] | None = None, *, until_s: float = 120.0
    ) -> None:
        self._random = random
        self._rates = tuple((rates if rates is not None else default_rates()).items())
        self.until_s = until_s

    def decide(self, call: Call) -> Fault | None:
        """See `Faults`."""
        if call.at_s >= self.until_s:
            return None
        lot = self._random.random()
        for kind, rate in self._rates:
            if not _APPLIES.get(kind, _always)(call):
                continue
            if lot < rate.of_calls:
                return Fault(kind, round(self._random.uniform(*rate.seconds), 3))
            lot -= rate.of_calls
        return None


def _always(_: Call) -> bool:
    return True


def _is_watch(call: Call) -> bool:
    return call.verb == "watch"


def _is_request(call: Call) -> bool:
    return call.verb != "watch"


def _is_effect(call: Call) -> bool:
    return call.effect is not None


def _is_of_the_api(call: Call) -> bool:
    return bool(call.resource)


def _may_be_gone(call: Call) -> bool:
    return bool(call.asks("continue")) or (call.verb == "watch" and call.asks("resourceVersion") not in ("", "0"))


_APPLIES: dict[FaultKind, Callable[[Call], bool]] = {
    FaultKind.ANSWER_LOST: _is_request,
    FaultKind.LATE_EFFECT: _is_effect,
    FaultKind.SLOW: _is_request,
    FaultKind.CONFLICT: _is_effect,
    FaultKind.GONE: _may_be_gone,
    FaultKind.FAILED: _is_request,
    FaultKind.STALE: _is_of_the_api,
    FaultKind.RESTART: _is_of_the_api,
    FaultKind.COMPACTION: _is_of_the_api,
    FaultKind.WATCH_CLOSED: _is_watch,
    FaultKind.WATCH_BROKEN: _is_watch,
    FaultKind.WATCH_GONE: _is_watch,
    FaultKind.WATCH_SILENT: _is_watch,
    FaultKind.WATCH_STALLED: _is_watch,
    FaultKind.KILL_BEFORE: _is_effect,
    FaultKind.KILL_AFTER: _is_effect,
}
