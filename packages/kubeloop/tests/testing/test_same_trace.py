"""One seed, one trace: in one interpreter and in others, whatever their hash seed; and nothing of it is left."""

import os
import subprocess
import sys
from pathlib import Path

from .traces import trace

SEEDS = 8
ROOT = Path(__file__).parents[4]


def said_by(program: str, **environ: str) -> list[str]:
    """What another interpreter prints."""
    program = f"import logging\nlogging.disable(logging.CRITICAL)\n{program}"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, **environ}, capture_output=True, check=True
    )
    return ran.stdout.decode().split()


def test_two_runs_of_one_seed_give_the_same_trace() -> None:
    for seed in range(SEEDS):
        first, second = trace(seed), trace(seed)
        assert str(first) == str(second)
        assert first == second


def test_two_seeds_give_two_traces() -> None:
    assert len({trace(seed).digest() for seed in range(SEEDS)}) == SEEDS


def test_an_interpreter_with_another_hash_seed_gives_the_same_traces() -> None:
    program = f"from {__package__}.traces import trace\nfor seed in range({SEEDS}): print(trace(seed).digest())"
    digests = [said_by(program, PYTHONHASHSEED=seed) for seed in ("1", "2")]
    assert digests[0] == digests[1] == [trace(seed).digest() for seed in range(SEEDS)]


def test_runs_leave_nothing_behind() -> None:
    program = f"""
import gc
from {__package__}.traces import trace
for _ in range(3):
    for seed in range(4):
        trace(seed)
    print(len(gc.get_objects()))
"""
    _, before, after = map(int, said_by(program))
    assert abs(after - before) < 100
