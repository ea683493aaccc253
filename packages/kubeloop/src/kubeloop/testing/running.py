"""One run of a scenario: sets the cluster up, starts the replicas, plays the steps, waits until all is quiet, checks.

Faults strike while the steps are played, and end a moment after the last. What they set going may last longer (a late
effect, a process that stands still): only when that is over too must all be quiet, and `finally_` hold.
"""

import asyncio
import hashlib
import logging
import random
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from kubeloop.client.definitions import ensure_definitions
from kubeloop.client.transport import Cluster
from kubeloop.logs import KeyValueFormatter, ReconcileFields
from kubeloop.simulator.controllers.cluster import run_controllers
from kubeloop.simulator.manifests import apply_manifests
from kubeloop.testing.explaining import explain
from kubeloop.testing.faults import Call, Fault, ScriptedFaults, SeededFaults
from kubeloop.testing.incarnation import Main, Process
from kubeloop.testing.plans import Failure, Outcome, Plan
from kubeloop.testing.scenario import Invariant, Scenario, name_of
from kubeloop.testing.trace import Line, Trace
from kubeloop.testing.virtual_time import START_S, owner
from kubeloop.testing.world import SimulationFailed, World, simulate

CPU_LIMIT_S = 30.0
"""Of one run: what takes longer spins."""

LOOK_AGAIN_S = 10.0

CLEAN_AFTER_S = 0.2
"""About what the real garbage collector takes. With none, who makes what it takes away makes it a thousand times."""


class Broken(AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant: str, message: str) -> None:
        super().__init__(message)
        self.invariant = invariant


class EndedByItself(AssertionError):
    """A controller has returned: what follows would be run without one."""


class Spins(BaseException):
    """A run is not done after much more CPU time than any should take. Not an Exception, which code would catch."""


def run_plan(scenario: Scenario, plan: Plan, *, traced: bool = False, logs: bool = False) -> Outcome:
    """The one run that the plan determines, in this process. With `logs` what is logged is in its trace, else
    nowhere.
    """
    began = time.process_time()
    run = _Run(scenario, plan)
    failure = None
    try:
        with _cpu_limit(CPU_LIMIT_S), _logs_to(run if logs else None):
            simulate(run.main, seed=plan.seed, faults=run.faults)
    except SimulationFailed as error:
        failure = _failure(error.__cause__ or error, run.told_s)
    except Spins as error:
        failure = _failure(error, run.told_s)
    lines = [str(line) for line in run.trace]
    return Outcome(
        plan=plan,
        effects=run.effects,
        faults=run.decisions,
        digest=hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest(),
        virtual_s=run.ended_s,
        cpu_s=time.process_time() - began,
        failure=failure,
        trace=tuple(lines) if traced or failure is not None else (),
    )


class _Run:
    """One run; `main` is what the world runs. Of the world it keeps what is told of it: the rest can go with the
    run.
    """

    def __init__(self, scenario: Scenario, plan: Plan) -> None:
        self._scenario = scenario
        self._plan = plan
        self.faults = _Faults(plan)
        self.effects = 0
        self.ended_s = 0.0
        self.trace = Trace()
        self.decisions: dict[int, Fault] = {}

    @property
    def told_s(self) -> float:
        """When the last thing happened that is in the trace."""
        return self.trace.lines[-1].at_s if self.trace.lines else 0.0

    async def main(self, world: World) -> None:
        """The whole scenario."""
        scenario, self.trace, self.decisions = self._scenario, world.trace, world.gate.decisions
        if scenario.backend is not None:
            world.backend = scenario.backend(world)
        await _prepare(world, scenario)
        world.checks += [lambda: self._happened(world), *(_checking(world, each) for each in scenario.always)]
        for name, main in _processes(scenario).items():
            world.start(name, main)
        for number, step in enumerate(scenario.steps):
            if number not in self._plan.without:
                await asyncio.sleep(world.random.uniform(0, scenario.pause_s))
                world.note(None, f"step {number + 1}: {name_of(step)}")
                await step(world)
        await asyncio.sleep(scenario.pause_s)  # what follows from the last step meets faults too
        self.faults.end(world.now)
        await self._come_to_rest(world)
        self.ended_s = world.now

    def _happened(self, world: World) -> None:
        """Counts effects until all is quiet: those after it only renew a lease."""
        self.effects, self.ended_s = world.gate.effects, world.now

    async def _come_to_rest(self, world: World) -> None:
        """What does not hold when all is quiet may hold later: a dead watch is noticed after a minute and a half."""
        deadline_s = world.now + self._scenario.settle_s
        while True:
            await world.quiet()
            broken = next((error for each in self._scenario.finally_ if (error := _broken(world, each))), None)
            if broken is None:
                world.note(None, "all is quiet, and as it should be")
                return
            if world.now >= deadline_s:
                raise broken
            await asyncio.sleep(LOOK_AGAIN_S)


def _processes(scenario: Scenario) -> dict[str, Main]:
    """Of what is tested, by name."""
    names = [scenario.name] if scenario.replicas == 1 else [f"{scenario.name}-{n}" for n in range(scenario.replicas)]
    return {
        name: endless(main)
        for name, main in {**dict.fromkeys(names, scenario.controller), **scenario.processes}.items()
    }


def endless(main: Main) -> Main:
    """`main`, which fails the run when it returns by itself."""

    async def run(process: Process) -> None:
        await main(process)
        if not process.stopping:
            raise EndedByItself(f"{process.name} has returned; it is to run until it is stopped")

    return run


async def _prepare(world: World, scenario: Scenario) -> None:
    """As the user, to whom no fault happens."""
    if scenario.kinds:
        await ensure_definitions(world.client, scenario.kinds)
    for obj in scenario.objects:
        await world.client.create(obj)
    for path in scenario.manifests:
        apply_manifests(world.servers[0], path)
    if scenario.cluster:
        world.start("cluster", lambda cluster: _run_cluster(cluster, world, scenario), reliable=True)
    for name, main in scenario.reliable.items():
        world.start(name, main, reliable=True)


async def _run_cluster(cluster: Cluster, world: World, scenario: Scenario) -> None:
    await run_controllers(cluster, world.servers[0], only=scenario.cluster, clean_after_s=CLEAN_AFTER_S)


class _Faults:
    """The plan's. Those by chance end with the last step, `until_s`."""

    def __init__(self, plan: Plan) -> None:
        self.until_s = float("inf")
        self._scripted = ScriptedFaults(plan.faults, plan.effects)
        chance = random.Random(f"{plan.seed}/faults")  # noqa: S311 - repeatable is what it must be
        self._by_chance = SeededFaults(chance, until_s=float("inf")) if plan.chance else None

    def decide(self, call: Call) -> Fault | None:
        if self._by_chance is None:
            return self._scripted.decide(call)
        return self._by_chance.decide(call) if call.at_s < self.until_s else None

    def end(self, now_s: float) -> None:
        self.until_s = now_s


def _checking(world: World, invariant: Invariant) -> Callable[[], None]:
    """What does not hold fails the run, also where nobody may raise."""

    def check() -> None:
        if (broken := _broken(world, invariant)) is not None:
            world.fail(broken)

    return check


def _broken(world: World, invariant: Invariant) -> Broken | None:
    try:
        returned: object = invariant(world)  # type: ignore[func-returns-value]
    except Exception as error:  # noqa: BLE001 - whatever it is, the invariant does not hold
        return Broken(name_of(invariant), explain(error))
    if returned is not None:
        return Broken(
            name_of(invariant), f"an invariant asserts and returns nothing; this one has returned {returned!r}"
        )
    return None


def _failure(cause: BaseException, at_s: float) -> Failure:
    if isinstance(cause, Broken):
        return Failure(invariant=cause.invariant, message=str(cause), at_s=at_s)
    told = "".join(traceback.format_exception(cause)).strip()
    return Failure(invariant=type(cause).__name__, message=told, at_s=at_s)


class _TraceHandler(logging.Handler):
    def __init__(self, run: _Run) -> None:
        super().__init__()
        self._run = run
        self.addFilter(ReconcileFields())
        self.setFormatter(KeyValueFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        who = owner.get()
        text = self.format(record).partition(" ")[2]
        self._run.trace.add(Line(asyncio.get_running_loop().time() - START_S, str(who or ""), f"| {text}"))


@contextmanager
def _logs_to(run: _Run | None) -> Iterator[None]:
    """Nobody reads what a hundred thousand runs log."""
    root, before = logging.getLogger(), logging.root.manager.disable
    handler = _TraceHandler(run) if run is not None else None
    level = root.level
    if handler is None:
        logging.disable(logging.CRITICAL)
    else:
        root.addHandler(handler)
        root.setLevel(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
        root.setLevel(level)
        if handler is not None:
            root.removeHandler(handler)


@contextmanager
def _cpu_limit(seconds: float) -> Iterator[None]:
    """Raises `Spins` where the code is after so much CPU time. Of the main thread only, as signals are."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_: int, __: FrameType | None) -> None:
        raise Spins(f"a run took more than {seconds:g} s of CPU")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
