"""The gate through which every call of a simulated process leaves it: counted, decided about, written down."""

import asyncio
from typing import TYPE_CHECKING

from kubeloop.testing.faults import Call, Fault, Faults
from kubeloop.testing.trace import Line, Trace
from kubeloop.testing.virtual_time import START_S

if TYPE_CHECKING:
    from kubeloop.testing.incarnation import Process


class Gate:
    """`calls` and `effects` are how many have passed; `decisions` what was decided, by the call's number."""

    def __init__(self, faults: Faults, trace: Trace) -> None:
        self.faults = faults
        self.trace = trace
        self.calls = 0
        self.effects = 0
        self.decisions: dict[int, Fault] = {}

    def passed(
        self,
        who: "Process",
        verb: str,
        path: str,
        *,
        resource: str = "",
        query: tuple[tuple[str, str], ...] = (),
        changes: bool,
    ) -> tuple[Call, Fault | None, Line]:
        """The next call of `who`, what happens to it, and its line of the trace. A dead process makes none."""
        assert not who.dead, "nothing of a dead process runs"
        at_s = asyncio.get_running_loop().time() - START_S
        self.calls += not who.reliable
        effect = None
        if changes and not who.reliable:
            self.effects += 1
            effect = self.effects
        number = 0 if who.reliable else self.calls
        call = Call(number, at_s, who.name, who.incarnation, verb, path, resource, query, effect)
        fault = None if who.reliable else self.faults.decide(call)
        if fault is not None:
            self.decisions[number] = fault
        line = Line(at_s, str(who), "", call, fault)
        self.trace.add(line)
        return call, fault, line
