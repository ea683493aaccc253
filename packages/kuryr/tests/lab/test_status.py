from pathlib import Path

from kuryr.lab.layout import LabError, Layout
from kuryr.lab.processes import Processes
from kuryr.lab.removal import mounts_below
from kuryr.lab.status import Component, Finding, all_well, look, render

WELL = Finding("etcd", 7, alive=True, version="3.6.16", problem="", restarts=0, log="/logs/etcd.log")


def test_only_a_lab_in_which_everything_lives_and_answers_is_well() -> None:
    dead = Finding("etcd", 7, alive=False, version="", problem="", restarts=0, log="")
    failing = Finding("etcd", 7, alive=True, version="", problem="no answer", restarts=0, log="")
    assert all_well([WELL])
    assert not all_well([WELL, dead])
    assert not all_well([WELL, failing])
    assert not all_well([])


def test_a_line_has_pid_version_log_and_restarts_and_a_dead_one_its_last_lines() -> None:
    dead = Finding("switch", 8, alive=False, version="3.5", problem="", restarts=2, log="/s.log", last_lines="a\nb")
    first, second, *rest = render([WELL, dead])
    assert first.split() == ["etcd", "well", "pid", "7", "3.6.16", "/logs/etcd.log"]
    assert second.split() == ["switch", "DEAD", "pid", "8", "3.5", "/s.log", "restarted", "2x"]
    assert rest == ["    a", "    b"]


def test_one_that_lives_is_asked_and_what_was_never_started_is_not(tmp_path: Path) -> None:
    layout = Layout(state=tmp_path, cache=tmp_path)
    processes = Processes(layout)
    processes.start("alive", ["sleep", "60"])

    def refuse() -> None:
        raise LabError("refused")

    try:
        table = [Component("alive", lambda: "1", refuse), Component("missing", lambda: "1", refuse)]
        assert [(one.state, one.problem) for one in look(table, processes)] == [
            ("FAILING", "refused"),
            ("NOT STARTED", ""),
        ]
    finally:
        processes.stop("alive")


def test_mounts_below_a_folder_come_deepest_first_and_no_neighbours() -> None:
    rows = ["/lab/a", "/lab/a/b\\040c/d", "/lab-2/x", "/lab", "/lab/a/b"]
    text = "\n".join(f"36 35 98:0 / {row} rw - ext3 /dev/root rw" for row in rows)
    assert mounts_below(Path("/lab"), text) == ["/lab/a/b c/d", "/lab/a/b", "/lab/a"]
