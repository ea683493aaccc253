"""What may happen to an effect of the daemon on its own machine, where no network is in between."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from kubeloop.testing import FaultKind, Process
from kuryr.simulator.node.gate import Gate

T = TypeVar("T")

_FAILING = frozenset(
    (
        FaultKind.REQUEST_LOST,
        FaultKind.ANSWER_LOST,
        FaultKind.LATE_EFFECT,
        FaultKind.NO_ANSWER,
        FaultKind.CONFLICT,
        FaultKind.THROTTLED,
        FaultKind.UNAVAILABLE,
        FaultKind.FAILED,
    )
)
"""Whatever else could go wrong with a call over a network is here a refusal: nothing has happened."""

_IN_DOUBT = frozenset((FaultKind.ANSWER_LOST, FaultKind.FAILED))
"""But to OVSDB there is a connection, and it may break when the transaction is committed."""


def local_gate(process: Process) -> Gate:
    """The process is killed before or after an effect, stands still after it, is slow, or is refused.

    Whether it changed anything the machine itself tells the world.
    """
    world = process.world

    async def gate(what: str, act: Callable[[], T], *, changes: bool = True) -> T:
        await asyncio.sleep(world.network.latency_s() / 10)
        outcome: list[T] = []
        error: Exception | None = None
        async with process.effect(what, changes=changes) as fault:
            kind = fault.kind if fault is not None else None
            if kind not in _FAILING or (kind in _IN_DOUBT and what.startswith("OVSDB")):
                try:
                    outcome.append(act())
                except Exception as raised:  # noqa: BLE001 - it is the answer
                    error = raised
        if kind in _FAILING:
            raise ConnectionError(f"{what}: {fault}")
        if fault is not None and kind is FaultKind.SLOW:
            await asyncio.sleep(fault.seconds)
        if error is not None:
            raise error
        return outcome[0]

    return gate
