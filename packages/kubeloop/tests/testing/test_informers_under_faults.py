"""Informers under each fault, often: in the end the stores equal the truth, and handlers were told of every change."""

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

import kubeloop as k
from kubeloop.testing.faults import FaultKind, Rate, SeededFaults, default_rates
from kubeloop.testing.incarnation import Process
from kubeloop.testing.world import World, simulate

SELECTIONS: dict[str, dict[str, str]] = {
    "all": {},
    "of a namespace": {"namespace": "default"},
    "by label": {"label_selector": "colour=red"},
    "by field": {"field_selector": "metadata.name=c1"},
}

Version = tuple[str, str]  # of an object: its UID and resource version


def versions(objects: Any) -> dict[k.ObjectKey, Version]:
    return {one.key: (one.metadata.uid, one.metadata.resource_version) for one in objects}


@dataclass
class Told:
    """What the handlers of one informer were told, held together."""

    informer: k.Informer[k.ConfigMap]
    objects: dict[k.ObjectKey, k.ConfigMap] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.informer.add_handler(self.handle)

    def handle(self, change: k.Change[k.ConfigMap]) -> None:
        """Handlers' exceptions are only logged; the loop's handler is told of those of callbacks."""
        asyncio.get_running_loop().call_soon(self.take, change)

    def take(self, change: k.Change[k.ConfigMap]) -> None:
        known = self.objects.pop(change.object.key, None)
        assert (known and known.metadata.uid) == (change.old and change.old.metadata.uid), (known, change)
        if change.old is not None and change.new is not None:
            assert change.new.metadata.uid == change.old.metadata.uid
            assert int(change.new.metadata.resource_version) > int(change.old.metadata.resource_version)
        if change.new is not None:
            self.objects[change.new.key] = change.new


async def people(world: World) -> None:
    """For half a minute users create, change, relabel and delete, names coming again."""
    chance = world.random
    while world.now < 30:
        namespace, name = chance.choice(("default", "kube-public")), f"c{chance.randrange(8)}"
        body = {"metadata": {"labels": {"colour": chance.choice(("red", "blue"))}}, "data": {"n": str(chance.random())}}
        try:
            if chance.random() < 0.3:
                await world.client.delete(k.ConfigMap, name, namespace=namespace)
            elif chance.random() < 0.5:
                await world.client.patch(k.ConfigMap, name, k.MergePatch(body), namespace=namespace)
            else:
                await world.client.create(k.ConfigMap(metadata=k.ObjectMeta(name=name, namespace=namespace)))
        except (k.NotFound, k.AlreadyExists):
            continue
        await asyncio.sleep(chance.expovariate(2))


def follow(seed: int, rates: dict[FaultKind, Rate], *, servers: int = 1) -> list[FaultKind]:
    """One run, checked; returns what has gone wrong in it."""
    followed: dict[str, dict[str, Told]] = {}

    async def main(process: Process) -> None:
        async with k.open_runtime(process, name="follows") as runtime:
            followed[process.name] = {
                name: Told(runtime.informer(k.ConfigMap, **selection)) for name, selection in SELECTIONS.items()
            }
            await runtime.run()

    async def scenario(world: World) -> None:
        for name in ("one", "other"):
            world.start(name, main)
        await people(world)
        await world.quiet()
        for informers in followed.values():
            for name, told in informers.items():
                truth = versions((await world.client.list(k.ConfigMap, **SELECTIONS[name])).items)  # type: ignore[arg-type]
                assert versions(told.informer.store.list()) == truth, name
                assert versions(told.objects.values()) == truth, name
        happened.extend(fault.kind for fault in world.gate.decisions.values())

    happened: list[FaultKind] = []
    simulate(scenario, seed=seed, faults=SeededFaults(Random(seed), rates, until_s=30), servers=servers)
    return happened


OF_WATCHING = [kind for kind in FaultKind if not kind.startswith("kill") and kind is not FaultKind.LATE_EFFECT]


@pytest.mark.parametrize("kind", [kind for kind in OF_WATCHING if kind not in (FaultKind.CONFLICT, FaultKind.FAILED)])
def test_stores_are_right_in_the_end_and_all_was_told(kind: FaultKind) -> None:
    """With watches that break at once, and again: so that there are lists too."""
    rates = {
        FaultKind.WATCH_BROKEN: Rate(0.5),
        FaultKind.COMPACTION: Rate(0.1),
        kind: Rate(0.4, default_rates()[kind].seconds),
    }
    assert sum(follow(seed, rates).count(kind) for seed in range(8)) >= 3


@pytest.mark.parametrize("servers", [1, 3])
def test_stores_are_right_in_the_end_when_everything_comes_together(servers: int) -> None:
    happened = [kind for seed in range(25) for kind in follow(seed, default_rates(), servers=servers)]
    assert len(happened) > 100
    assert len(set(happened)) > 10
