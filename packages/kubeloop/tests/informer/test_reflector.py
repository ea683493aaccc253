"""Lists in pages, watches, resuming, and 410 in every form, on a scripted source."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kubeloop.client import errors
from kubeloop.client.back_off import BackOff
from kubeloop.client.watching import WatchEvent
from kubeloop.informer.informer import Informer
from kubeloop.informer.reflector import Timing
from kubeloop.model.base import ObjectKey
from kubeloop.model.codec import Undecodable

from ..kinds import Widget, widget
from .script import NO_PAUSE, Script, added, bookmark, deleted, follow, names, page

A = ObjectKey("default", "a")


async def test_pages_are_one_list_and_the_watch_goes_on_from_its_version() -> None:
    script = Script(page(5, widget("a", 1), continue_="x"), page(5, widget("b", 2)))
    informer, changes = await follow(script)
    assert script.calls == ["list", "list x", "watch 5"]
    assert names(changes) == [("added", "a"), ("added", "b")]
    assert all(change.initial for change in changes)
    assert informer.synced


async def test_a_watch_that_ends_resumes_after_the_last_event_or_bookmark() -> None:
    script = Script(page(5), [added(widget("a", 7))], [bookmark(9)])
    await follow(script)
    assert script.calls == ["list", "watch 5", "watch 7", "watch 9"]


async def test_a_watch_that_breaks_off_keeps_what_it_delivered() -> None:
    script = Script(page(5), [added(widget("a", 7)), errors.Unavailable("broken off")])
    informer, _ = await follow(script)
    assert script.calls == ["list", "watch 5", "watch 7"]
    assert informer.store.get(A) is not None


@pytest.mark.parametrize(
    "gone",
    [
        errors.Gone("too old resource version: 5", status=410),
        [errors.Gone("too old resource version: 5", status=410)],
        [errors.BadRequest("an ERROR event without code", reason="Expired")],
    ],
)
async def test_410_leads_to_one_relist_and_never_the_same_version_again(gone: Any) -> None:
    script = Script(page(5, widget("a", 1)), gone, page(8, widget("b", 8)))
    _informer, changes = await follow(script)
    assert script.calls == ["list", "watch 5", "list", "watch 8"]
    assert names(changes) == [("added", "a"), ("deleted", "a"), ("added", "b")]
    assert [change.initial for change in changes] == [True, False, False]


async def test_an_expired_continue_token_starts_the_list_anew() -> None:
    expired = errors.Gone("token expired")
    script = Script(page(5, widget("a", 1), continue_="x"), expired, page(6, widget("b", 6)))
    informer, _ = await follow(script)
    assert script.calls == ["list", "list x", "list", "watch 6"]
    assert [obj.metadata.name for obj in informer.store.list()] == ["b"]


async def test_a_token_that_expires_twice_is_not_used_a_third_time() -> None:
    expired = errors.Gone("token expired")
    script = Script(page(5, continue_="x"), expired, page(6, continue_="y"), expired, page(7, widget("a", 6)))
    await follow(script)
    assert script.calls == ["list", "list x", "list", "list y", "list whole", "watch 7"]


async def test_a_list_that_breaks_between_its_pages_changes_nothing() -> None:
    script = Script(
        page(5, widget("a", 1)),
        [errors.Gone("")],
        page(6, widget("b", 6), continue_="x"),
        errors.Unavailable("broken"),
        page(7, widget("a", 1), widget("c", 7)),
    )
    _, changes = await follow(script)
    assert names(changes) == [("added", "a"), ("added", "c")]


async def test_a_list_older_than_what_was_seen_is_not_taken() -> None:
    script = Script(page(9, widget("a", 9)), [errors.Gone("too old")], page(4), page(10, widget("a", 9)))
    informer, changes = await follow(script)
    assert names(changes) == [("added", "a")]
    assert informer.resource_version == "10"


async def test_a_list_of_the_version_that_was_seen_is_taken() -> None:
    script = Script(page(9, widget("a", 9)), [errors.Gone("too old")], page(9, widget("a", 9)))
    informer, changes = await follow(script)
    assert script.calls == ["list", "watch 9", "list", "watch 9"]
    assert names(changes) == [("added", "a")]
    assert informer.resource_version == "9"


async def test_an_event_older_than_what_was_seen_is_not_taken() -> None:
    script = Script(page(9, widget("a", 9)), [added(widget("a", 3)), deleted(widget("a", 4)), bookmark(2)])
    informer, changes = await follow(script)
    assert names(changes) == [("added", "a")]
    assert script.calls[-1] == "watch 9"
    assert informer.resource_version == "9"


async def test_a_deletion_is_told_with_the_final_state() -> None:
    script = Script(page(5, widget("a", 1, size=1)), [deleted(widget("a", 6, size=2))])
    _, changes = await follow(script)
    assert changes[-1].old == widget("a", 6, size=2)


async def test_retry_after_is_obeyed_before_the_next_try() -> None:
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    script = Script(errors.Throttled("later", status=429, retry_after_s=0.2), page(5))
    await follow(script)
    assert loop.time() - began_at >= 0.2


async def test_watches_that_end_at_once_do_not_spin() -> None:
    script = Script(page(5), *([[]] * 6))
    began_at = asyncio.get_running_loop().time()
    await follow(script, Informer(script, Widget, back_off=BackOff(0.02, 0.1)))
    assert asyncio.get_running_loop().time() - began_at > 0.1


async def test_lists_whose_version_is_gone_at_once_do_not_spin() -> None:
    turns = [turn for _ in range(4) for turn in (page(5), errors.Gone("too old"))]
    script = Script(*turns)
    began_at = asyncio.get_running_loop().time()
    await follow(script, Informer(script, Widget, back_off=BackOff(0.05, 0.1)))
    assert asyncio.get_running_loop().time() - began_at > 0.1


class Deaf(Script):
    """The first watch says one thing and then nothing any more, as a half-open connection does."""

    async def _events(self, turn: Any) -> AsyncIterator[Any]:
        for event in turn:
            if event == "silence":
                await asyncio.Event().wait()
            yield event


async def test_a_silent_watch_is_replaced_within_its_bound() -> None:
    script = Deaf(page(5), [added(widget("a", 6)), "silence"], [bookmark(7)])
    informer = Informer(script, Widget, idle_timeout_s=0.1, back_off=NO_PAUSE)
    async with asyncio.timeout(5):
        await follow(script, informer)
    assert script.calls == ["list", "watch 5", "watch 6", "watch 7"]


async def test_a_watch_that_does_not_open_is_given_up() -> None:
    class Stuck(Script):
        @asynccontextmanager
        async def watch(self, kind: Any, **asked: Any) -> AsyncIterator[AsyncIterator[Any]]:
            async with super().watch(kind, **asked) as events:
                if len(self.calls) == 2:
                    await asyncio.Event().wait()
                yield events

    script = Stuck(page(5), [], [bookmark(6)])
    async with asyncio.timeout(5):
        await follow(script, Informer(script, Widget, back_off=NO_PAUSE, timing=Timing(answer_s=(0.1,))))
    assert script.calls == ["list", "watch 5", "watch 5", "watch 6"]


async def test_an_undecodable_event_without_version_does_not_move_the_version() -> None:
    broken = Undecodable(ObjectKey("", ""), "", "", "metadata: expected object")
    script = Script(page(5), [WatchEvent("ADDED", "", None, broken)], [bookmark(7)])
    informer, _ = await follow(script)
    assert script.calls == ["list", "watch 5", "watch 5", "watch 7"]
    assert list(informer.undecodable.values()) == [broken]
