"""Events as a real API server validates them."""

import asyncio
import contextlib
import time
import uuid

from kubeloop.client.client import Client, connect
from kubeloop.events import Event, EventRecorder, ObjectReference, reference
from kubeloop.metrics import Metrics
from kubeloop.model.base import ObjectMeta
from kubeloop.model.core import Namespace, Node
from kubeloop.testing import ControlPlane


async def _events(client: Client, namespace: str, reason: str) -> list[Event]:
    page = await client.list(Event, namespace=namespace)
    return [event for event in page.items if event.reason == reason]


async def test_the_server_takes_events_series_and_those_created_anew(control_plane: ControlPlane) -> None:
    passed_s = 0.0
    metrics = Metrics()
    namespace = f"events-{uuid.uuid4().hex[:8]}"
    async with connect(control_plane.config(), user_agent="events/1") as client:
        await client.create(Namespace(metadata=ObjectMeta(name=namespace)))
        recorder = EventRecorder(
            client,
            reporting_controller="tests.kubeloop.dev/controller",
            reporting_instance="test-0",
            metrics=metrics,
            clock=lambda: time.monotonic() + passed_s,
        )
        running = asyncio.create_task(recorder.run())
        pod = ObjectReference(api_version="v1", kind="Pod", namespace=namespace, name="p", uid="u")
        node = reference(Node(metadata=ObjectMeta(name="n", uid="n")))

        async def seen(count: int) -> Event:
            async with asyncio.timeout(10):
                while True:
                    for event in await _events(client, namespace, "Failed"):
                        if (event.series.count if event.series else 1) == count:
                            return event
                    await asyncio.sleep(0.02)

        def fail() -> None:
            recorder.event(pod, type="Warning", reason="Failed", action="Bind", note="é" * 600, related=node)

        fail()
        first = await seen(1)
        assert first.regarding == pod
        assert first.related == node
        passed_s += 61
        fail()
        assert (await seen(2)).metadata.uid == first.metadata.uid
        await client.delete(Event, first.metadata.name, namespace=namespace)
        passed_s += 61
        fail()
        anew = await seen(3)
        assert anew.metadata.name == first.metadata.name
        assert anew.metadata.uid != first.metadata.uid

        recorder.event(node, type="Normal", reason=f"Seen{namespace[7:]}", action="See")
        await client.delete(Namespace, namespace)
        recorder.event(pod, type="Normal", reason="TooLate", action="Bind")
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        assert len(await _events(client, "default", f"Seen{namespace[7:]}")) == 1
    assert metrics.registry.get_sample_value("kubeloop_events_dropped_total", {"reason": "namespace_gone"}) == 1
    assert metrics.registry.get_sample_value("kubeloop_events_dropped_total", {"reason": "refused"}) is None
