"""Calls that were given up and take effect later, where they do the most harm. By chance it takes thousands of runs."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

from kubeloop.client.definitions import ensure_definitions
from kubeloop.testing import Scenario, World
from kubeloop.testing.faults import Call, Fault, FaultKind
from kubeloop.testing.world import simulate

from . import disks_scenario, fleets_scenario
from .cloud import CloudDisk
from .disks import Disk
from .disks_scenario import DISKS
from .fleets import Fleet, Worker
from .fleets_scenario import FLEETS, change, get_ready, go_into_service, new_image


class InTurn:
    """Each fault strikes the first call that looks so after the one before it has struck."""

    until_s = 0.0

    def __init__(self, *planned: tuple[str, Fault]) -> None:
        self._planned = list(planned)
        self.all_struck = asyncio.Event()

    def decide(self, call: Call) -> Fault | None:
        if not self._planned or not re.fullmatch(self._planned[0][0], f"{call.verb} {call.path}"):
            return None
        _, fault = self._planned.pop(0)
        if not self._planned:
            self.all_struck.set()
        return fault


def play(scenario: Scenario, story: Callable[[World], Coroutine[Any, Any, None]], faults: InTurn) -> None:
    """With one replica; the scenario's invariants must hold all the time, and at last."""

    def check(world: World) -> None:
        try:
            for invariant in scenario.always:
                invariant(world)
        except AssertionError as error:
            world.fail(error)

    async def main(world: World) -> None:
        world.backend = scenario.backend(world) if scenario.backend is not None else None
        await ensure_definitions(world.client, scenario.kinds)
        world.checks.append(lambda: check(world))
        world.start(scenario.name, scenario.controller)
        await story(world)
        await world.quiet()
        for invariant in scenario.finally_:
            invariant(world)

    simulate(main, seed=1, faults=faults)


def late(seconds: float) -> Fault:
    return Fault(FaultKind.LATE_EFFECT, seconds)


def test_of_two_cloud_disks_the_one_in_the_status_goes_only_when_the_status_names_the_other() -> None:
    def disks(world: World) -> list[CloudDisk]:
        return [one for one in world.backend.cloud.disks.values() if one != world.backend.foreign]

    async def story(world: World) -> None:
        counts = [0]
        world.checks.append(lambda: counts.append(len(disks(world))))
        await disks_scenario.make_one(world, "a")
        await asyncio.sleep(60)
        assert max(counts) == 2
        disk = world.get(Disk, "a", namespace="default")
        assert disk is not None
        assert [one.id for one in disks(world)] == [disk.status.id]

    # the search is answered as it was before the first create took effect, so there is a second one
    faults = InTurn(
        ("effect create disk .*", late(1)),
        ("read search disk/.+", Fault(FaultKind.SLOW, 3)),
    )
    play(DISKS, story, faults)


DELAYED_AGAIN = ("get .*/fleets/web", Fault(FaultKind.THROTTLED, 2))
"""Until people have changed their mind."""


def test_while_a_worker_may_still_go_no_other_one_goes() -> None:
    async def story(world: World) -> None:
        await fleets_scenario.make(world)
        await go_into_service(world)
        await new_image(world)
        await faults.all_struck.wait()
        first = world.get(Worker, "web-0", namespace="default")
        assert first is not None
        assert (first.spec.image, first.status.ready) == ("v2", True)
        await world.stop("kubelet")  # so what is made now does not get ready
        await change(world, "web", {"spec": {"image": "v3"}})
        await asyncio.sleep(10)
        world.start("kubelet", lambda _: get_ready(world), reliable=True)

    faults = InTurn(("delete .*/workers/web-1", late(5)), DELAYED_AGAIN)
    play(FLEETS, story, faults)


def test_a_fleet_is_not_ready_while_one_of_its_workers_may_still_go() -> None:
    async def story(world: World) -> None:
        await fleets_scenario.make(world)
        await go_into_service(world)
        await new_image(world)
        await faults.all_struck.wait()
        await change(world, "web", {"spec": {"image": "v1"}})
        await asyncio.sleep(10)
        web = world.get(Fleet, "web", namespace="default")
        assert web is not None
        assert web.status.ready == web.spec.size

    faults = InTurn(("delete .*/workers/web-0", late(5)), DELAYED_AGAIN)
    play(FLEETS, story, faults)
