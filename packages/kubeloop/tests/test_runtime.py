"""The runtime on a real API server: in what order it starts and stops, and what ends it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import kubeloop as k
from kubeloop.events import Event
from kubeloop.leader import Lease
from kubeloop.testing import ControlPlane


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(runtime: k.Runtime) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(runtime.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def opened(control_plane: ControlPlane, *, lease: str = "", **options: Any) -> Any:
    name = k.LeaseName("default", lease) if lease else None
    return k.open_runtime(control_plane.config(), name="runtime-test", lease=name, **options)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_stores_are_in_sync_before_anything_leads_and_what_comes_before_leading_comes_first(
    control_plane: ControlPlane,
) -> None:
    order: list[str] = []
    async with opened(control_plane, serve_on=("127.0.0.1", 0)) as runtime:
        namespaces = runtime.informer(k.Namespace)

        async def before() -> None:
            order.append(f"before, synced: {namespaces.synced}")
            await asyncio.sleep(0.05)
            order.append("before, done")

        async def reconcile(key: k.ObjectKey) -> k.Result:
            order.append("reconcile")
            return k.DONE

        runtime.before_leading(before)
        runtime.controller("namespaces", reconcile).for_(namespaces)
        async with running(runtime):
            await until(lambda: "reconcile" in order)
            assert order[:3] == ["before, synced: True", "before, done", "reconcile"]
            with pytest.raises(RuntimeError, match="already"):
                runtime.informer(k.ConfigMap)


async def test_a_standby_follows_and_a_stop_hands_over_what_was_done_to_the_end(control_plane: ControlPlane) -> None:
    order: list[str] = []
    reconciled: list[str] = []
    async with (
        k.connect(control_plane.config(), user_agent="watcher/1") as client,
        opened(control_plane, lease="stop-order") as leader,
        opened(control_plane, lease="stop-order") as standby,
    ):

        async def holder() -> str:
            lease = await client.get(Lease, "stop-order", namespace="default")
            return "held" if lease.spec.holder_identity else "released"

        async def events(reason: str) -> int:
            return len([event for event in (await client.list(Event)).items if event.reason == reason])

        def note(runtime: k.Runtime, reason: str) -> None:
            regarding = k.ObjectReference(api_version="v1", kind="Namespace", name="default")
            runtime.recorder.event(regarding, type="Normal", reason=reason, action="Test")

        async def leading() -> None:
            try:
                await for_ever()
            finally:
                note(leader, "LastWords")
                order.append(f"leading ended, lease {await holder()}")

        async def always() -> None:
            try:
                await for_ever()
            finally:
                order.append(f"the rest ended, lease {await holder()}, last words: {await events('LastWords')}")

        leader.lead_with(leading)
        leader.run_with(always)
        async with running(leader) as first:
            await until(lambda: leads(leader))
            namespaces = standby.informer(k.Namespace)

            async def reconcile(key: k.ObjectKey) -> k.Result:
                reconciled.append(key.name)
                return k.DONE

            standby.controller("namespaces", reconcile).for_(namespaces)
            async with running(standby):
                await client.create(k.Namespace(metadata=k.ObjectMeta(name="seen-by-a-standby")))
                async with asyncio.timeout(10):
                    await namespaces.wait_for(k.ObjectKey("", "seen-by-a-standby"), lambda obj: obj is not None)
                note(standby, "FromAStandby")
                await asyncio.sleep(0.2)
                assert reconciled == []
                assert await events("FromAStandby") == 0
                first.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await first
                assert order == ["leading ended, lease held", "the rest ended, lease released, last words: 1"]
                await until(lambda: "seen-by-a-standby" in reconciled)
                async with asyncio.timeout(10):
                    while not await events("FromAStandby"):  # noqa: ASYNC110 - over the wire
                        await asyncio.sleep(0.05)


def leads(runtime: k.Runtime) -> bool:
    return runtime.metrics.registry.get_sample_value("leader_election_master_status", {"name": "stop-order"}) == 1


@pytest.mark.parametrize("role", ["leading", "always", "before"])
async def test_a_part_that_fails_ends_everything_and_its_error_comes_as_it_is(
    control_plane: ControlPlane, role: str
) -> None:
    ended: list[str] = []
    async with opened(control_plane, lease=f"failing-{role}") as runtime:
        runtime.informer(k.Namespace)

        async def other() -> None:
            try:
                await for_ever()
            finally:
                ended.append("other")

        async def fail() -> None:
            await asyncio.sleep(0.5)
            raise ValueError("broken")

        runtime.run_with(other)
        add = {"leading": runtime.lead_with, "always": runtime.run_with, "before": runtime.before_leading}[role]
        add(fail)
        async with asyncio.timeout(20):
            with pytest.raises(ValueError, match="broken"):
                await runtime.run()
        assert ended == ["other"]


async def test_a_lost_lease_is_leadership_lost_and_no_group(control_plane: ControlPlane) -> None:
    async with (
        k.connect(control_plane.config(), user_agent="thief/1") as client,
        opened(control_plane, lease="to-be-lost") as runtime,
    ):
        leads = asyncio.Event()

        async def lead() -> None:
            leads.set()
            await for_ever()

        runtime.lead_with(lead)
        async with asyncio.TaskGroup() as group, asyncio.timeout(20):

            async def lose() -> None:
                with pytest.raises(k.LeadershipLost, match="held by a thief"):
                    await runtime.run()

            group.create_task(lose())
            await leads.wait()
            theft = k.MergePatch({"spec": {"holderIdentity": "a thief", "renewTime": "2026-01-01T00:00:00.000000Z"}})
            await client.patch(Lease, "to-be-lost", theft, namespace="default")


async def test_sigterm_ends_a_runtime_in_order_and_without_an_error(control_plane: ControlPlane) -> None:
    order: list[str] = []

    async def main() -> None:
        async with opened(control_plane) as runtime:

            async def always() -> None:
                order.append("up")
                try:
                    await for_ever()
                finally:
                    order.append("down")

            runtime.run_with(always)  # and nothing that leads: it runs all the same
            await runtime.run()

    async with asyncio.TaskGroup() as group:
        group.create_task(k.until_signalled(main()))
        await until(lambda: "up" in order)
        await asyncio.sleep(0.1)
        assert order == ["up"]
        signal.raise_signal(signal.SIGTERM)
    assert order == ["up", "down"]


async def test_a_cancellation_after_a_signal_is_not_swallowed() -> None:
    stopping = asyncio.Event()

    async def slow_to_stop() -> None:
        try:
            await for_ever()
        finally:
            stopping.set()
            await for_ever()

    task = asyncio.create_task(k.until_signalled(slow_to_stop()))
    await asyncio.sleep(0.01)
    signal.raise_signal(signal.SIGTERM)
    await stopping.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_reconciles_requests_are_spans_within_its_own(control_plane: ControlPlane) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    done = asyncio.Event()
    async with opened(control_plane, tracer=k.OpenTelemetryTracer(provider)) as runtime:

        async def reconcile(key: k.ObjectKey) -> k.Result:
            await runtime.client.get(k.Namespace, "default")
            with suppress(k.NotFound):
                await runtime.client.get(k.Namespace, "nobody")
            done.set()
            return k.DONE

        runtime.controller("traced", reconcile).enqueue(k.ObjectKey("", "key"))
        async with running(runtime), asyncio.timeout(10):
            await done.wait()
    found, missed, parent = exporter.get_finished_spans()
    assert (found.name, missed.name, parent.name) == ("HTTP GET", "HTTP GET", "reconcile")
    assert dict(found.attributes or {}) == {
        "http.request.method": "GET",
        "url.path": "/api/v1/namespaces/default",
        "http.response.status_code": 200,
    }
    assert (missed.attributes or {})["http.response.status_code"] == 404
    assert not missed.status.is_ok
    assert [span.parent and span.parent.span_id for span in (found, missed)] == [parent.context.span_id] * 2


async def test_the_fence_of_who_stands_for_no_lease_is_open_and_of_others_only_while_they_lead(
    control_plane: ControlPlane,
) -> None:
    async with opened(control_plane) as alone, opened(control_plane, lease="fence") as runtime:
        alone.fence.check()
        with pytest.raises(k.NotLeader):
            runtime.fence.check()
        leads = asyncio.Event()

        async def lead() -> None:
            leads.set()
            await for_ever()

        runtime.lead_with(lead)
        async with running(runtime):
            await leads.wait()
            runtime.fence.check()
        with pytest.raises(k.NotLeader):
            runtime.fence.check()
