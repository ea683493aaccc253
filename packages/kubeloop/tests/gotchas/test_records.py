"""What is made outside the cluster, and the moment between making it and writing it down."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import kubeloop as k
from kubeloop.simulator import SimulatedCluster
from kubeloop.testing.faults import Fault, FaultKind, ScriptedFaults
from kubeloop.testing.incarnation import Process
from kubeloop.testing.virtual_time import virtual_time
from kubeloop.testing.world import World, simulate

from ..examples.programs import load
from ..kinds import Widget
from .running import client_of

ID = "gotchas.kubeloop.dev/port"


@dataclass
class Cloud:
    """Ports by their id, with the tag that their maker gave them."""

    ports: dict[str, str] = field(default_factory=dict)

    async def create(self, process: Process, tag: str) -> str:
        async with process.effect(f"create port tagged {tag}"):
            port = f"port-{len(self.ports)}"
            self.ports[port] = tag
            return port


async def written_down_afterwards(cloud: Cloud, process: Process, widget: Widget) -> str:
    """Wrong: what is not written down was not made."""
    known = widget.metadata.annotations.get(ID)
    return known or await cloud.create(process, "ours")


async def looked_for_first(cloud: Cloud, process: Process, widget: Widget) -> str:
    tag = f"widget-{widget.metadata.uid}"
    found = [port for port, has in cloud.ports.items() if has == tag]
    return found[0] if found else await cloud.create(process, tag)


def ports_after_a_kill(ensure: Callable[[Cloud, Process, Widget], Awaitable[str]]) -> int:
    """How many ports one widget has, when its controller was killed right after the create."""
    cloud = Cloud()

    async def main(process: Process) -> None:
        async with k.open_runtime(process, name="ports") as runtime:
            widgets = runtime.informer(Widget)

            async def reconcile(key: k.ObjectKey) -> k.Result:
                widget = widgets.store.get(key)
                if widget is not None:
                    port = await ensure(cloud, process, widget)
                    patch = k.MergePatch({"metadata": {"annotations": {ID: port}}})
                    await runtime.client.patch(Widget, key.name, patch, namespace=key.namespace)
                return k.DONE

            runtime.controller("ports", reconcile).for_(widgets)
            await runtime.run()

    async def scenario(world: World) -> None:
        await k.ensure_definitions(world.client, (Widget,))
        await world.client.create(Widget(metadata=k.ObjectMeta(name="a", namespace="default")))
        world.start("ports", main)
        await world.quiet()

    simulate(scenario, seed=1, faults=ScriptedFaults(by_effect={1: Fault(FaultKind.KILL_AFTER, 1)}))
    return len(cloud.ports)


def test_what_is_written_down_after_it_was_made_is_made_twice_and_what_is_looked_for_once() -> None:
    assert ports_after_a_kill(written_down_afterwards) == 2
    assert ports_after_a_kill(looked_for_first) == 1


async def swept(*, owners_first: bool) -> dict[str, str]:
    """The zone (whose each name is) after a sweep in the midst of which an object is made, and published."""
    async with client_of(SimulatedCluster(), Widget) as client:
        zone = {"stranger's": "somebody else", "old": "widget-gone"}

        async def alive() -> set[str]:
            return {f"widget-{one.metadata.uid}" for one in (await client.list_all(Widget)).items}

        async def published() -> dict[str, str]:
            return {name: owner for name, owner in zone.items() if owner.startswith("widget-")}  # ours alone

        async def meanwhile() -> None:
            widget = await client.create(Widget(metadata=k.ObjectMeta(name="new", namespace="default")))
            zone["new"] = f"widget-{widget.metadata.uid}"

        if owners_first:
            owners = await alive()
            await meanwhile()
            names = await published()
        else:
            names = await published()
            await meanwhile()
            owners = await alive()
        for name, owner in names.items():
            if owner not in owners:
                del zone[name]
        return zone


@virtual_time
async def test_a_sweep_that_lists_the_owners_first_takes_what_was_made_meanwhile() -> None:
    assert (await swept(owners_first=True)).keys() == {"stranger's"}
    assert (await swept(owners_first=False)).keys() == {"stranger's", "new"}


def test_what_an_object_left_whose_finalizer_a_person_took_off_is_swept(tmp_path: Path) -> None:
    """By the example's sweep; and its controller goes on with the others, also with the next one of that name."""
    website = load("website")

    async def scenario(world: World) -> None:
        async def made(name: str) -> None:
            meta = k.ObjectMeta(name=name, namespace="default")
            await world.client.create(website.Website(metadata=meta, spec=website.WebsiteSpec(host=name)))

        await k.ensure_definitions(world.client, (website.Website,))
        running = world.start("websites", lambda process: website.run(process, website.Zone(tmp_path)))
        await made("old")
        await world.quiet()
        running.kill(restart_s=60)  # else it would be quicker than any person
        await world.client.delete(website.Website, "old", namespace="default")
        no_finalizers = k.MergePatch({"metadata": {"finalizers": None}})
        await world.client.patch(website.Website, "old", no_finalizers, namespace="default")
        assert not world.list(website.Website)
        left = (tmp_path / "old").readlink()
        await made("old")
        await world.quiet()
        await asyncio.sleep(600)
        (again,) = world.list(website.Website)
        assert (tmp_path / "old").readlink() == Path(again.metadata.uid) != left
        assert k.is_true(again.status.conditions, "Ready")

    simulate(scenario, seed=1)
