"""Conditions of a status: the `metav1.Condition` of KEP-1623, as values.

A status holds at most one condition of a type. `last_transition_time` moves only when `status` does, so a condition
that says the same again is the same value, and who writes only what has changed writes nothing. Nothing here reads a
clock or calls the server. A patch replaces the whole list: it is for conditions that one controller owns alone.

Source: https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/1623-standardize-conditions and
the validation of `metav1.Condition`.
"""

import re
from datetime import datetime
from typing import Any

import msgspec

from kubeloop.model.base import Condition
from kubeloop.model.times import time_text

_TYPE = re.compile(
    r"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])"
)
_REASON = re.compile(r"[A-Z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_STATUSES = {True: "True", False: "False", None: "Unknown"}
_LONGEST_TYPE, _LONGEST_REASON, _LONGEST_MESSAGE = 316, 1024, 32768


def condition(
    type_: str, status: bool | None, *, reason: str, message: str = "", observed_generation: int = 0
) -> Condition:
    """A condition without a time, which `set_condition` gives it; None is Unknown.

    A message that is too long is cut, as it often comes from elsewhere. Raises ValueError when `type_` is not a
    (qualified) name or `reason` not a CamelCase word, which the API server would refuse.
    """
    if len(type_) > _LONGEST_TYPE or not _TYPE.fullmatch(type_):
        raise ValueError(f"not a condition's type: {type_!r}")
    if len(reason) > _LONGEST_REASON or not _REASON.fullmatch(reason):
        raise ValueError(f"a condition's reason is one CamelCase word, not {reason!r}")
    if observed_generation < 0:
        raise ValueError(f"a generation is not negative: {observed_generation}")
    return Condition(
        type=type_,
        status=_STATUSES[status],
        reason=reason,
        message=message[:_LONGEST_MESSAGE],
        observed_generation=observed_generation,
    )


def set_condition(conditions: tuple[Condition, ...], new: Condition, now: str | datetime) -> tuple[Condition, ...]:
    """The conditions with `new` in place of the one of its type, or at the end; the order of the others stays.

    The time of the last transition is `now` where `status` changes, else what it was. The very same tuple (`is`) when
    nothing changes. A condition that was observed at an older generation never replaces a newer one. `now` is RFC 3339
    text, or a datetime with a time zone.
    """
    old = find_condition(conditions, new.type)
    if old is None:
        return (*conditions, msgspec.structs.replace(new, last_transition_time=_timestamp(now)))
    if new.observed_generation and new.observed_generation < old.observed_generation:
        return conditions
    same_status = old.status == new.status and old.last_transition_time
    time = old.last_transition_time if same_status else _timestamp(now)
    new = msgspec.structs.replace(new, last_transition_time=time)
    if new == old:
        return conditions
    return tuple(new if one is old else one for one in conditions)


def remove_condition(conditions: tuple[Condition, ...], type_: str) -> tuple[Condition, ...]:
    """The conditions without the one of that type; the very same tuple when there is none."""
    if find_condition(conditions, type_) is None:
        return conditions
    return tuple(one for one in conditions if one.type != type_)


def find_condition(conditions: tuple[Condition, ...], type_: str) -> Condition | None:
    """The condition of a type."""
    return next((one for one in conditions if one.type == type_), None)


def is_true(conditions: tuple[Condition, ...], type_: str, *, generation: int = 0) -> bool:
    """Whether the condition is True; with `generation`, only if it was observed at that generation or later."""
    found = find_condition(conditions, type_)
    return found is not None and found.status == "True" and found.observed_generation >= generation


def conditions_patch(old: tuple[Condition, ...], new: tuple[Condition, ...]) -> dict[str, Any]:
    """The body of a merge patch of the status subresource; empty when there is nothing to write.

    The list is replaced whole, because merge patches know no other way: pass the version of the object as the patch's
    precondition where somebody else may set conditions too.
    """
    return {} if old is new or old == new else {"status": {"conditions": [_whole(one) for one in new]}}


def _whole(one: Condition) -> dict[str, Any]:
    """With an empty message too: `metav1.Condition` requires the field in every schema made of it."""
    return {"reason": "", "message": "", **msgspec.to_builtins(one)}


def _timestamp(now: str | datetime) -> str:
    return now if isinstance(now, str) else time_text(now)
