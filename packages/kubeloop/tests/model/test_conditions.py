from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeloop.model.base import Condition
from kubeloop.model.conditions import (
    condition,
    conditions_patch,
    find_condition,
    is_true,
    remove_condition,
    set_condition,
)

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
READY = condition("Ready", True, reason="AllWell", observed_generation=2)
STALLED = condition("Stalled", False, reason="Moving")


def test_a_new_condition_goes_to_the_end_with_the_time() -> None:
    conditions = set_condition(set_condition((), READY, EARLY), STALLED, LATE)
    assert [(one.type, one.last_transition_time) for one in conditions] == [("Ready", EARLY), ("Stalled", LATE)]


def test_the_same_again_is_the_very_same_tuple() -> None:
    conditions = set_condition((), READY, EARLY)
    assert set_condition(conditions, READY, LATE) is conditions


def test_another_reason_is_no_transition() -> None:
    conditions = set_condition((), READY, EARLY)
    (changed,) = set_condition(conditions, condition("Ready", True, reason="Better", observed_generation=3), LATE)
    assert (changed.reason, changed.observed_generation, changed.last_transition_time) == ("Better", 3, EARLY)


def test_another_status_is_a_transition_and_the_others_stay_in_place() -> None:
    conditions = set_condition(set_condition((), READY, EARLY), STALLED, EARLY)
    changed = set_condition(conditions, condition("Ready", None, reason="Lost", observed_generation=2), LATE)
    assert (changed[0].status, changed[0].last_transition_time) == ("Unknown", LATE)
    assert changed[1] is conditions[1]


def test_what_was_observed_earlier_does_not_replace_what_was_observed_later() -> None:
    conditions = set_condition((), READY, EARLY)
    stale = condition("Ready", False, reason="Old", observed_generation=1)
    assert set_condition(conditions, stale, LATE) is conditions


@pytest.mark.parametrize("reason", ["", "two words", "lower", "Ends:", "1st", "x" * 1025])
def test_a_reason_that_the_server_would_refuse_is_refused(reason: str) -> None:
    with pytest.raises(ValueError, match="CamelCase"):
        condition("Ready", True, reason=reason)


@pytest.mark.parametrize("type_", ["", "Not Ready", "-Ready", "example.org/"])
def test_a_type_that_is_no_name_is_refused(type_: str) -> None:
    with pytest.raises(ValueError, match="type"):
        condition(type_, True, reason="Some")


def test_qualified_types_and_long_messages_are_taken() -> None:
    found = condition("example.org/Ready", True, reason="Some", message="x" * 40000)
    assert len(found.message) == 32768


def test_a_time_is_written_in_utc_with_whole_seconds() -> None:
    moment = datetime(2026, 1, 1, 2, 0, 0, 999, tzinfo=timezone(timedelta(hours=2)))
    assert set_condition((), READY, moment)[0].last_transition_time == EARLY
    assert set_condition((), READY, moment.astimezone(UTC))[0].last_transition_time == EARLY
    with pytest.raises(ValueError, match="time zone"):
        set_condition((), READY, datetime(2026, 1, 1))


def test_true_for_a_generation_only_when_observed_at_it() -> None:
    conditions = set_condition((), READY, EARLY)
    assert is_true(conditions, "Ready")
    assert is_true(conditions, "Ready", generation=2)
    assert not is_true(conditions, "Ready", generation=3)
    assert not is_true(conditions, "Absent")


def test_removing_what_is_not_there_gives_the_very_same_tuple() -> None:
    conditions = set_condition((), READY, EARLY)
    assert remove_condition(conditions, "Stalled") is conditions
    assert remove_condition(conditions, "Ready") == ()


def test_a_patch_is_empty_without_a_change_and_otherwise_says_empty_messages() -> None:
    conditions = set_condition((), STALLED, EARLY)
    assert conditions_patch(conditions, tuple(conditions)) == {}
    assert conditions_patch((), conditions) == {
        "status": {
            "conditions": [
                {
                    "type": "Stalled",
                    "status": "False",
                    "reason": "Moving",
                    "message": "",
                    "lastTransitionTime": EARLY,
                }
            ]
        }
    }


SET = st.builds(
    condition,
    st.sampled_from(["A", "B", "C"]),
    st.sampled_from([True, False, None]),
    reason=st.sampled_from(["One", "Two"]),
    observed_generation=st.integers(0, 3),
)


@given(st.lists(SET, max_size=12))
def test_there_is_one_condition_of_a_type_and_its_time_tells_when_its_status_changed(news: list[Condition]) -> None:
    conditions: tuple[Condition, ...] = ()
    for number, new in enumerate(news):
        before = find_condition(conditions, new.type)
        conditions = set_condition(conditions, new, str(number))
        after = find_condition(conditions, new.type)
        assert after is not None
        changed = before is None or before.status != after.status
        assert (after.last_transition_time == str(number)) == changed
        assert len({one.type for one in conditions}) == len(conditions)
