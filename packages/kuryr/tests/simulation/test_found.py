"""What the simulation has found in the shipped code, each played again: a fault where it did the harm."""

import re

from kubeloop import ensure_definitions
from kubeloop.testing import Fault, FaultKind, Scenario, World, simulate

from .pods import POD, SANDBOX


class First:
    """The fault strikes the first call that looks so."""

    until_s = 0.0

    def __init__(self, pattern: str, fault: Fault) -> None:
        self._pattern = pattern
        self._fault = fault
        self.struck = False

    def decide(self, call: object) -> Fault | None:
        said = f"{getattr(call, 'process', '')} {getattr(call, 'verb', '')} {getattr(call, 'path', '')}"
        if self.struck or not re.fullmatch(self._pattern, said):
            return None
        self.struck = True
        return self._fault


def play(scenario: Scenario, faults: First, *, steps: int | None = None) -> None:
    """All that the scenario asserts holds at last."""

    async def main(world: World) -> None:
        assert scenario.backend is not None
        world.backend = scenario.backend(world)
        await ensure_definitions(world.client, scenario.kinds)
        for name in world.backend.mains:
            world.backend.start(name)
        for step in scenario.steps[:steps]:
            await step(world)
        await world.quiet()
        for invariant in (*scenario.always, *scenario.finally_):
            invariant(world)

    simulate(main, seed=1, faults=faults)
    assert faults.struck


STATUS = r"daemon-node1 patch .*/kuryrports/web-0/status"


def test_a_claim_says_that_it_is_plugged_although_the_server_answered_conflict() -> None:
    play(POD, First(STATUS, Fault(FaultKind.CONFLICT)), steps=1)


def test_a_late_write_of_the_sandbox_before_does_not_stay() -> None:
    play(SANDBOX, First(STATUS, Fault(FaultKind.LATE_EFFECT, 20.0)), steps=2)


def test_a_claim_is_deleted_although_the_server_answered_conflict() -> None:
    play(POD, First(r"pod-comes-and-goes-\d delete .*/kuryrports/web-0", Fault(FaultKind.CONFLICT)))
