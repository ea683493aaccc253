"""Reading one's own writes: who waits, for what, and what one live read does when nothing comes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kubeloop.client import errors
from kubeloop.client.writes import Write
from kubeloop.informer.informer import Informer
from kubeloop.informer.store import Change
from kubeloop.model.base import KubeObject, ObjectKey, ObjectMeta
from kubeloop.model.codec import ListPage, Undecodable
from kubeloop.model.core import Namespace

from ..kinds import Widget, widget
from .script import Script, names, page

KEY = ObjectKey("default", "a")


class Live(Script):
    """Answers live reads, and keeps what was asked."""

    def __init__(self, *turns: Any) -> None:
        super().__init__(*turns)
        self.asked: list[dict[str, Any]] = []

    async def list(self, kind: type[Any], **asked: Any) -> ListPage[Any]:
        self.asked.append(asked)
        return await super().list(kind, **asked)


def _wrote(version: int | str, *, name: str = "a", uid: str = "", deleted: bool = False, **more: Any) -> Write:
    return Write(Widget, ObjectKey("default", name), uid or f"uid-{name}", str(version), deleted, **more)


def _deleting(version: int, *finalizers: str) -> Widget:
    meta = ObjectMeta(
        name="a",
        finalizers=finalizers,
        namespace="default",
        uid="uid-a",
        resource_version=str(version),
        deletion_timestamp="2026-01-01T00:00:00Z",
    )
    return Widget(metadata=meta)


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def _returns(waiting: Awaitable[None]) -> None:
    async with asyncio.timeout(1):
        await waiting


async def test_what_the_store_shows_already_is_not_waited_for() -> None:
    live = Live()
    informer = Informer(live, Widget)
    informer.replaced([widget("a", 7)], [], "7")
    await _returns(informer.caught_up(_wrote(7)))
    await _returns(informer.caught_up(_wrote(6, name="not there any more")))
    assert live.asked == []


@pytest.mark.parametrize(
    "come",
    [
        lambda informer: informer.changed(widget("a", 9), "9"),
        lambda informer: informer.changed(widget("a", 10), "10"),
        lambda informer: informer.changed(widget("b", 9), "9"),
        lambda informer: informer.deleted(KEY, widget("a", 10), "10"),
        lambda informer: informer.advanced("9"),
        lambda informer: informer.replaced([], [], "12"),
        lambda informer: informer.not_decoded(Undecodable(KEY, "uid-a", "9", "bad"), "9"),
    ],
)
async def test_the_event_or_any_later_version_ends_the_wait(come: Callable[[Informer[Widget]], None]) -> None:
    live = Live()
    informer = Informer(live, Widget)
    informer.replaced([widget("a", 7)], [], "7")
    waiting = asyncio.create_task(informer.caught_up(_wrote(9)))
    informer.changed(widget("a", 8), "8")
    await _settle()
    assert not waiting.done()
    come(informer)
    await _returns(waiting)
    assert live.asked == []


@pytest.mark.parametrize(
    ("version", "come"),
    [
        ("", lambda informer: informer.deleted(KEY, widget("a", 9), "9")),
        ("7", lambda informer: informer.deleted(KEY, widget("a", 9), "9")),
        ("", lambda informer: informer.changed(widget("a", 9, uid="the next of its name"), "9")),
        ("8", lambda informer: informer.changed(_deleting(8, "theirs"), "8")),
        ("", lambda informer: informer.changed(_deleting(8), "8")),  # a namespace: its finalizers are in its spec
    ],
)
async def test_a_delete_is_waited_for_until_the_object_is_gone_or_going(
    version: str, come: Callable[[Informer[Widget]], None]
) -> None:
    live = Live()
    informer = Informer(live, Widget)
    informer.replaced([widget("a", 7)], [], "7")
    waiting = asyncio.create_task(informer.caught_up(_wrote(version, deleted=True)))
    await _settle()
    assert not waiting.done(), "the version of before the delete says nothing"
    come(informer)
    await _returns(waiting)
    assert live.asked == []


async def test_the_last_finalizer_taken_is_waited_for_until_the_object_is_gone() -> None:
    informer = Informer(Live(), Widget)
    informer.replaced([_deleting(7, "ours")], [], "7")
    waiting = asyncio.create_task(informer.caught_up(_wrote("", deleted=True)))
    await _settle()
    assert not waiting.done()
    informer.deleted(KEY, _deleting(8), "8")
    await _returns(waiting)


async def test_nobody_waits_for_what_the_selection_leaves_out() -> None:
    live = Live()
    elsewhere = Informer(live, Widget, namespace="other")
    labelled = Informer(live, Widget, label_selector="app in (web, db),!canary")
    named = Informer(live, Widget, field_selector="metadata.name=b")
    for informer in (elsewhere, labelled, named):
        informer.replaced([], [], "5")
        await _returns(informer.caught_up(_wrote(9, labels={"app": "cache"})))
    namespaces = Informer(live, Namespace)
    await _returns(namespaces.caught_up(_wrote(9)))
    assert live.asked == []


async def test_an_object_that_leaves_the_selection_is_waited_for_until_it_is_out_of_the_store() -> None:
    informer = Informer(Live(), Widget, label_selector="app=web")
    informer.replaced([widget("a", 7)], [], "7")
    waiting = asyncio.create_task(informer.caught_up(_wrote(9, labels={"app": "db"})))
    await _settle()
    assert not waiting.done()
    informer.deleted(KEY, widget("a", 9), "9")
    await _returns(waiting)


async def test_when_nothing_comes_one_live_read_of_the_selection_brings_the_store_up_to_date() -> None:
    live = Live(page(12, widget("a", 9, size=3)))
    informer = Informer(live, Widget, label_selector="app=web", field_selector="spec.node=n")
    changes: list[Change[Widget]] = []
    informer.replaced([widget("a", 7)], [], "7")
    informer.add_handler(changes.append)
    await _returns(informer.caught_up(_wrote(9), timeout_s=0.05))
    assert live.asked == [
        {"namespace": "default", "label_selector": "app=web", "field_selector": "spec.node=n,metadata.name=a"}
    ]
    assert informer.store.get(KEY) == widget("a", 9, size=3)
    assert names(changes)[-1] == ("updated", "a")


async def test_events_older_than_a_live_read_do_not_undo_it() -> None:
    live = Live(page(12, widget("a", 11)))
    informer = Informer(live, Widget)
    informer.replaced([widget("a", 7)], [], "7")
    await _returns(informer.caught_up(_wrote(9), timeout_s=0.01))
    informer.changed(widget("a", 8), "8")
    assert informer.store.get(KEY) == widget("a", 11)
    informer.deleted(KEY, widget("a", 9), "9")
    informer.replaced([], [], "10")
    assert informer.store.get(KEY) == widget("a", 11), "it was made anew after that"
    informer.deleted(KEY, widget("a", 12), "12")
    assert informer.store.get(KEY) is None


async def test_an_object_that_a_live_read_does_not_find_is_not_brought_back_by_older_events() -> None:
    live = Live(page(12))
    informer = Informer(live, Widget)
    changes: list[Change[Widget]] = []
    informer.replaced([widget("a", 7)], [], "7")
    informer.add_handler(changes.append)
    await _returns(informer.caught_up(_wrote(9), timeout_s=0.01))
    informer.changed(widget("a", 9), "9")
    informer.replaced([widget("a", 9)], [], "11")
    assert names(changes) == [("added", "a"), ("deleted", "a")]
    informer.changed(widget("a", 13), "13")
    assert informer.store.get(KEY) == widget("a", 13)


class Late(Live):
    """Is answered after its watch has told of the object's deletion."""

    async def list(self, kind: type[Any], **asked: Any) -> ListPage[Any]:
        found = await super().list(kind, **asked)
        self.informer.deleted(KEY, widget("a", 13), "13")
        return found

    informer: Informer[Widget]


async def test_a_live_read_that_the_watch_overtakes_brings_nothing_back() -> None:
    live = Late(page(12, widget("a", 9)))
    live.informer = informer = Informer(live, Widget)
    informer.replaced([widget("a", 7)], [], "7")
    await _returns(informer.caught_up(_wrote(9), timeout_s=0.01))
    assert informer.store.get(KEY) is None


async def test_a_live_read_that_does_not_decode_is_kept_aside() -> None:
    broken = Undecodable(KEY, "uid-a", "9", "bad")
    informer = Informer(Live(ListPage((), "12", undecodable=(broken,))), Widget)
    informer.replaced([widget("a", 7)], [], "7")
    await _returns(informer.caught_up(_wrote(9), timeout_s=0.01))
    assert informer.undecodable == {KEY: broken}
    assert informer.store.get(KEY) == widget("a", 7)
    informer.changed(widget("a", 8), "8")
    assert informer.undecodable == {KEY: broken}, "an older event does not mend it"
    informer.changed(widget("a", 13), "13")
    assert informer.undecodable == {}


async def test_a_live_read_that_fails_is_the_callers_to_repeat() -> None:
    informer = Informer(Live(errors.Unavailable("down")), Widget)
    informer.replaced([widget("a", 7)], [], "7")
    with pytest.raises(errors.Unavailable):
        await _returns(informer.caught_up(_wrote(9), timeout_s=0.01))


async def test_an_object_that_may_be_outside_costs_a_second_not_ten() -> None:
    live = Live(page(12))
    informer = Informer(live, Widget, field_selector="spec.node=n")
    informer.replaced([], [], "7")
    async with asyncio.timeout(3):
        await informer.caught_up(_wrote(9))
    assert len(live.asked) == 1


async def test_many_wait_and_each_is_woken_by_its_version_only() -> None:
    informer = Informer(Live(), Widget)
    informer.replaced([], [], "1")
    waiting = [asyncio.create_task(informer.caught_up(_wrote(n, name=f"w{n}"))) for n in range(2, 102)]
    await _settle()
    informer.advanced("51")
    await _settle()
    assert [task.done() for task in waiting] == [True] * 50 + [False] * 50
    waiting[-1].cancel()
    informer.advanced("101")
    await _settle()
    assert all(task.done() for task in waiting)


async def test_a_view_of_the_same_resource_by_another_type_is_waited_for_too() -> None:
    class Other(KubeObject, frozen=True, kw_only=True):
        resource = Widget.resource

    informer = Informer(Live(), Widget)
    informer.replaced([], [], "1")
    waiting = asyncio.create_task(informer.caught_up(Write(Other, KEY, "uid-a", "2")))
    await _settle()
    assert not waiting.done()
    informer.changed(widget("a", 2), "2")
    await _returns(waiting)
