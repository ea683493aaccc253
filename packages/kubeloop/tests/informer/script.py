"""A scripted source: each list and watch answers what the script says next; when it is over, the next one hangs."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from kubeloop.client import errors
from kubeloop.client.back_off import BackOff
from kubeloop.client.watching import WatchEvent
from kubeloop.informer.informer import Informer
from kubeloop.informer.store import Change
from kubeloop.model.codec import ListPage

from ..kinds import Widget

REFUSED = errors.Invalid("sendInitialEvents is forbidden for watch", status=422)
NO_PAUSE = BackOff(0.0, 0.0)


class Script:
    """`turns` are ListPages, and lists of events (an exception among them is raised); `calls` is what was asked.

    An exception as a turn refuses the call. Without `streaming` the server refuses WatchList, and `calls` is silent
    about it.
    """

    def __init__(self, *turns: Any, streaming: bool = False) -> None:
        self._turns = list(turns)
        self._streaming = streaming
        self.calls: list[str] = []
        self.exhausted = asyncio.Event()

    async def list(self, kind: type[Any], *, continue_: str = "", limit: int = 0, **_: Any) -> ListPage[Any]:
        self.calls.append(" ".join(filter(None, ["list", continue_, "" if limit else "whole"])))
        return await self._next()  # type: ignore[no-any-return]

    @asynccontextmanager
    async def watch(
        self, kind: type[Any], *, resource_version: str, send_initial_events: bool = False, **_: Any
    ) -> AsyncIterator[AsyncIterator[Any]]:
        if send_initial_events and not self._streaming:
            raise REFUSED
        self.calls.append("stream" if send_initial_events else f"watch {resource_version}")
        yield self._events(await self._next())

    async def _next(self) -> Any:
        if not self._turns:
            self.exhausted.set()
            await asyncio.Event().wait()
        turn = self._turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        return turn

    async def _events(self, turn: Iterable[Any]) -> AsyncIterator[Any]:
        for event in turn:
            if isinstance(event, Exception):
                raise event
            yield event


def added(obj: Widget) -> WatchEvent[Widget]:
    return WatchEvent("ADDED", obj.metadata.resource_version, obj)


def deleted(obj: Widget) -> WatchEvent[Widget]:
    return WatchEvent("DELETED", obj.metadata.resource_version, obj)


def bookmark(version: int, *, end: bool = False) -> WatchEvent[Widget]:
    return WatchEvent("BOOKMARK", str(version), initial_events_end=end)


def page(version: int, *objects: Widget, continue_: str = "") -> ListPage[Widget]:
    return ListPage(objects, str(version), continue_)


def names(changes: Iterable[Change[Widget]]) -> list[tuple[str, str]]:
    return [(change.kind, change.object.metadata.name) for change in changes]


async def follow(
    script: Script, informer: Informer[Widget] | None = None
) -> tuple[Informer[Widget], list[Change[Widget]]]:
    """Runs an informer until the script is over."""
    informer = informer or Informer(script, Widget, back_off=NO_PAUSE)
    changes: list[Change[Widget]] = []
    informer.add_handler(changes.append)
    running = asyncio.create_task(informer.run())
    async with asyncio.timeout(20):
        done, _ = await asyncio.wait(
            [running, asyncio.create_task(script.exhausted.wait())], return_when=asyncio.FIRST_COMPLETED
        )
    if running in done:
        await running  # raises why it ended
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return informer, changes
