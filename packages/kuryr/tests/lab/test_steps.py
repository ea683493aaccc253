import threading

import pytest

from kuryr.lab.layout import LabError
from kuryr.lab.steps import Step, run_steps


def ignore(name: str, seconds: float) -> None:
    """Nobody looks."""


def test_a_step_begins_only_when_all_that_it_needs_is_done() -> None:
    order: list[str] = []
    steps = {
        "c": Step(lambda: order.append("c"), ("a", "b")),
        "b": Step(lambda: order.append("b"), ("a",)),
        "a": Step(lambda: order.append("a")),
    }
    reported: list[str] = []
    run_steps(steps, lambda name, seconds: reported.append(name))
    assert order == reported == ["a", "b", "c"]


def test_steps_that_do_not_need_each_other_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)
    run_steps({"a": Step(lambda: void(both.wait())), "b": Step(lambda: void(both.wait()))}, ignore)


def void(value: object) -> None:
    """Drops a value."""


def test_after_a_failure_nothing_that_needs_it_begins_and_the_error_names_the_step() -> None:
    begun: list[str] = []

    def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(LabError, match="first: disk full"):
        run_steps({"first": Step(fail), "second": Step(lambda: begun.append("second"), ("first",))}, ignore)
    assert begun == []


def test_steps_that_need_each_other_or_nobody_are_refused() -> None:
    with pytest.raises(LabError, match="need each other: a, b"):
        run_steps({"a": Step(lambda: None, ("b",)), "b": Step(lambda: None, ("a",))}, ignore)
    with pytest.raises(LabError, match="no such step: x"):
        run_steps({"a": Step(lambda: None, ("x",))}, ignore)
