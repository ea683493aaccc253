"""Real processes, small ones: nothing of the lab is needed."""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from kuryr.lab.layout import LabError, Layout
from kuryr.lab.processes import MARK, Processes, Record, end_all, run, start_time


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(state=tmp_path / "state", cache=tmp_path / "cache")


@pytest.fixture
def processes(layout: Layout) -> Iterator[Processes]:
    layout.state.mkdir()
    made = Processes(layout)
    yield made
    made.stop(*(record.name for record in made.all()), timeout_s=5)
    end_all(made.marked(), 5)


def until(is_so: object, timeout_s: float = 10) -> None:
    assert callable(is_so)
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_started_process_is_recorded_marked_and_logged(processes: Processes, layout: Layout) -> None:
    processes.start("one", ["sh", "-c", "echo hello; exec sleep 60"])
    until(lambda: processes.tail("one") == "hello")
    record = processes.record("one")
    assert record is not None
    assert record.alive
    until(lambda: record.pid in processes.marked())
    assert Path(record.log) == layout.state / "logs/one.log"


def test_a_process_that_runs_is_not_started_twice(processes: Processes) -> None:
    processes.start("one", ["sleep", "60"])
    first = processes.record("one")
    processes.start("one", ["sleep", "60"])
    assert processes.record("one") == first


def test_a_pid_that_another_process_took_is_neither_alive_nor_signalled(processes: Processes, layout: Layout) -> None:
    processes.start("other", ["sleep", "60"])
    other = processes.record("other")
    assert other is not None
    reused = Record("gone", other.pid, other.started - 1, other.log)
    (layout.state / "processes/gone.json").write_text(json.dumps(asdict(reused)))
    assert not processes.alive("gone")
    processes.signal("gone", signal.SIGKILL)
    assert processes.alive("other")


def test_stop_also_ends_the_child_that_a_killed_parent_left(processes: Processes) -> None:
    processes.start("parent", ["sh", "-c", "sleep 60 & echo $!; wait"])
    until(lambda: processes.tail("parent").isdigit())
    child = int(processes.tail("parent"))
    until(lambda: child in processes.marked())
    processes.signal("parent", signal.SIGKILL)
    until(lambda: not processes.alive("parent"))
    assert start_time(child)
    processes.stop("parent", timeout_s=5)
    assert not start_time(child)
    assert processes.record("parent") is None


def test_the_mark_of_another_lab_is_not_ours(processes: Processes, tmp_path: Path) -> None:
    other = Processes(Layout(state=tmp_path / "state-2", cache=tmp_path / "cache"))
    (tmp_path / "state-2").mkdir()
    processes.start("one", ["sleep", "60"])
    record = processes.record("one")
    assert record is not None
    until(lambda: record.pid in processes.marked())
    assert other.marked() == []
    assert MARK not in os.environ


def test_waiting_for_a_process_that_ends_says_what_it_wrote(processes: Processes) -> None:
    processes.start("brief", ["sh", "-c", "echo no such database; exit 1"])
    with pytest.raises(LabError, match="brief ended\nno such database"):
        processes.wait("brief", lambda: False, timeout_s=10)


def test_a_process_that_ignores_term_is_killed(processes: Processes) -> None:
    processes.start("stubborn", ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"])
    until(lambda: processes.tail("stubborn") == "ready")
    record = processes.record("stubborn")
    assert record is not None
    processes.stop("stubborn", timeout_s=0.5)
    assert not record.alive


def test_restarts_are_counted_from_the_monitors_lines_only(processes: Processes, layout: Layout) -> None:
    processes.start("switch", ["sleep", "60"])
    (layout.state / "logs/switch.log").write_text(
        "t|00003|daemon_unix(monitor)|ERR|1 crashes: pid 5 died, killed (Segmentation fault), restarting\n"
        "t|00004|daemon_unix(monitor)|ERR|2 crashes: pid 6 died, killed (Aborted), restarting\n"
        "t|00005|bridge(ovs-vswitchd)|INFO|not restarting\n"
    )
    assert processes.restarts("switch") == 2
    assert processes.restarts("unknown") == 0


def test_a_command_that_fails_raises_with_what_it_said() -> None:
    with pytest.raises(LabError, match=r"exit 3\nwhy"):
        run(["sh", "-c", "echo why; exit 3"])
    with pytest.raises(LabError, match="is not installed"):
        run(["no-such-program-of-the-lab"])


def test_one_that_ended_before_it_was_recorded_is_not_alive() -> None:
    assert not Record("brief", 2**22 + 1, 0, "").alive
