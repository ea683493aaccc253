from typing import Any

import msgspec
import pytest

from kubeloop.controller import predicates
from kubeloop.controller.predicates import Predicate
from kubeloop.informer.store import Change

from ..kinds import Widget, WidgetSpec, WidgetStatus, widget

BEFORE = widget("a", 1)


def change(obj: Widget = BEFORE, **metadata: Any) -> Change[Widget]:
    return Change(BEFORE, msgspec.structs.replace(obj, metadata=msgspec.structs.replace(obj.metadata, **metadata)))


@pytest.mark.parametrize(
    ("predicate", "news"),
    [
        (predicates.generation_changed, change(generation=2)),
        (predicates.labels_changed, change(labels={"a": "b"})),
        (predicates.annotations_changed, change(annotations={"a": "b"})),
        (predicates.finalizers_changed, change(finalizers=("a.dev/b",))),
        (predicates.deletion_asked, change(deletion_timestamp="2026-01-01T00:00:00Z")),
        (predicates.not_status_alone, change(msgspec.structs.replace(BEFORE, spec=WidgetSpec(size=9)))),
    ],
)
def test_a_predicate_lets_through_what_it_is_named_for_and_not_a_new_status(
    predicate: Predicate, news: Change[Widget]
) -> None:
    assert predicate(news)
    assert not predicate(change(msgspec.structs.replace(BEFORE, status=WidgetStatus(ready=True)), resource_version="2"))


@pytest.mark.parametrize("predicate", [predicates.generation_changed, predicates.labels_changed])
def test_what_comes_goes_or_is_another_of_the_same_name_is_always_news(predicate: Predicate) -> None:
    assert predicate(Change(None, BEFORE))
    assert predicate(Change(BEFORE, None))
    assert predicate(change(uid="another"))


def test_predicates_combine() -> None:
    labelled = change(labels={"a": "b"})
    labels, generation = predicates.labels_changed, predicates.generation_changed
    assert predicates.any_of(labels, generation)(labelled)
    assert not predicates.all_of(labels, generation)(labelled)
    assert predicates.not_(generation)(labelled)
