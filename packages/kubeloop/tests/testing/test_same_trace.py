"""One seed, one trace: in one interpreter and in others, whatever their hash seed."""

import os
import subprocess
import sys
from pathlib import Path

from .traces import trace

SEEDS = 8
ROOT = Path(__file__).parents[4]


def test_two_runs_of_one_seed_give_the_same_trace() -> None:
    for seed in range(SEEDS):
        first, second = trace(seed), trace(seed)
        assert str(first) == str(second)
        assert first == second


def test_two_seeds_give_two_traces() -> None:
    assert len({trace(seed).digest() for seed in range(SEEDS)}) == SEEDS


def test_an_interpreter_with_another_hash_seed_gives_the_same_traces() -> None:
    program = [sys.executable, "-m", "packages.kubeloop.tests.testing.traces", str(SEEDS)]
    digests = [
        subprocess.run(
            program, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert digests[0] == digests[1] == [trace(seed).digest() for seed in range(SEEDS)]
