"""For simulated back ends other than the cluster, such as a cloud: one call, with what may happen to it on the way.

    async def create(self, name: str) -> Port:
        return await backend_call(self._process, f"create port {name}", lambda: self._cloud.create(name))

A call is counted, decided about and written down as those to the API server are; the process can be killed right before
it and right after it. It takes a little time there and back, and takes effect in one step.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from kubeloop.testing.faults import Fault, FaultKind
from kubeloop.testing.incarnation import Process

T = TypeVar("T")

GIVEN_UP_AFTER_S = 30.0

_ANSWERS = frozenset((FaultKind.CONFLICT, FaultKind.THROTTLED, FaultKind.UNAVAILABLE, FaultKind.FAILED))
_WITHOUT_EFFECT = frozenset(
    (FaultKind.REQUEST_LOST, FaultKind.NO_ANSWER, FaultKind.CONFLICT, FaultKind.THROTTLED, FaultKind.UNAVAILABLE)
)
_BROKEN = frozenset((FaultKind.ANSWER_LOST, FaultKind.LATE_EFFECT, FaultKind.FAILED)) | _WITHOUT_EFFECT


async def backend_call(
    process: Process,
    what: str,
    action: Callable[[], T],
    *,
    changes: bool = True,
    answered: Callable[[Fault], T | None] = lambda _: None,
) -> T:
    """Does `action`, which must not wait, as one call of the process; with `changes` it is an effect.

    Raises what `action` raises, and ConnectionError where the call did not come through: it may have taken effect, it
    may even do so later. TimeoutError, which is one too, after 30 s without an answer. Where the back end itself says
    what went wrong (FAILED, after the effect; CONFLICT, THROTTLED, UNAVAILABLE, without), `answered` is what it says.
    """
    world = process.world
    await asyncio.sleep(world.network.latency_s())
    outcome: list[T] = []
    error: Exception | None = None
    async with process.effect(what, changes=changes) as fault:
        kind = fault.kind if fault is not None else None
        if kind is FaultKind.LATE_EFFECT and fault is not None:
            world.network.lasts(fault.seconds, lambda: _late(process, what, action))
        elif kind not in _WITHOUT_EFFECT:
            try:
                outcome.append(action())
                if changes:
                    world.changed()
            except Exception as raised:  # noqa: BLE001 - it is the answer
                error = raised
    await _come_back(process, fault)
    if fault is not None and kind in _ANSWERS and (said := answered(fault)) is not None:
        return said
    if fault is not None and kind in _BROKEN:
        raise ConnectionError(f"{what}: {fault}")
    if error is not None:
        raise error
    return outcome[0]


async def _come_back(process: Process, fault: Fault | None) -> None:
    slow_s = fault.seconds if fault is not None and fault.kind is FaultKind.SLOW else 0.0
    if fault is not None and fault.kind is FaultKind.NO_ANSWER:
        slow_s = GIVEN_UP_AFTER_S
    await asyncio.sleep(process.world.network.latency_s() + slow_s)


def _late(process: Process, what: str, action: Callable[[], object]) -> None:
    try:
        action()
    except Exception as error:  # noqa: BLE001 - nobody waits for the answer
        process.world.note(process, f"late: {what} -> {error!r}")
    else:
        process.world.note(process, f"late: {what} -> done")
    process.world.changed()
