from hypothesis import given
from hypothesis import strategies as st

from kubeloop.informer.store import Store
from kubeloop.model.base import ObjectKey

from ..kinds import Widget, widget


def _by_size(obj: Widget) -> tuple[str, ...]:
    return (str(obj.spec.size),)


def test_an_update_moves_the_object_to_its_new_index_value() -> None:
    store: Store[Widget] = Store({"size": _by_size})
    store.put(widget("a", 1, size=1))
    store.put(widget("a", 2, size=2))
    assert [list(store.by_index("size", value)) for value in ("1", "2")] == [[], [widget("a", 2, size=2)]]


def test_a_new_object_of_an_old_name_is_a_deletion_and_an_addition() -> None:
    store: Store[Widget] = Store()
    old, new = widget("a", 1, uid="one"), widget("a", 2, uid="two")
    store.put(old)
    changes = store.put(new)
    assert [(change.old, change.new) for change in changes] == [(old, None), (None, new)]


def test_the_same_version_again_is_no_change() -> None:
    store: Store[Widget] = Store()
    store.put(widget("a", 1))
    assert store.put(widget("a", 1)) == ()


def test_a_relist_turns_what_vanished_into_deletes_with_the_last_known_state() -> None:
    store: Store[Widget] = Store()
    store.put(widget("a", 1, size=7))
    store.put(widget("b", 2))
    changes = store.replace([widget("b", 2)])
    assert [(change.old, change.new) for change in changes] == [(widget("a", 1, size=7), None)]


def test_a_relist_keeps_what_is_there_but_does_not_decode() -> None:
    store: Store[Widget] = Store()
    store.put(widget("a", 1))
    assert store.replace([], keep={ObjectKey("default", "a")}) == ()
    assert store.get(ObjectKey("default", "a")) == widget("a", 1)


def test_an_older_version_changes_nothing() -> None:
    store: Store[Widget] = Store()
    store.put(widget("a", 9))
    assert store.put(widget("a", 8)) == ()
    assert store.remove(ObjectKey("default", "a"), version="8") == ()
    assert store.replace([], version="8") == ()
    assert store.get(ObjectKey("default", "a")) == widget("a", 9)


def test_what_a_live_read_did_not_find_stays_away_until_the_watch_is_past_it() -> None:
    store: Store[Widget] = Store()
    store.put(widget("a", 7))
    assert len(store.absent(ObjectKey("default", "a"), "9")) == 1
    assert store.put(widget("a", 8)) == ()
    store.caught_up(9)
    assert len(store.put(widget("a", 8))) == 1


def test_a_list_of_many_tells_the_deletes_first() -> None:
    store: Store[Widget] = Store()
    store.put(widget("a", 1, uid="one"))
    store.put(widget("b", 2))
    changes = store.replace([widget("c", 3), widget("a", 4, uid="two")], version="5")
    assert [change.kind for change in changes] == ["deleted", "deleted", "added", "added"]


_OBJECTS = st.builds(
    widget,
    st.sampled_from("abc"),
    st.integers(1, 50),
    uid=st.sampled_from(["one", "two"]),
    size=st.integers(0, 2),
)


@given(st.lists(st.one_of(_OBJECTS, st.sampled_from("abc"), st.lists(_OBJECTS, max_size=3))))
def test_indexes_and_changes_agree_with_the_objects_whatever_happens(steps: list[Widget | str | list[Widget]]) -> None:
    store: Store[Widget] = Store({"size": _by_size})
    replayed: dict[ObjectKey, Widget] = {}
    for step in steps:
        if isinstance(step, str):
            changes = store.remove(ObjectKey("default", step))
        elif isinstance(step, list):
            changes = store.replace(step)
        else:
            changes = store.put(step)
        for change in changes:
            if change.new is None:
                del replayed[change.object.key]
            else:
                replayed[change.new.key] = change.new
    assert {obj.key: obj for obj in store.list()} == replayed
    for size in "012":
        assert {obj.key for obj in store.by_index("size", size)} == {
            obj.key for obj in replayed.values() if str(obj.spec.size) == size
        }
