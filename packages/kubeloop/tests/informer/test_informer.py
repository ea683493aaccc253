"""What an informer owes its handlers, what becomes of objects that do not decode, transforms and metrics."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from kubeloop.client import errors
from kubeloop.client.watching import WatchEvent
from kubeloop.informer.informer import Informer
from kubeloop.informer.store import Change
from kubeloop.metrics import Metrics
from kubeloop.model.base import ObjectKey, ObjectMeta
from kubeloop.model.codec import ListPage, Undecodable

from ..kinds import Widget, WidgetSpec, widget
from .script import NO_PAUSE, Script, added, bookmark, deleted, follow, names, page

A = ObjectKey("default", "a")


def _bad(version: int, *, uid: str = "uid-a", problem: str = "size: expected int") -> Undecodable:
    return Undecodable(A, uid, str(version), problem)


def _broken_event(version: int, kind: Any = "MODIFIED") -> WatchEvent[Widget]:
    return WatchEvent(kind, str(version), undecodable=_bad(version))


async def test_an_object_that_does_not_decode_is_kept_aside_and_the_rest_of_its_page_is_delivered() -> None:
    script = Script(ListPage((widget("b", 1),), "5", undecodable=(_bad(4),)))
    informer, changes = await follow(script)
    assert informer.undecodable == {A: _bad(4)}
    assert names(changes) == [("added", "b")]


async def test_the_last_state_that_decoded_stays_until_the_object_is_mended() -> None:
    script = Script(page(5, widget("a", 1)), [_broken_event(6)], [bookmark(7)])
    informer, _ = await follow(script)
    assert informer.store.get(A) == widget("a", 1)
    assert informer.undecodable == {A: _bad(6)}
    informer.changed(widget("a", 8), "8")
    assert informer.store.get(A) == widget("a", 8)
    assert informer.undecodable == {}


async def test_a_relist_keeps_what_is_there_but_does_not_decode() -> None:
    informer = Informer(Script(), Widget)
    informer.replaced([widget("a", 1)], [], "5")
    informer.replaced([], [_bad(6)], "7", "gone")
    assert informer.store.get(A) == widget("a", 1)
    informer.replaced([], [], "8", "gone")
    assert informer.store.get(A) is None
    assert informer.undecodable == {}


async def test_the_deletion_of_an_undecodable_object_is_told_with_its_last_known_state() -> None:
    script = Script(page(5, widget("a", 1)), [_broken_event(6), _broken_event(7, "DELETED")])
    informer, changes = await follow(script)
    assert changes[-1] == Change(widget("a", 1), None)
    assert informer.undecodable == {}


async def test_another_object_of_the_name_that_does_not_decode_means_the_one_before_is_gone() -> None:
    informer = Informer(Script(), Widget)
    informer.replaced([widget("a", 1)], [], "5")
    informer.not_decoded(_bad(6, uid="another"), "6")
    assert informer.store.get(A) is None


async def test_a_problem_is_told_once_for_each_object_whatever_comes() -> None:
    told: list[Undecodable] = []
    informer = Informer(Script(), Widget, on_undecodable=told.append)
    informer.replaced([], [_bad(4)], "5")
    informer.not_decoded(_bad(6), "6")
    informer.replaced([], [_bad(6)], "7")
    assert told == [_bad(4)]
    informer.not_decoded(_bad(8, problem="colour: expected str"), "8")
    informer.not_decoded(_bad(9, uid="another", problem="colour: expected str"), "9")
    assert len(told) == 3


def _fails(*_: Any) -> None:
    raise ValueError("mine alone")


async def test_whoever_fails_disturbs_nobody() -> None:
    informer = Informer(Script(), Widget, on_undecodable=_fails)
    heard: list[Change[Widget]] = []
    informer.add_handler(_fails)
    informer.add_handler(heard.append)
    informer.replaced([widget("b", 1)], [_bad(2)], "5")
    informer.changed(widget("b", 6), "6")
    assert names(heard) == [("added", "b"), ("updated", "b")]


async def test_a_handler_sees_the_store_after_the_change() -> None:
    informer = Informer(Script(), Widget)
    seen: list[tuple[bool, Widget | None]] = []
    informer.add_handler(lambda change: seen.append((informer.synced, informer.store.get(A))))
    informer.replaced([widget("a", 1)], [], "5")
    informer.deleted(A, None, "6")
    assert seen == [(True, widget("a", 1)), (True, None)]


async def test_who_comes_late_hears_what_is_there_as_initial() -> None:
    informer = Informer(Script(), Widget)
    informer.replaced([widget("a", 1)], [], "5")
    heard: list[Change[Widget]] = []
    informer.add_handler(heard.append)
    informer.changed(widget("b", 6), "6")
    assert [(change.object.metadata.name, change.initial) for change in heard] == [("a", True), ("b", False)]


async def test_a_handler_that_was_taken_away_hears_nothing_more_and_others_do() -> None:
    informer = Informer(Script(), Widget)
    heard: list[Change[Widget]] = []
    take_away = informer.add_handler(heard.append)
    informer.add_handler(heard.append)
    take_away()
    take_away()
    informer.changed(widget("a", 1), "1")
    assert len(heard) == 1


async def test_a_waiter_is_woken_by_the_event_it_waits_for() -> None:
    informer = Informer(Script(), Widget)
    informer.replaced([], [], "1")
    waiting = asyncio.create_task(informer.wait_for(A, lambda obj: obj is not None))
    await asyncio.sleep(0)
    informer.changed(widget("b", 2), "2")
    assert not waiting.done()
    informer.changed(widget("a", 3), "3")
    async with asyncio.timeout(5):
        assert await waiting == widget("a", 3)


def _without_labels(obj: Widget) -> Widget:
    if obj.spec.size == 13:
        raise ValueError("unlucky")
    return msgspec.structs.replace(obj, spec=WidgetSpec(size=obj.spec.size, colour="dropped"))


@pytest.mark.parametrize(
    "turns",
    [
        [page(5, widget("a", 1, size=1), widget("b", 2, size=13))],
        [page(0), [added(widget("a", 1, size=1)), added(widget("b", 2, size=13))]],
    ],
)
async def test_a_transform_is_applied_before_the_store_and_its_failure_is_one_objects_own(turns: list[Any]) -> None:
    script = Script(*turns)
    informer, changes = await follow(script, Informer(script, Widget, transform=_without_labels, back_off=NO_PAUSE))
    assert [(change.object.metadata.name, change.object.spec.colour) for change in changes] == [("a", "dropped")]
    assert [(key.name, broken.problem) for key, broken in informer.undecodable.items()] == [
        ("b", "transform: ValueError('unlucky')")
    ]


async def test_a_deletions_final_state_is_transformed_as_well() -> None:
    script = Script(page(5, widget("a", 1)), [deleted(widget("a", 6))])
    _, changes = await follow(script, Informer(script, Widget, transform=_without_labels, back_off=NO_PAUSE))
    assert changes[-1].object.spec.colour == "dropped"


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"kind": "Widget", **labels})


async def test_the_metrics_say_what_is_stored_and_what_does_not_decode_over_all_informers_of_a_kind() -> None:
    metrics = Metrics()
    first, second = (Informer(Script(), Widget, metrics=metrics) for _ in range(2))
    first.replaced([widget("a", 1), widget("b", 2)], [_bad(3)], "5")
    second.replaced([widget("c", 1)], [], "5")
    assert _value(metrics, "kubeloop_store_objects") == 3
    assert _value(metrics, "kubeloop_undecodable_objects") == 1
    first.deleted(ObjectKey("default", "b"), None, "6")
    first.changed(widget("a", 7), "7")
    assert _value(metrics, "kubeloop_store_objects") == 2
    assert _value(metrics, "kubeloop_undecodable_objects") == 0


async def test_the_metrics_count_lists_by_reason_and_tell_the_age() -> None:
    metrics = Metrics()
    script = Script(page(5), [errors.Gone("")], page(6))
    await follow(script, Informer(script, Widget, metrics=metrics, back_off=NO_PAUSE))
    assert _value(metrics, "kubeloop_relists_total", reason="initial") == 1
    assert _value(metrics, "kubeloop_relists_total", reason="gone") == 1
    age = _value(metrics, "kubeloop_store_age_seconds")
    assert age is not None
    assert 0 <= age < 5


def test_versions_only_go_forward_for_each_object() -> None:
    informer = Informer(Script(), Widget)
    steps: list[Callable[[], None]] = [
        lambda: informer.changed(widget("a", 9), "9"),
        lambda: informer.changed(widget("a", 8, uid="older"), "9"),
        lambda: informer.deleted(A, None, "8"),
    ]
    for step in steps:
        step()
        assert informer.store.get(A) == widget("a", 9)


def test_versions_that_are_no_numbers_are_taken_as_they_come() -> None:
    informer = Informer(Script(), Widget)
    for version in ("b", "a"):
        meta = ObjectMeta(name="a", namespace="default", uid="u", resource_version=version)
        informer.changed(Widget(metadata=meta), version)
    stored = informer.store.get(A)
    assert stored is not None
    assert stored.metadata.resource_version == "a"
    assert informer.resource_version == "a"
