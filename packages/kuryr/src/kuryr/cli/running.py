"""What every long-running command shares: logging, signals, and a group of tasks of which none may end."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from importlib.metadata import version
from typing import Any

from kuryr.model.configuration import Log

FIELD_MANAGER = "kuryr"


def user_agent(component: str) -> str:
    """How we are counted at the servers: `kuryr-controller/0.1.0`."""
    return f"kuryr-{component}/{version('kuryr')}"


def set_up_logging(options: Log) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_KeyValues("%(asctime)s %(levelname)-7s %(name)s %(message)s"))
    logging.basicConfig(level=options.level.upper(), handlers=[handler], force=True)


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class _KeyValues(logging.Formatter):
    """A constant message, then the record's extra fields as key=value."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        extra = [f"{key}={value}" for key, value in vars(record).items() if key not in _STANDARD]
        return " ".join([super().formatMessage(record), *extra])


async def run_together(*parts: Coroutine[Any, Any, None]) -> None:
    """Runs the parts until SIGTERM or SIGINT, then cancels them and waits; a part that fails ends all."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part) for part in parts]
        await stop.wait()
        for task in tasks:
            task.cancel()
