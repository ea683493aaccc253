import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import ClassVar

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from kubeloop import tracing
from kubeloop.client import errors, writes
from kubeloop.client.back_off import BackOff
from kubeloop.client.writes import Write
from kubeloop.controller import predicates
from kubeloop.controller.controller import DONE, Controller, Result, Retry, Terminal
from kubeloop.informer.store import Change, Store
from kubeloop.logs import ReconcileFields, reconciling
from kubeloop.metrics import Metrics
from kubeloop.model.base import KubeObject, ObjectKey, ObjectMeta, OwnerReference, Resource
from kubeloop.testing.virtual_time import passed, settled, virtual_time

from ..kinds import Widget, widget

A, B, C = (ObjectKey("default", name) for name in "abc")


class Cluster(KubeObject, frozen=True, kw_only=True):
    """A cluster-scoped owner."""

    resource: ClassVar[Resource] = Resource("tests.kubeloop.dev", "v1", "clusters", "Cluster", namespaced=False)


class Mirror:
    """An informer whose events and progress the test decides."""

    def __init__(self, *, synced: bool = True) -> None:
        self.kind = Widget
        self.store: Store[Widget] = Store()
        self.seen = 0
        self.broken: Exception | None = None
        self.asked = 0
        self._handlers: list[Callable[[Change[Widget]], None]] = []
        self._synced = asyncio.Event()
        self._moved = asyncio.Condition()
        if synced:
            self._synced.set()

    def add_handler(self, handler: Callable[[Change[Widget]], None]) -> None:
        self._handlers.append(handler)

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def list(self, objects: Collection[Widget]) -> None:
        for change in self.store.replace(objects):
            self.tell(Change(change.old, change.new, initial=True))
        self._synced.set()

    def put(self, obj: Widget) -> None:
        for change in self.store.put(obj):
            self.tell(change)

    def tell(self, change: Change[Widget]) -> None:
        for handler in self._handlers:
            handler(change)

    async def reach(self, version: int) -> None:
        async with self._moved:
            self.seen = version
            self._moved.notify_all()

    async def caught_up(self, write: Write, timeout_s: float = 10.0) -> None:
        self.asked += 1
        if self.broken is not None:
            raise self.broken
        async with self._moved:
            await self._moved.wait_for(lambda: self.seen >= int(write.version))


class Script:
    """A reconcile that does what the test says, and remembers which keys it was given when."""

    def __init__(self, act: Callable[[ObjectKey], Awaitable[Result | None]] | None = None) -> None:
        self.calls: list[ObjectKey] = []
        self.times: list[float] = []
        self._act = act

    async def __call__(self, key: ObjectKey) -> Result:
        self.calls.append(key)
        self.times.append(asyncio.get_running_loop().time())
        return (await self._act(key) if self._act is not None else None) or DONE


@asynccontextmanager
async def running(controller: Controller[ObjectKey]) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(controller.run())
    await settled()
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}, "something is left running"


def wrote(name: str, version: int) -> None:
    writes.note(Write(Widget, ObjectKey("default", name), f"uid-{name}", str(version)))


# keys


@virtual_time
async def test_an_object_is_reconciled_by_its_key_only_after_the_sync() -> None:
    script, mirror = Script(), Mirror(synced=False)
    async with running(Controller("c", script).for_(mirror)):
        mirror.put(widget("a", 1))
        await passed(1000)
        assert script.calls == []
        mirror.list([widget("a", 1)])
        await settled()
        assert script.calls == [A]


@virtual_time
async def test_the_first_list_waits_for_what_happens_live() -> None:
    script, mirror = Script(), Mirror(synced=False)
    async with running(Controller("c", script, workers=1).for_(mirror)):
        mirror.list([widget("a", 1), widget("b", 1)])
        mirror.put(widget("c", 2))
        mirror.put(widget("b", 3))
        await settled()
        assert script.calls == [C, B, A]


@virtual_time
async def test_an_owned_object_gives_the_key_of_its_controller_in_any_version_and_of_no_other_owner() -> None:
    script, mirror = Script(), Mirror()

    def owned(name: str, *references: OwnerReference) -> Widget:
        return Widget(metadata=ObjectMeta(name=name, namespace="default", uid=name, owner_references=references))

    def reference(name: str, *, group: str = "tests.kubeloop.dev", controller: bool = True) -> OwnerReference:
        return OwnerReference(api_version=f"{group}/v1beta1", kind="Widget", name=name, uid="u", controller=controller)

    async with running(Controller("c", script).owns(mirror, Widget)):
        mirror.put(owned("x", reference("no", controller=False), reference("a")))
        mirror.put(owned("y", reference("other", group="example.org")))
        mirror.put(owned("z"))
        await settled()
        assert script.calls == [A]


@virtual_time
async def test_a_cluster_scoped_owner_is_in_no_namespace() -> None:
    script, mirror = Script(), Mirror()
    owner = Cluster(metadata=ObjectMeta(name="main", uid="u")).owner_reference(controller=True)
    async with running(Controller("c", script).owns(mirror, Cluster)):
        mirror.put(Widget(metadata=ObjectMeta(name="x", namespace="default", uid="x", owner_references=(owner,))))
        await settled()
        assert script.calls == [ObjectKey("", "main")]


@virtual_time
async def test_a_mapper_is_asked_for_the_old_and_the_new_state() -> None:
    script, mirror = Script(), Mirror()
    controller = Controller("c", script).watches(mirror, lambda obj: (ObjectKey("size", str(obj.spec.size)),))
    async with running(controller):
        mirror.put(widget("a", 1, size=1))
        await settled()
        mirror.put(widget("a", 2, size=2))
        await settled()
        assert [key.name for key in script.calls] == ["1", "1", "2"]


@virtual_time
async def test_a_predicate_keeps_changes_out_and_a_resync_asks_no_predicate() -> None:
    script, mirror = Script(), Mirror()
    controller = Controller("c", script, resync_s=100).for_(mirror, predicates.not_(lambda change: True))
    async with running(controller):
        mirror.put(widget("a", 1))
        await passed(80)
        assert script.calls == []
        await passed(31)
        assert script.calls == [A]


# results


@virtual_time
async def test_results_are_counted_and_bring_the_key_again_as_they_say() -> None:
    registry = CollectorRegistry()
    outcomes: list[Result | Exception] = [
        Result(requeue_after_s=50),
        Retry("not yet"),
        errors.Throttled("slow down", retry_after_s=70),
        ValueError("a bug"),
        Terminal("never"),
    ]

    async def act(key: ObjectKey) -> Result:
        outcome = outcomes.pop(0) if outcomes else DONE
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    script = Script(act)
    controller = Controller("c", script, metrics=Metrics(registry), back_off=BackOff(1, 1))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"controller_runtime_{name}", {"controller": "c", **labels})

    async with running(controller):
        controller.enqueue(A)
        await passed(10_000)
        gaps = [later - before for before, later in zip(script.times, script.times[1:], strict=False)]
        assert gaps[0] == pytest.approx(50)
        assert 0.5 <= gaps[1] <= 1.01
        assert gaps[2] == pytest.approx(70)
        assert 0.5 <= gaps[3] <= 1.01
        assert len(gaps) == 4, "a terminal error is not tried again"
        controller.enqueue(A)
        await settled()
    counted = {r: value("reconcile_total", result=r) for r in ("success", "error", "requeue", "requeue_after")}
    assert counted == {"success": 1, "error": 3, "requeue": 1, "requeue_after": 1}
    assert (value("reconcile_errors_total"), value("terminal_reconcile_errors_total")) == (3, 1)
    assert value("reconcile_time_seconds_count") == 6
    assert (value("max_concurrent_reconciles"), value("active_workers")) == (4, 0)


@virtual_time
async def test_a_poisoned_key_delays_no_other() -> None:
    async def act(key: ObjectKey) -> None:
        if key == A:
            await asyncio.sleep(1)
            raise ValueError("poisoned")

    script = Script(act)
    controller = Controller("c", script, workers=2)
    async with running(controller):
        controller.enqueue(A)
        for _ in range(100):
            before = asyncio.get_running_loop().time()
            controller.enqueue(B)
            await settled()
            assert script.calls[-1] == B
            assert script.times[-1] == before
            await passed(1)
        assert script.calls.count(A) >= 4


@virtual_time
async def test_a_reconcile_that_hangs_ends_at_its_deadline_and_comes_again() -> None:
    async def act(key: ObjectKey) -> None:
        await asyncio.Event().wait()

    script = Script(act)
    controller = Controller("c", script, workers=1, deadline_s=30, back_off=BackOff(1, 1))
    async with running(controller):
        controller.enqueue(A)
        controller.enqueue(B)
        await passed(29)
        assert script.calls == [A]
        await passed(2)
        assert script.calls == [A, B]
        await passed(31)
        assert script.calls == [A, B, A]


@virtual_time
async def test_a_cancellation_within_a_reconcile_fails_that_reconcile_and_not_the_worker() -> None:
    async def act(key: ObjectKey) -> None:
        if len(script.calls) == 1:
            other = asyncio.create_task(asyncio.sleep(1000))
            other.cancel()
            await other

    script = Script(act)
    controller = Controller("c", script, workers=1)
    async with running(controller):
        controller.enqueue(A)
        await passed(60)
        assert script.calls == [A, A]


# own writes


def writing(*versions: int) -> Script:
    left = list(versions)

    async def act(key: ObjectKey) -> None:
        if left:
            wrote(key.name, left.pop(0))

    return Script(act)


@virtual_time
async def test_a_key_is_not_reconciled_before_its_own_writes_are_seen_and_no_worker_waits() -> None:
    script, mirror = writing(7), Mirror()
    controller = Controller("c", script, workers=1).for_(mirror)
    async with running(controller):
        controller.enqueue(A)
        await settled()
        controller.enqueue(A)
        controller.enqueue(B)
        await passed(60)
        assert script.calls == [A, B]
        await mirror.reach(6)
        await settled()
        assert script.calls == [A, B]
        await mirror.reach(7)
        await settled()
        assert script.calls == [A, B, A]


@virtual_time
async def test_the_writes_of_a_failed_reconcile_count_too() -> None:
    async def act(key: ObjectKey) -> None:
        if len(script.calls) == 1:
            wrote("a", 7)
            raise errors.Conflict("changed")

    script, mirror = Script(act), Mirror()
    controller = Controller("c", script).for_(mirror)
    async with running(controller):
        controller.enqueue(A)
        await passed(60)
        assert script.calls == [A]
        await mirror.reach(7)
        await settled()
        assert script.calls == [A, A]


@virtual_time
async def test_writes_of_kinds_that_the_controller_does_not_watch_are_not_waited_for() -> None:
    async def act(key: ObjectKey) -> None:
        writes.note(Write(Cluster, ObjectKey("", "main"), "u", "99"))

    script, mirror = Script(act), Mirror()
    controller = Controller("c", script).for_(mirror)
    async with running(controller):
        controller.enqueue(A)
        await settled()
        controller.enqueue(A)
        await settled()
        assert script.calls == [A, A]
        assert mirror.asked == 0


@virtual_time
async def test_one_key_s_writes_are_not_another_s() -> None:
    script, mirror = writing(7), Mirror()
    controller = Controller("c", script, workers=1).for_(mirror)
    async with running(controller):
        for key in (A, B, C):
            controller.enqueue(key)
        await settled()
        assert script.calls == [A, B, C]
        assert mirror.asked == 1


@virtual_time
async def test_when_a_write_cannot_be_seen_the_key_waits_with_back_off(caplog: pytest.LogCaptureFixture) -> None:
    script, mirror = writing(7), Mirror()
    mirror.broken = errors.Unavailable("no API")
    controller = Controller("c", script, back_off=BackOff(1, 4)).for_(mirror)
    async with running(controller):
        controller.enqueue(A)
        await settled()
        controller.enqueue(A)
        await passed(100)
        assert script.calls == [A]
        assert 25 <= mirror.asked <= 54, "with back-off of 2 to 4 s"
        mirror.broken = None
        await mirror.reach(7)
        await passed(5)
        assert script.calls == [A, A]
    assert "cannot see what was written yet" in caplog.text


# stop


@virtual_time
async def test_a_stop_lets_what_runs_finish_within_its_grace_and_takes_nothing_new() -> None:
    finished = []

    async def act(key: ObjectKey) -> None:
        await asyncio.sleep(3)
        finished.append(key)

    script = Script(act)
    controller = Controller("c", script, workers=1, stop_grace_s=5)
    async with running(controller) as task:
        controller.enqueue(A)
        controller.enqueue(B)
        await passed(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (script.calls, finished) == ([A], [A])


@virtual_time
async def test_a_stop_cancels_what_outlives_its_grace() -> None:
    ended = []

    async def act(key: ObjectKey) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(asyncio.get_running_loop().time())

    controller = Controller("c", Script(act), stop_grace_s=5)
    async with running(controller) as task:
        controller.enqueue(A)
        await settled()
        before = asyncio.get_running_loop().time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ended == [pytest.approx(before + 5)]


@virtual_time
async def test_a_stop_does_not_wait_for_writes_to_be_seen() -> None:
    mirror = Mirror()
    controller = Controller("c", writing(7)).for_(mirror)
    async with running(controller) as task:
        controller.enqueue(A)
        await settled()
        before = asyncio.get_running_loop().time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.get_running_loop().time() == before


class Fatal(BaseException):
    """Not an Exception: nothing that a reconcile may raise."""


@virtual_time
async def test_a_worker_that_is_cancelled_alone_ends_the_controller_loudly() -> None:
    async def act(key: ObjectKey) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    controller = Controller("c", Script(act), workers=2, resync_s=100)
    controller.enqueue(A)
    with pytest.raises(BaseExceptionGroup) as raised:
        await asyncio.wait_for(controller.run(), 10)
    assert "worker of controller c was cancelled" in str(raised.value.exceptions[0])


@virtual_time
async def test_a_reconcile_that_returns_none_has_failed_and_the_worker_goes_on() -> None:
    calls: list[ObjectKey] = []

    async def forgetful(key: ObjectKey) -> Result:
        calls.append(key)
        return None if key == A else DONE  # type: ignore[return-value]

    controller = Controller("c", forgetful, workers=1, back_off=BackOff(99, 99))
    async with running(controller):
        controller.enqueue(A)
        controller.enqueue(B)
        await settled()
        assert calls == [A, B]


@virtual_time
async def test_a_mapper_that_fails_on_one_object_keeps_no_other_from_its_resync() -> None:
    def mapper(obj: Widget) -> list[ObjectKey]:
        if obj.metadata.name == "a":
            raise ValueError("poisoned")
        return [obj.key]

    script, mirror = Script(), Mirror()
    mirror.store.replace([widget("a", 1), widget("b", 1)])
    async with running(Controller("c", script, resync_s=100).watches(mirror, mapper)):
        await passed(120)
        assert script.calls == [B]


@virtual_time
async def test_a_mapper_that_fails_on_an_event_is_asked_again_and_the_event_is_not_lost() -> None:
    broken = True

    def mapper(obj: Widget) -> list[ObjectKey]:
        if broken and obj.metadata.name == "a":
            raise ValueError("poisoned")
        return [obj.key]

    script, mirror = Script(), Mirror()
    controller = Controller("c", script, back_off=BackOff(1, 10)).watches(mirror, mapper)
    async with running(controller):
        mirror.put(widget("a", 1))
        mirror.put(widget("b", 1))
        await passed(100)
        assert script.calls == [B]
        broken = False
        await passed(10)
        assert script.calls == [B, A]
        await passed(1000)
        assert script.calls == [B, A]


@virtual_time
async def test_a_predicate_that_failed_is_asked_about_the_change_as_a_whole_when_the_next_event_comes() -> None:
    asked: list[tuple[int, int]] = []

    def predicate(change: Change[Widget]) -> bool:
        versions = tuple(int(one.metadata.resource_version) if one else 0 for one in (change.old, change.new))
        asked.append((versions[0], versions[1]))
        if versions[1] == 2:
            raise ValueError("poisoned")
        return True

    script, mirror = Script(), Mirror()
    controller = Controller("c", script, back_off=BackOff(50, 50)).watches(mirror, lambda obj: [obj.key], predicate)
    async with running(controller):
        for version in (1, 2, 3):
            mirror.put(widget("a", version))
        await settled()
        assert asked == [(0, 1), (1, 2), (1, 3)]
        await passed(1000)
        assert asked[3:] == []


@virtual_time
async def test_an_object_that_came_and_went_while_its_mapper_failed_is_owed_nothing() -> None:
    def mapper(obj: Widget) -> list[ObjectKey]:
        raise ValueError("poisoned")

    mirror = Mirror()
    calls = 0

    def predicate(change: Change[Widget]) -> bool:
        nonlocal calls
        calls += 1
        return True

    async with running(Controller("c", Script()).watches(mirror, mapper, predicate)):
        mirror.put(widget("a", 1))
        mirror.store.remove(A)  # unheard
        await passed(1000)
        assert calls == 1


@virtual_time
async def test_a_worker_that_dies_ends_the_controller_loudly() -> None:
    async def act(key: ObjectKey) -> None:
        if key == A:
            raise Fatal
        await asyncio.sleep(1000)

    controller = Controller("c", Script(act))
    task = asyncio.create_task(controller.run())
    controller.enqueue(B)
    controller.enqueue(A)
    with pytest.raises(BaseExceptionGroup) as caught:
        await task
    assert caught.group_contains(Fatal)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with pytest.raises(RuntimeError, match="has run already"):
        await controller.run()


# what can be seen


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.addFilter(ReconcileFields())

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@virtual_time
async def test_what_a_reconcile_logs_carries_its_key_and_its_run() -> None:
    ids = iter("12345")
    logger = logging.Logger("test")
    records = Records()
    logger.addHandler(records)

    async def act(key: ObjectKey) -> None:
        await asyncio.sleep(1)
        await asyncio.create_task(deeper())

    async def deeper() -> None:
        logger.info("at work")

    controller = Controller("c", Script(act), new_id=lambda: next(ids))
    async with running(controller):
        controller.enqueue(A)
        controller.enqueue(B)
        await passed(2)
    shown = [(r.__dict__["controller"], r.__dict__["key"], r.__dict__["reconcile"]) for r in records.records]
    assert shown == [("c", A, "1"), ("c", B, "2")]
    assert reconciling.get() is None


@virtual_time
async def test_each_reconcile_is_a_span_and_what_it_asks_for_is_within_it() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def act(key: ObjectKey) -> None:
        with tracing.span("PATCH", resource="widgets"):
            if key == B:
                raise errors.Conflict("changed")

    tracing.tracer.set(tracing.OpenTelemetryTracer(provider))
    controller = Controller("c", Script(act), workers=1, back_off=BackOff(99, 99))
    async with running(controller):
        controller.enqueue(A)
        controller.enqueue(B)
        await settled()
    request, reconcile, _, failed = exporter.get_finished_spans()
    assert (reconcile.name, dict(reconcile.attributes or {})) == (
        "reconcile",
        {"controller": "c", "key": "default/a", "result": "success"},
    )
    assert request.parent is not None
    assert request.parent.span_id == reconcile.context.span_id
    assert (failed.attributes or {})["result"] == "error"
    assert not failed.status.is_ok
    assert failed.parent is None


async def test_reconciles_that_never_wait_leave_the_loop_to_others() -> None:
    left = 400

    async def act(key: ObjectKey) -> Result:
        nonlocal left
        left -= 1
        until = time.monotonic() + 0.001
        while time.monotonic() < until:
            pass
        return DONE

    controller = Controller("c", act, workers=1)
    task = asyncio.create_task(controller.run())
    for n in range(left):
        controller.enqueue(ObjectKey("", str(n)))
    await asyncio.sleep(0.01)
    assert left > 0, "all keys were worked off before anybody else had a turn"
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
