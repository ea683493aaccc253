"""Work that, once begun, runs to its end although the caller is cancelled; the cancellation is raised afterwards.

`finish` never returns before its work has ended, so the work cannot outlive its caller: this is asyncio's missing
shielded cancel scope, not a background task. The work must be bounded in time, or a stop hangs.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """The work's result; if this call is cancelled meanwhile, CancelledError once the work has ended."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled() and (failure := task.exception()):
        log.warning("shielded work failed after its caller was cancelled", exc_info=failure)
    raise cancelled
