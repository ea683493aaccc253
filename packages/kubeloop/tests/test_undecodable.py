"""An object that a controller's type cannot hold harms nobody, and everybody is told: on a real API server."""

import asyncio
from typing import Any, ClassVar
from uuid import uuid4

import kubeloop as k
from kubeloop.events import Event
from kubeloop.testing import ControlPlane

RESOURCE = k.Resource("undecodable.kubeloop.dev", "v1", "gauges", "Gauge")


class LooseSpec(k.KubeStruct, frozen=True, kw_only=True):
    level: int | str = 0


class LooseGauge(k.KubeObject, frozen=True, kw_only=True):
    """As some other client writes it."""

    resource: ClassVar[k.Resource] = RESOURCE

    spec: LooseSpec = LooseSpec()


class StrictSpec(k.KubeStruct, frozen=True, kw_only=True):
    level: int = 0


class Gauge(k.KubeObject, frozen=True, kw_only=True):
    """As our controller reads it."""

    resource: ClassVar[k.Resource] = RESOURCE

    spec: StrictSpec = StrictSpec()


async def test_it_is_told_by_event_and_metric_and_the_others_are_reconciled(control_plane: ControlPlane) -> None:
    namespace = f"undecodable-{uuid4().hex[:8]}"
    reconciled: asyncio.Queue[k.ObjectKey] = asyncio.Queue()

    async def reconcile(key: k.ObjectKey) -> k.Result:
        reconciled.put_nowait(key)
        return k.DONE

    def gauge(name: str, level: int | str) -> LooseGauge:
        return LooseGauge(metadata=k.ObjectMeta(name=name, namespace=namespace), spec=LooseSpec(level=level))

    async with k.open_runtime(control_plane.config(), name="gauges") as runtime:
        client = runtime.client
        await client.create(k.Namespace(metadata=k.ObjectMeta(name=namespace)))
        await k.ensure_definitions(client, (LooseGauge,))
        broken = await client.create(gauge("broken", "high"))
        await client.create(gauge("right", 3))
        gauges = runtime.informer(Gauge, namespace=namespace)
        runtime.controller("gauges", reconcile).for_(gauges)
        running = asyncio.create_task(runtime.run())
        async with asyncio.timeout(20):
            assert await reconciled.get() == k.ObjectKey(namespace, "right")
            event = await _first_event(client, namespace)
        assert (event.reason, event.type) == ("NotDecodable", "Warning")
        assert event.regarding.uid == broken.metadata.uid
        assert "$.spec.level" in event.note
        assert gauges.undecodable.keys() == {k.ObjectKey(namespace, "broken")}
        labels = {"kind": "Gauge"}
        assert runtime.metrics.registry.get_sample_value("kubeloop_undecodable_objects", labels) == 1
        mended: dict[str, Any] = {"spec": {"level": 9}}
        await client.patch(LooseGauge, "broken", k.MergePatch(mended), namespace=namespace)
        async with asyncio.timeout(20):
            assert await reconciled.get() == k.ObjectKey(namespace, "broken")
        assert not gauges.undecodable
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _first_event(client: k.Client, namespace: str) -> Event:
    while True:
        found = (await client.list(Event, namespace=namespace)).items
        if found:
            return found[0]
        await asyncio.sleep(0.05)
