"""Writes without end: two who want one field, and one who wakes itself."""

import asyncio
from datetime import UTC, datetime, timedelta

import kubeloop as k
from kubeloop.simulator import SimulatedCluster
from kubeloop.testing.virtual_time import passed, virtual_time

from ..gadgets import Gadget, GadgetSpec
from ..kinds import Widget
from .running import at_work, client_of

HERE = k.ObjectMeta(name="a", namespace="default")
LATENCY_S = 0.05


async def _writes_in_ten_seconds(*, force: bool) -> tuple[int, set[str]]:
    """Of two controllers that each want the widget in their colour; and which fields were refused to them."""
    cluster = SimulatedCluster()
    refused: set[str] = set()

    async def wire(runtime: k.Runtime) -> None:
        for manager, colour in (("left", "blue"), ("right", "green")):
            client = runtime.client.with_field_manager(manager)

            async def reconcile(key: k.ObjectKey, client: k.Client = client, colour: str = colour) -> k.Result:
                await asyncio.sleep(LATENCY_S)
                patch = k.ApplyPatch({"spec": {"colour": colour}}, force)
                try:
                    await client.patch(Widget, key.name, patch, namespace=key.namespace)
                except k.Conflict as error:
                    refused.update(cause.field for cause in error.causes)
                return k.DONE

            runtime.controller(manager, reconcile).for_(runtime.informer(Widget))

    async with client_of(cluster, Widget) as client, at_work(cluster, wire):
        made = await client.create(Widget(metadata=HERE))
        await passed(10)
        now = await client.get(Widget, "a", namespace="default")
    return int(now.metadata.resource_version) - int(made.metadata.resource_version), refused


@virtual_time
async def test_two_that_force_one_field_write_for_ever_and_without_force_one_is_told() -> None:
    writes, refused = await _writes_in_ten_seconds(force=True)
    assert writes > 100
    assert not refused
    writes, refused = await _writes_in_ten_seconds(force=False)
    assert writes < 5
    assert refused == {".spec.colour"}


async def _status_writes_in_ten_seconds(*, compared: bool) -> int:
    cluster = SimulatedCluster()
    written = 0
    start = datetime(2026, 1, 1, tzinfo=UTC)

    async def wire(runtime: k.Runtime) -> None:
        gadgets = runtime.informer(Gadget)
        loop = asyncio.get_running_loop()

        async def reconcile(key: k.ObjectKey) -> k.Result:
            nonlocal written
            await asyncio.sleep(LATENCY_S)
            gadget = gadgets.store.get(key)
            if gadget is None:
                return k.DONE
            now = start + timedelta(seconds=loop.time())
            ready = k.condition("Ready", status=True, reason="Checked", message="" if compared else f"at {now}")
            conditions = gadget.status.conditions
            patch = k.conditions_patch(conditions, k.set_condition(conditions, ready, now))
            if patch:
                written += 1
                at = {"namespace": key.namespace, "subresource": "status"}
                await runtime.client.patch(Gadget, key.name, k.MergePatch(patch), **at)
            return k.DONE

        runtime.controller("status", reconcile).for_(gadgets)

    async with client_of(cluster, Gadget) as client, at_work(cluster, wire):
        await client.create(Gadget(metadata=HERE, spec=GadgetSpec(model="m")))
        await passed(10)
    return written


@virtual_time
async def test_a_status_with_the_time_in_it_is_written_for_ever_and_one_that_is_compared_once() -> None:
    assert await _status_writes_in_ten_seconds(compared=False) > 100
    assert await _status_writes_in_ten_seconds(compared=True) == 1
