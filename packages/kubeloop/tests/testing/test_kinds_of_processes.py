"""A scenario's processes: the controller's replicas, others that are tested too, and those to which nothing happens."""

import asyncio

import kubeloop as k
from kubeloop.testing import Fault, FaultKind, Process, Scenario, ScriptedFaults, World, backend_call, simulate
from kubeloop.testing.plans import Plan
from kubeloop.testing.running import run_plan

from .counters import Counter, make, run


async def idle(_: Process) -> None:
    await asyncio.Event().wait()


async def one_write(process: Process) -> None:
    """And then nothing more."""
    async with k.connect(process, user_agent="test", field_manager="test") as client:
        name = f"{process.name}-{process.incarnation}"
        await client.create(Counter(metadata=k.ObjectMeta(name=name, namespace="default")))
    await asyncio.Event().wait()


async def returns(_: Process) -> None:
    """Whoever is to run until it is stopped must not."""


def both_have_written(world: World) -> None:
    assert [one.metadata.name for one in world.list(Counter)] == ["agent-1", "kubelet-1", "one"]


AGENT = Scenario(
    name="controller",
    controller=run,
    replicas=2,
    processes={"agent": one_write},
    reliable={"kubelet": one_write},
    kinds=(Counter,),
    steps=(make,),
)


def test_all_run_and_the_reliable_ones_calls_are_not_numbered() -> None:
    outcome = run_plan(AGENT, Plan(seed=1), traced=True)
    assert outcome.failure is None
    started = {line.split()[1] for line in outcome.trace if line.endswith("starts")}
    assert started == {"controller-0#1", "controller-1#1", "agent#1", "kubelet#1", "cluster#1"}
    assert any("kubelet#1" in line and " 0 create" in line for line in outcome.trace)
    assert any("agent#1" in line and "(e1) create" in line for line in outcome.trace)


def test_an_agent_is_killed_at_its_effect_and_started_again() -> None:
    outcome = run_plan(AGENT, Plan(seed=1, effects={1: Fault(FaultKind.KILL_BEFORE, 1.0)}), traced=True)
    assert outcome.failure is None
    assert any(line.endswith("agent#2        starts") for line in outcome.trace)


def test_an_agent_that_returns_by_itself_is_a_failure() -> None:
    scenario = Scenario(name="controller", controller=idle, processes={"agent": returns}, steps=())
    failure = run_plan(scenario, Plan(seed=1)).failure
    assert failure is not None
    assert failure.message.endswith("agent has returned; it is to run until it is stopped")


def test_what_is_removed_is_killed_and_does_not_come_back() -> None:
    async def scenario(world: World) -> None:
        agent = world.start("agent", idle)
        agent.kill()
        await asyncio.sleep(2)
        world.remove("agent")
        await asyncio.sleep(10)
        assert (world.processes["agent"].incarnation, world.processes["agent"].alive) == (2, False)
        world.start("agent", idle)
        assert world.processes["agent"].incarnation == 3
        world.processes["agent"].kill()
        world.remove("agent")  # also while it would be started again
        await world.quiet()
        assert world.processes["agent"].incarnation == 3

    simulate(scenario, seed=1)


def test_a_back_end_may_say_itself_what_is_wrong_before_or_after_the_effect() -> None:
    done: list[str] = []
    heard: list[str] = []

    async def caller(process: Process) -> None:
        for what in ("a", "b", "c"):

            def act(what: str = what) -> str:
                done.append(what)
                return "201"

            heard.append(await backend_call(process, what, act, answered=lambda fault: str(fault.kind)))
        await asyncio.Event().wait()

    async def scenario(world: World) -> None:
        world.start("caller", caller)
        await asyncio.sleep(5)

    faults = {1: Fault(FaultKind.UNAVAILABLE), 2: Fault(FaultKind.FAILED)}
    simulate(scenario, seed=1, faults=ScriptedFaults(by_effect=faults))
    assert heard == ["unavailable", "failed", "201"]
    assert done == ["b", "c"]
