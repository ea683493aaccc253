"""Ownership and apply as pure functions; that they are the real server's is the contract suite's to say."""

from typing import Any

import pytest

from kubeloop.simulator.field_management import Writer, applied, times_kept, updated
from kubeloop.simulator.refusals import Refusal
from kubeloop.simulator.topology import DEDUCED, Topology, of_object

TEXT = Topology("string")
SPEC = Topology(
    "map",
    closed=True,
    fields={
        "title": TEXT,
        "size": Topology("number"),
        "tags": Topology("list", list_type="set", each=TEXT),
        "rows": Topology("list"),
        "sealed": Topology("map", atomic=True),
        "ports": Topology(
            "list",
            list_type="map",
            list_keys=("port", "protocol"),
            key_defaults={"protocol": "TCP"},
            each=Topology("map", fields={"port": Topology("number"), "protocol": TEXT, "name": TEXT}, closed=True),
        ),
    },
)
SHELF = of_object(Topology("map", fields={"spec": SPEC}, closed=True))


def shelf(managed: list[Any] | None = None, **spec: Any) -> dict[str, Any]:
    meta = {"name": "a", "uid": "u", **({"managedFields": managed} if managed is not None else {})}
    return {"apiVersion": "x.dev/v1", "kind": "Shelf", "metadata": meta, "spec": spec}


def writer(name: str, *, now: str = "2026-01-01T00:00:00Z") -> Writer:
    return Writer(manager=name, now=now)


def fields(body: dict[str, Any], manager: str) -> Any:
    return next(one["fieldsV1"] for one in body["metadata"]["managedFields"] if one["manager"] == manager)


def test_items_are_owned_by_their_keys_and_lists_without_as_a_whole() -> None:
    made = updated(None, shelf(ports=[{"port": 1}], rows=[1, 2], tags=["t"], sealed={"a": 1}), SHELF, writer("one"))
    assert fields(made, "one") == {
        "f:spec": {
            ".": {},
            "f:ports": {".": {}, 'k:{"port":1,"protocol":"TCP"}': {".": {}, "f:port": {}}},
            "f:rows": {},
            "f:sealed": {},
            "f:tags": {".": {}, 'v:"t"': {}},
        }
    }


def test_an_update_takes_what_it_changes_and_who_has_nothing_left_is_not_listed() -> None:
    made = updated(None, shelf(title="t"), SHELF, writer("one"))
    changed = {**made, "spec": {"title": "u"}}
    done = updated(made, changed, SHELF, writer("two"))
    assert fields(done, "two") == {"f:spec": {"f:title": {}}}
    gone = updated(done, {**done, "spec": {}}, SHELF, writer("three"))
    assert [one["manager"] for one in gone["metadata"]["managedFields"]] == ["one"]


@pytest.mark.parametrize(
    ("live", "patch", "merged"),
    [
        ("abc", "xb", "axbc"),
        ("abc", "cba", "cba"),
        ("abcd", "cxa", "bcdxa"),
        ("ab", "cd", "abcd"),
        ("", "ab", "ab"),
    ],
)
def test_items_of_both_lists_stand_in_the_order_of_the_patch(live: str, patch: str, merged: str) -> None:
    made = updated(None, shelf(tags=list(live)), SHELF, writer("one"))
    done = applied(made, shelf(tags=list(patch)), SHELF, writer("two"))
    assert done["spec"]["tags"] == list(merged)


def test_conflicts_are_told_by_manager_and_path() -> None:
    one = applied(None, shelf(title="t", ports=[{"port": 1, "name": "x"}]), SHELF, writer("one"))
    with pytest.raises(Refusal) as refused:
        applied(one, shelf(title="u", ports=[{"port": 1, "name": "y"}]), SHELF, writer("two"))
    assert refused.value.message == (
        'Apply failed with 2 conflicts: conflicts with "one":\n- .spec.title\n- .spec.ports[port=1,protocol="TCP"].name'
    )


def test_of_many_updaters_the_oldest_lose_their_names() -> None:
    body = updated(None, shelf(size=0), SHELF, writer("m0"))
    for number in range(1, 12):
        by = writer(f"m{number}", now=f"2026-01-01T00:00:{number:02}Z")
        meta = {**body["metadata"], "labels": {**body["metadata"].get("labels", {}), f"l{number}": "x"}}
        body = updated(body, {**body, "metadata": meta}, SHELF, by)
    names = [one["manager"] for one in body["metadata"]["managedFields"]]
    assert len(names) == 10
    assert names[0] == "ancient-changes"
    assert fields(body, "ancient-changes")["f:metadata"]["f:labels"].keys() == {".", "f:l1", "f:l2"}


def test_what_became_one_value_is_owned_as_one() -> None:
    granular = of_object(Topology("map", fields={"spec": Topology("map", each=TEXT)}))
    atomic = of_object(Topology("map", fields={"spec": Topology("map", atomic=True)}))
    made = applied(None, shelf(a="1", b="2"), granular, writer("one"))
    done = applied(made, shelf(a="1"), atomic, writer("one"))
    assert done["spec"] == {"a": "1"}
    assert fields(done, "one") == {"f:spec": {}}


def test_a_kind_without_a_known_schema_is_not_applied() -> None:
    with pytest.raises(Refusal) as refused:
        applied(None, shelf(), DEDUCED, writer("one"))
    assert refused.value.code == 501


def test_an_apply_that_changes_only_times_keeps_them() -> None:
    early, late = writer("one"), writer("one", now="2027-01-01T00:00:00Z")
    made = applied(None, shelf(title="t"), SHELF, early)
    again = applied(made, shelf(title="t"), SHELF, late)
    assert again == made
    touched = {**made, "metadata": {**made["metadata"], "managedFields": [{**fields_entry(made), "time": late.now}]}}
    assert times_kept(made, touched) == made


def fields_entry(body: dict[str, Any]) -> Any:
    return body["metadata"]["managedFields"][0]
