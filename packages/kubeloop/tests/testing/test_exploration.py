"""Which runs are made of a scenario, and what is told of the one that fails."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kubeloop.testing import NotDeterministic, Scenario, ScenarioFailed, Workers, explore
from kubeloop.testing.failures import save
from kubeloop.testing.faults import Fault, FaultKind
from kubeloop.testing.naming import UnknownScenario, load_scenario, target_of
from kubeloop.testing.plans import Plan
from kubeloop.testing.running import run_plan
from kubeloop.testing.workers import WorkerFailed

from . import counters


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers() as workers:
        yield workers


def test_a_right_controller_is_run_once_for_each_effect_before_and_after_it_and_by_chance(workers: Workers) -> None:
    found = explore(counters.RIGHT, runs=20, seed=5, workers=workers)
    assert found.failed is None
    assert (found.effects, found.effect_runs) == (2, 4)
    assert (found.random_runs, found.first_seed, found.last_seed) == (20, 5, 24)
    assert found.cpu_s > found.random_cpu_s > 0
    found.check()


def test_one_seed_gives_one_trace_in_any_process(workers: Workers) -> None:
    target, plan = target_of(counters.RIGHT), Plan(seed=11, chance=True)
    here = run_plan(counters.RIGHT, plan, traced=True)
    there = workers.run(target, plan, traced=True)
    assert here.trace == there.trace
    assert here.digest == there.digest
    assert run_plan(counters.RIGHT, Plan(seed=12, chance=True)).digest != here.digest


def test_the_faults_that_struck_replay_a_run_without_chance(workers: Workers) -> None:
    target = target_of(counters.RIGHT)
    by_chance = list(workers.stream(target, (Plan(seed=seed, chance=True) for seed in range(20))))
    assert sum(len(outcome.faults) for outcome in by_chance) > 5
    for outcome in by_chance:
        again = workers.run(target, Plan(seed=outcome.plan.seed, faults=outcome.faults))
        assert again.digest == outcome.digest


def test_a_process_is_killed_at_the_effect_that_is_named_and_comes_back(workers: Workers) -> None:
    plan = Plan(seed=1, effects={2: Fault(FaultKind.KILL_AFTER, 1.0)})
    outcome = workers.run(target_of(counters.RIGHT), plan, traced=True)
    assert outcome.failure is None
    killed = next(number for number, line in enumerate(outcome.trace) if line.endswith("killed"))
    assert "(e2)" in outcome.trace[killed - 1]
    assert any("right#2" in line for line in outcome.trace[killed:])


def test_a_failure_tells_the_invariant_what_its_names_stood_for_and_how_to_run_it_again(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = explore(counters.WRONG, seed=3, workers=workers)
    with pytest.raises(ScenarioFailed) as raised:
        found.check()
    told = str(raised.value)
    assert "nobody_says_two: assert 2 not in said" in told
    assert "said = [2]" in told
    assert "with seed 3" in told
    assert "without any fault" in told
    assert "patch /apis/tests.kubeloop.dev/v1/namespaces/default/counters/one/status" in told


def test_a_failure_that_takes_a_fault_is_shrunk_to_it_and_the_printed_command_replays_it_exactly(
    workers: Workers,
) -> None:
    found = explore(counters.ONCE, runs=100, seed=1, each_effect=False, workers=workers)
    assert found.failed is not None
    assert found.shrunk is not None
    assert found.shrunk.failure is not None
    assert len(found.shrunk.faults) == 1
    told = save(found.target, found.failed, found.shrunk)
    for command in re.findall(r"  python (-m kubeloop.testing.simulate .+)", told):
        again = subprocess.run(
            [sys.executable, *command.split()], capture_output=True, text=True, timeout=60, check=False
        )
        assert again.returncode == 1, again.stderr
        assert f"{found.shrunk.failure.invariant}: " in again.stdout
        if "--faults" in command:
            assert again.stdout.startswith("\n".join(found.shrunk.trace))
    assert told.count("python -m") == 2


def test_a_run_that_is_not_determined_is_told_with_the_first_line_that_differs() -> None:
    with Workers(1) as worker, pytest.raises(NotDeterministic) as raised:
        explore(counters.OUTLIVING, seed=1, workers=worker)
    told = str(raised.value)
    assert re.search(r"  1 .*c-\d", told)
    assert "outlives a run" in told


def test_a_run_that_spins_is_a_failure_that_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubeloop.testing.running.CPU_LIMIT_S", 0.3)
    outcome = run_plan(counters.SPINNING, Plan(seed=1))
    assert outcome.failure is not None
    assert outcome.failure.invariant == "Spins"
    assert "in spin" in outcome.failure.message


def test_a_scenario_is_found_by_its_module_its_file_its_name_and_its_variable() -> None:
    path = str(Path(counters.__file__))
    assert load_scenario(f"{counters.__name__}:right") is counters.RIGHT
    assert load_scenario(f"{path}:RIGHT") is counters.RIGHT
    assert load_scenario(f"{path}:family-a") is counters.FAMILY["a"]
    assert load_scenario(target_of(counters.WRONG)) is counters.WRONG


def test_a_name_that_is_none_is_told_with_those_that_there_are() -> None:
    with pytest.raises(UnknownScenario, match=r"no scenario 'wrogn'; it has right, wrong, once"):
        load_scenario(f"{counters.__file__}:wrogn")


def test_a_scenario_that_no_module_holds_is_refused_as_workers_could_not_find_it(workers: Workers) -> None:
    local = Scenario(name="local", controller=counters.run, steps=())
    with pytest.raises(UnknownScenario, match="must be a variable of the module"):
        explore(local, workers=workers)


def test_a_worker_that_cannot_import_says_why() -> None:
    with Workers(1) as workers, pytest.raises(WorkerFailed, match="No module named 'nowhere_at_all'"):
        workers.run("nowhere_at_all:x", Plan(seed=1))


def test_a_file_is_taken_from_its_own_package_where_another_one_has_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").touch()
    command = [sys.executable, "-m", "kubeloop.testing.simulate", f"{counters.__file__}:right", "--runs", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "right: 2 effects, 4 runs killed at one; 1 by chance" in done.stdout


def test_manifests_are_there_from_the_start_and_one_that_is_not_right_is_told(tmp_path: Path) -> None:
    manifest = tmp_path / "counters.yaml"
    head = "apiVersion: tests.kubeloop.dev/v1\nkind: Counter\nmetadata: {name: one, namespace: default}\n"
    manifest.write_text(head + "spec: {wanted: 3}\n")
    scenario = replace(counters.RIGHT, manifests=(manifest,), steps=(counters.change,))
    assert run_plan(scenario, Plan(seed=1)).failure is None
    manifest.write_text(head + "spec: {wanted: many}\n")
    failure = run_plan(scenario, Plan(seed=1)).failure
    assert failure is not None
    assert "Counter one" in failure.message
    assert "spec.wanted" in failure.message
