"""What comes again after a failure: the key, never the operation."""

import asyncio
from contextlib import suppress

import kubeloop as k
from kubeloop.simulator import SimulatedCluster
from kubeloop.testing.virtual_time import passed, virtual_time

from ..kinds import Widget
from .running import at_work, client_of


@virtual_time
async def test_a_create_that_is_tried_again_after_the_deletion_creates_nothing() -> None:
    cluster = SimulatedCluster()
    cloud_is_down = True
    by_key: list[str] = []
    by_operation: list[str] = []

    async def create_in(ports: list[str], name: str) -> None:
        if cloud_is_down:
            raise k.Retry("the cloud is down")
        ports.append(name)

    async def until_done(ports: list[str], name: str) -> None:
        while True:
            with suppress(k.Retry):
                return await create_in(ports, name)
            await asyncio.sleep(1)

    async def wire(runtime: k.Runtime) -> None:
        widgets = runtime.informer(Widget)

        async def reconcile(key: k.ObjectKey) -> k.Result:
            if widgets.store.get(key) is not None:
                await create_in(by_key, key.name)
            return k.DONE

        runtime.controller("ports", reconcile).for_(widgets)

    async with client_of(cluster, Widget) as client, at_work(cluster, wire), asyncio.TaskGroup() as handlers:
        await client.create(Widget(metadata=k.ObjectMeta(name="a", namespace="default")))
        handlers.create_task(until_done(by_operation, "a"))  # an event handler with a retry around it
        await passed(10)
        await client.delete(Widget, "a", namespace="default")
        await passed(10)
        cloud_is_down = False
        await passed(60)
    assert by_operation == ["a"]  # of nobody
    assert by_key == []
