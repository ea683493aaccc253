"""First lists by WatchList, and what becomes of them where the server does not have it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kubeloop.client import errors
from kubeloop.client.watching import WatchEvent
from kubeloop.informer.informer import Informer
from kubeloop.informer.reflector import Timing
from kubeloop.model.base import ObjectKey
from kubeloop.model.codec import Undecodable

from ..kinds import Widget, widget
from .script import NO_PAUSE, Script, added, bookmark, deleted, follow, names, page


async def test_a_stream_is_list_and_watch_in_one_request() -> None:
    script = Script(
        [added(widget("b", 3)), added(widget("a", 1)), bookmark(5, end=True), added(widget("c", 6))], streaming=True
    )
    informer, changes = await follow(script)
    assert script.calls == ["stream", "watch 6"]
    assert [(change.object.metadata.name, change.initial) for change in changes] == [
        ("b", True),
        ("a", True),
        ("c", False),
    ]
    assert informer.resource_version == "6"


async def test_what_changes_while_it_is_sent_is_told_once_as_it_is_at_the_end() -> None:
    broken = Undecodable(ObjectKey("default", "x"), "u", "2", "bad")
    script = Script(
        [
            added(widget("a", 1)),
            added(widget("b", 2)),
            WatchEvent("ADDED", "2", undecodable=broken),
            WatchEvent("MODIFIED", "4", widget("a", 4)),
            deleted(widget("b", 5)),
            bookmark(3),
            bookmark(5, end=True),
        ],
        streaming=True,
    )
    informer, changes = await follow(script)
    assert [change.new for change in changes] == [widget("a", 4)]
    assert list(informer.undecodable) == [broken.key]


@pytest.mark.parametrize("end", [[], [errors.Unavailable("broken off")]])
async def test_a_stream_that_ends_before_its_bookmark_leaves_nothing_behind(end: Any) -> None:
    script = Script([added(widget("a", 1)), *end], [added(widget("b", 2)), bookmark(5, end=True)], streaming=True)
    _, changes = await follow(script)
    assert script.calls == ["stream", "stream", "watch 5"]
    assert names(changes) == [("added", "b")]


async def test_after_two_broken_streams_it_is_a_list_this_time_only() -> None:
    broken = [added(widget("a", 1)), errors.Unavailable("broken off")]
    script = Script(broken, broken, page(5), [errors.Gone("")], [bookmark(7, end=True)], streaming=True)
    await follow(script)
    assert script.calls == ["stream", "stream", "list", "watch 5", "stream", "watch 7"]


@pytest.mark.parametrize(
    "refusal",
    [
        errors.Invalid("sendInitialEvents is forbidden for watch unless the WatchList feature gate is on", status=422),
        errors.BadRequest("unknown parameter", status=400),
        [errors.Unavailable("storage feature RequestWatchProgress is disabled", status=500, reason="InternalError")],
    ],
)
async def test_a_server_that_refuses_is_listed_at_once_and_at_the_next_relist(refusal: Any) -> None:
    script = Script(refusal, page(5, widget("a", 1)), [errors.Gone("")], page(8), streaming=True)
    informer, _ = await follow(script)
    assert script.calls == ["stream", "list", "watch 5", "list", "watch 8"]
    assert informer.resource_version == "8"


async def test_an_upgraded_server_is_asked_for_a_stream_again() -> None:
    refusal = errors.Invalid("forbidden", status=422)
    script = Script(refusal, page(5), [errors.Gone("")], [bookmark(8, end=True)], streaming=True)
    await follow(script, Informer(script, Widget, back_off=NO_PAUSE, timing=Timing(refused_s=0.0)))
    assert script.calls == ["stream", "list", "watch 5", "stream", "watch 8"]


class Deaf(Script):
    async def _events(self, turn: Any) -> AsyncIterator[Any]:
        async for event in super()._events(turn):
            if event == "silence":
                await asyncio.Event().wait()
            yield event


@pytest.mark.parametrize("timing", [Timing(collect_silent_s=0.1), Timing(collect_longest_s=0.1)])
async def test_a_server_that_ignores_the_parameter_is_noticed_as_no_end_comes(timing: Timing) -> None:
    script = Deaf([added(widget("a", 1)), "silence"], page(5, widget("a", 1)), streaming=True)
    async with asyncio.timeout(5):
        _, changes = await follow(script, Informer(script, Widget, back_off=NO_PAUSE, timing=timing))
    assert script.calls == ["stream", "list", "watch 5"]
    assert names(changes) == [("added", "a")]


async def test_a_server_that_fails_over_to_an_older_state_is_not_believed() -> None:
    script = Script(
        [added(widget("a", 9)), bookmark(9, end=True), errors.Gone("")],
        [bookmark(4, end=True)],
        [added(widget("a", 9)), bookmark(10, end=True)],
        streaming=True,
    )
    informer, changes = await follow(script)
    assert names(changes) == [("added", "a")]
    assert informer.resource_version == "10"


async def test_an_unreachable_server_is_not_taken_for_one_that_refuses() -> None:
    down = errors.Unavailable("cannot reach it", sent=False)
    script = Script(down, [bookmark(5, end=True), errors.Gone("")], down, [bookmark(6, end=True)], streaming=True)
    await follow(script)
    assert script.calls == ["stream", "stream", "stream", "stream", "watch 6"]
