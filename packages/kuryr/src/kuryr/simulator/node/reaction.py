"""How the programs of a machine act: a moment after something changed, once for all that changed meanwhile."""

import asyncio
import contextvars
from collections.abc import Callable


class Reaction:
    """Calls `act` after a delay. In the machine's own context: it happens although who caused it was killed."""

    def __init__(self, act: Callable[[], None], delay_s: Callable[[], float]) -> None:
        self._act = act
        self._delay_s = delay_s
        self._context = contextvars.Context()
        self._timer: asyncio.TimerHandle | None = None

    def ask(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._delay_s(), self._run, context=self._context)

    def _run(self) -> None:
        self._timer = None
        self._act()
