"""When nothing happens, nobody asks much: what a controller and a daemon cost an idle cluster."""

import asyncio
from collections import Counter

from kubeloop import ensure_definitions
from kubeloop.testing import World, simulate

from .pods import POD

_MINUTES = 20


class Counting:
    """Strikes nothing; counts each process's calls to the servers, and to its own machine."""

    until_s = 0.0

    def __init__(self) -> None:
        self.counts = False
        self.renewals: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()

    def decide(self, call: object) -> None:
        if not self.counts:
            return
        which = self.renewals if "/leases/" in getattr(call, "path", "") else self.calls
        which[getattr(call, "process", "")] += 1


def test_a_minute_of_an_idle_cluster_costs_few_calls() -> None:
    count = Counting()

    async def main(world: World) -> None:
        assert POD.backend is not None
        world.backend = POD.backend(world)
        await ensure_definitions(world.client, POD.kinds)
        for name in world.backend.mains:
            world.backend.start(name)
        await POD.steps[0](world)
        await world.quiet()
        await asyncio.sleep(120)
        count.counts = True
        await asyncio.sleep(60 * _MINUTES)

    simulate(main, seed=1, faults=count)
    daemons = {name for name in count.calls if name.startswith("daemon-")}
    assert daemons
    assert all(count.calls[name] < 45 * _MINUTES for name in daemons)  # most of it in its own kernel and OVSDB
    controllers = count.calls.keys() - daemons
    assert len(controllers) == 2
    assert all(count.calls[name] < 4 * _MINUTES for name in controllers)
    assert all(count.renewals[name] < 31 * _MINUTES for name in controllers)  # the Lease: every two seconds
