"""The plug-in, in a project of its own."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from . import counters

TESTS = """
from counters import RIGHT, WRONG

def test_right(simulation):
    simulation(RIGHT)

def test_wrong(simulation):
    simulation(WRONG)
"""


def run_pytest(folder: Path, *options: str) -> str:
    shutil.copy(counters.__file__, folder / "counters.py")
    (folder / "test_counters.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "kubeloop.testing.pytest_plugin", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False).stdout


def test_a_scenario_is_explored_as_the_options_say_and_told_at_the_end(tmp_path: Path) -> None:
    told = run_pytest(tmp_path, "--sim-runs", "5", "--sim-seed", "40")
    assert "right: 2 effects, 4 runs killed at one; 5 by chance, seeds 40 to 44" in told
    assert "1 failed, 1 passed" in told
    assert "nobody_says_two: assert 2 not in said" in told
    assert "python -m kubeloop.testing.simulate counters.py:wrong --faults" in told


def test_without_options_each_session_has_new_seeds_for_some_seconds(tmp_path: Path) -> None:
    first, second = (
        re.findall(r"(\d+) by chance, seeds (\d+)", run_pytest(tmp_path, "--sim-seconds", "0.2", "-k", "right"))
        for _ in range(2)
    )
    assert first[0][1] != second[0][1]
    assert int(first[0][0]) > 1
