"""`kuryr lab status` tells what is not well."""

import os
import signal
from pathlib import Path

import pytest

from kuryr.lab.demo import eventually
from kuryr.lab.kuryr_processes import CONTROLLERS
from kuryr.lab.lab import Lab
from kuryr.lab.processes import process_group
from kuryr.lab.status import all_well, components, look, render

pytestmark = pytest.mark.lab


def problems(lab: Lab) -> dict[str, str]:
    findings = look(components(lab.layout, lab.processes, lab.kuryr), lab.processes)
    return {finding.name: finding.state for finding in findings if not finding.well}


def test_every_component_of_a_running_lab_answers_and_says_its_version(lab: Lab) -> None:
    eventually(lambda: not problems(lab), timeout_s=60, what=lambda: f"not well: {problems(lab)}")
    findings = look(components(lab.layout, lab.processes, lab.kuryr), lab.processes)
    assert all_well(findings)
    assert not [finding.name for finding in findings if finding.version == "-"]
    assert sorted(finding.remark for finding in findings if finding.name in CONTROLLERS) == ["", "leads"]


def test_a_component_that_died_is_shown_with_the_end_of_its_log_until_up_starts_it_again(lab: Lab) -> None:
    lab.processes.signal("kube-scheduler", signal.SIGKILL)
    eventually(lambda: "kube-scheduler" in problems(lab), timeout_s=10, what=lambda: "not seen")
    findings = look(components(lab.layout, lab.processes, lab.kuryr), lab.processes)
    lines = render(findings)
    index = next(number for number, line in enumerate(lines) if line.startswith("kube-scheduler "))
    assert "DEAD" in lines[index]
    assert lines[index + 1].startswith("    ")
    assert not lab.status()
    lab.control_plane.start_controllers()
    eventually(lambda: not problems(lab), timeout_s=60, what=lambda: f"not well: {problems(lab)}")


def test_a_component_that_lives_but_does_not_answer_is_failing(lab: Lab) -> None:
    lab.processes.signal("kube-controller-manager", signal.SIGSTOP)
    try:
        assert problems(lab) == {"kube-controller-manager": "FAILING"}
    finally:
        lab.processes.signal("kube-controller-manager", signal.SIGCONT)
    eventually(lambda: not problems(lab), timeout_s=60, what=lambda: f"not well: {problems(lab)}")


def test_a_crashed_switch_comes_back_by_itself_and_is_counted(lab: Lab) -> None:
    name = "node2-vswitchd"
    record = lab.processes.record(name)
    assert record is not None
    before = lab.processes.restarts(name)
    children = [pid for pid in lab.processes.marked() if process_group(pid) == record.pid and pid != record.pid]
    switch = next(pid for pid in children if f"\nPPid:\t{record.pid}\n" in Path(f"/proc/{pid}/status").read_text())
    os.kill(switch, signal.SIGSEGV)
    eventually(lambda: lab.processes.restarts(name) == before + 1, timeout_s=30, what=lambda: "not started again")
    eventually(lambda: not problems(lab), timeout_s=60, what=lambda: f"not well: {problems(lab)}")
