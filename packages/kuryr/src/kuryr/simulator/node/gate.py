"""The gate that every effect of the daemon on its machine passes: where a whole-system test counts it, kills the daemon
before or after it, slows it down or lets it fail.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Gate(Protocol):
    """Does `act` in one step, once, or not at all.

    Raises what `act` raises, and ConnectionError where it came to nothing; a transaction of OVSDB may have come to
    something although its answer is lost. `changes` is false for what only looks.
    """

    async def __call__(self, what: str, act: Callable[[], T], *, changes: bool = True) -> T: ...


async def open_gate(what: str, act: Callable[[], T], *, changes: bool = True) -> T:
    """Nothing goes wrong, and no time passes."""
    return act()
