"""The informer on a scripted source: each list and watch answers what the script says next, then the watch hangs."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from kubeloop.client import errors
from kubeloop.client.client import WatchEvent
from kubeloop.informer.informer import Informer
from kubeloop.informer.store import Change
from kubeloop.model.base import ObjectKey
from kubeloop.model.codec import ListPage, Undecodable

from .kinds import Widget, widget


class Script:
    """`turns` are ListPages, and lists of events (an exception among them is raised); `calls` is what was asked."""

    def __init__(self, *turns: Any) -> None:
        self._turns = list(turns)
        self.calls: list[str] = []
        self.exhausted = asyncio.Event()

    async def list(self, kind: type[Any], *, continue_: str = "", **_: Any) -> ListPage[Any]:
        self.calls.append(f"list {continue_}".strip())
        turn = self._turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        return turn  # type: ignore[no-any-return]

    @asynccontextmanager
    async def watch(self, kind: type[Any], *, resource_version: str, **_: Any) -> AsyncIterator[AsyncIterator[Any]]:
        self.calls.append(f"watch {resource_version}")
        if not self._turns:
            self.exhausted.set()
            await asyncio.Event().wait()
        yield self._events(self._turns.pop(0))

    async def _events(self, turn: Iterable[Any]) -> AsyncIterator[Any]:
        for event in turn:
            if isinstance(event, Exception):
                raise event
            yield event


def _added(obj: Widget) -> WatchEvent[Widget]:
    return WatchEvent("ADDED", obj.metadata.resource_version, obj)


def _page(version: int, *objects: Widget, continue_: str = "") -> ListPage[Widget]:
    return ListPage(objects, str(version), continue_)


async def _follow(script: Script) -> tuple[Informer[Widget], list[Change[Widget]]]:
    """Runs an informer until the script is over."""
    informer = Informer(script, Widget)
    changes: list[Change[Widget]] = []
    informer.add_handler(changes.append)
    running = asyncio.create_task(informer.run())
    async with asyncio.timeout(20):
        await script.exhausted.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return informer, changes


async def test_pages_are_one_list_and_the_watch_goes_on_from_its_version() -> None:
    script = Script(_page(5, widget("a", 1), continue_="x"), _page(5, widget("b", 2)))
    informer, changes = await _follow(script)
    assert script.calls == ["list", "list x", "watch 5"]
    assert [change.object.metadata.name for change in changes] == ["a", "b"]
    assert all(change.initial for change in changes)
    assert informer.synced


async def test_a_watch_that_ends_resumes_after_the_last_event_or_bookmark() -> None:
    script = Script(_page(5), [_added(widget("a", 7))], [WatchEvent("BOOKMARK", "9")])
    await _follow(script)
    assert script.calls == ["list", "watch 5", "watch 7", "watch 9"]


async def test_a_watch_that_breaks_off_keeps_what_it_delivered() -> None:
    script = Script(_page(5), [_added(widget("a", 7)), errors.Unavailable("broken off")])
    informer, _ = await _follow(script)
    assert script.calls == ["list", "watch 5", "watch 7"]
    assert informer.store.get(ObjectKey("default", "a")) is not None


async def test_410_leads_to_one_relist_and_never_the_same_version_again() -> None:
    script = Script(_page(5, widget("a", 1)), [errors.Gone("too old")], _page(8, widget("b", 8)))
    _informer, changes = await _follow(script)
    assert script.calls == ["list", "watch 5", "list", "watch 8"]
    assert [(change.kind, change.object.metadata.name) for change in changes] == [
        ("added", "a"),
        ("deleted", "a"),
        ("added", "b"),
    ]


async def test_an_expired_continue_token_starts_the_list_anew() -> None:
    script = Script(_page(5, widget("a", 1), continue_="x"), errors.Gone("token expired"), _page(6, widget("b", 6)))
    informer, _ = await _follow(script)
    assert script.calls == ["list", "list x", "list", "watch 6"]
    assert [obj.metadata.name for obj in informer.store.list()] == ["b"]


async def test_a_list_older_than_what_was_seen_is_not_taken() -> None:
    script = Script(_page(9, widget("a", 9)), [errors.Gone("too old")], _page(4), _page(10, widget("a", 9)))
    informer, changes = await _follow(script)
    assert [change.kind for change in changes] == ["added"]
    assert informer.resource_version == "10"


async def test_an_event_older_than_what_was_seen_is_not_taken() -> None:
    script = Script(_page(9, widget("a", 9)), [_added(widget("a", 3))])
    informer, _ = await _follow(script)
    found = informer.store.get(ObjectKey("default", "a"))
    assert found is not None
    assert found.metadata.resource_version == "9"


async def test_an_object_that_does_not_decode_is_kept_aside_and_the_rest_is_delivered() -> None:
    broken = Undecodable(ObjectKey("default", "bad"), "u", "4", "size: expected int")
    script = Script(ListPage((widget("a", 1),), "5", undecodable=(broken,)))
    informer, changes = await _follow(script)
    assert list(informer.undecodable) == [broken.key]
    assert [change.object.metadata.name for change in changes] == ["a"]


async def test_a_handler_that_fails_disturbs_nobody() -> None:
    script = Script(_page(5, widget("a", 1)))
    informer = Informer(script, Widget)
    heard: list[str] = []

    def broken(change: Change[Widget]) -> None:
        raise ValueError("mine alone")

    informer.add_handler(broken)
    informer.add_handler(lambda change: heard.append(change.object.metadata.name))
    informer.replaced([widget("a", 1)], [], "5")
    assert heard == ["a"]


async def test_a_waiter_is_woken_by_the_event_it_waits_for() -> None:
    informer = Informer(Script(), Widget)
    informer.replaced([], [], "1")
    waiting = asyncio.create_task(informer.wait_for(ObjectKey("default", "a"), lambda obj: obj is not None))
    await asyncio.sleep(0)
    informer.changed(widget("b", 2), "2")
    assert not waiting.done()
    informer.changed(widget("a", 3), "3")
    async with asyncio.timeout(5):
        assert await waiting == widget("a", 3)
