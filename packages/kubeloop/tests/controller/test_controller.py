import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from kubeloop.client import errors
from kubeloop.client.back_off import BackOff
from kubeloop.client.writes import Write, note
from kubeloop.controller.controller import DONE, Controller, Result, Retry, Terminal, controlled_by
from kubeloop.informer.informer import Informer
from kubeloop.logs import reconciling
from kubeloop.metrics import Metrics
from kubeloop.model.base import ObjectKey, ObjectMeta, OwnerReference
from kubeloop.model.core import ConfigMap

from ..informer.script import Script
from ..kinds import Widget, widget
from ..virtual_time import passed, settled, virtual_time

A, B = ObjectKey("default", "a"), ObjectKey("default", "b")


@asynccontextmanager
async def running(
    reconcile: Callable[[ObjectKey], Awaitable[Result]], *objects: Widget, **options: Any
) -> AsyncIterator[tuple[Controller[ObjectKey], Informer[Widget]]]:
    """A controller at work on an informer that holds `objects`, all at version 10."""
    informer = Informer(Script(), Widget)
    controller: Controller[ObjectKey] = Controller("widgets", reconcile, back_off=BackOff(1.0, 8.0), **options)
    controller.for_(informer)
    task = asyncio.create_task(controller.run())
    informer.replaced(objects, (), "10")
    await settled()
    yield controller, informer
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@virtual_time
async def test_nothing_is_reconciled_before_the_first_list_and_everything_after_it() -> None:
    seen: list[ObjectKey] = []

    async def reconcile(key: ObjectKey) -> Result:
        seen.append(key)
        return DONE

    informer = Informer(Script(), Widget)
    controller: Controller[ObjectKey] = Controller("widgets", reconcile)
    task = asyncio.create_task(controller.for_(informer).run())
    controller.enqueue(B)
    await settled()
    assert seen == []
    informer.replaced([widget("a", 1)], (), "1")
    await settled()
    assert sorted(seen) == [A, B]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@virtual_time
async def test_a_poisoned_object_delays_nobody_else_and_comes_again_with_back_off() -> None:
    at: dict[ObjectKey, list[float]] = {A: [], B: []}
    loop = asyncio.get_running_loop()

    async def reconcile(key: ObjectKey) -> Result:
        at[key].append(loop.time())
        if key == A:
            raise ValueError("poison")
        return DONE

    async with running(reconcile, widget("a", 1), widget("b", 2), workers=1):
        began = loop.time()
        await passed(30)
    assert at[B] == [began]
    waits = [after - before for before, after in zip(at[A], at[A][1:], strict=False)]
    assert all(0.5 * bound <= wait <= bound for wait, bound in zip(waits, [1.0, 2.0, 4.0, 8.0, 8.0], strict=False))
    assert len(waits) >= 4


@virtual_time
async def test_a_reconcile_that_hangs_is_ended_at_its_deadline_and_tried_again() -> None:
    starts = 0

    async def reconcile(_: ObjectKey) -> Result:
        nonlocal starts
        starts += 1
        if starts == 1:
            await asyncio.Event().wait()
        return DONE

    async with running(reconcile, widget("a", 1), deadline_s=5.0):
        await passed(4.9)
        assert starts == 1
        await passed(1.2)
        assert starts == 2


@virtual_time
async def test_requeue_after_brings_the_key_again_then_and_not_before() -> None:
    runs = 0

    async def reconcile(_: ObjectKey) -> Result:
        nonlocal runs
        runs += 1
        return Result(requeue_after_s=60) if runs == 1 else DONE

    async with running(reconcile, widget("a", 1)):
        await passed(59)
        assert runs == 1
        await passed(600)
        assert runs == 2


@virtual_time
async def test_a_throttled_reconcile_waits_as_long_as_the_server_said() -> None:
    runs = 0

    async def reconcile(_: ObjectKey) -> Result:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise errors.Throttled("slow down", status=429, retry_after_s=20.0)
        return DONE

    async with running(reconcile, widget("a", 1)):
        await passed(19)
        assert runs == 1
        await passed(2)
        assert runs == 2


@virtual_time
async def test_a_terminal_failure_is_left_until_the_object_changes() -> None:
    runs = 0

    async def reconcile(_: ObjectKey) -> Result:
        nonlocal runs
        runs += 1
        raise Terminal("the spec makes no sense")

    async with running(reconcile, widget("a", 1)) as (_, informer):
        await passed(3600)
        assert runs == 1
        informer.changed(widget("a", 11), "11")
        await settled()
        assert runs == 2


@virtual_time
async def test_a_reconcile_sees_what_the_one_before_it_wrote() -> None:
    seen: list[int] = []

    stores: list[Informer[Widget]] = []

    async def reconcile(key: ObjectKey) -> Result:
        obj = stores[0].store.get(key) if stores else None
        seen.append(int(obj.metadata.resource_version) if obj else 0)
        if len(seen) == 2:
            note(Write(kind=Widget, key=key, uid="uid-a", version="20"))
        return DONE

    async with running(reconcile, widget("a", 5)) as (_, informer):
        stores.append(informer)
        informer.changed(widget("a", 15), "15")  # its reconcile writes version 20
        await settled()
        informer.changed(widget("a", 16), "16")
        await passed(5)
        assert seen == [0, 15]
        informer.changed(widget("a", 20), "20")
        await settled()
        assert seen == [0, 15, 20]


@virtual_time
async def test_who_waits_for_own_writes_keeps_no_worker() -> None:
    done: list[ObjectKey] = []

    async def reconcile(key: ObjectKey) -> Result:
        done.append(key)
        if key == A:
            note(Write(kind=Widget, key=key, uid="uid-a", version="99"))
        return DONE

    async with running(reconcile, widget("a", 1), workers=1) as (_, informer):
        informer.changed(widget("b", 11), "11")
        await settled()
        assert done == [A, B]


@virtual_time
async def test_a_write_that_never_shows_is_read_live_and_the_key_goes_on() -> None:
    runs = 0

    async def reconcile(key: ObjectKey) -> Result:
        nonlocal runs
        runs += 1
        if runs == 1:
            note(Write(kind=Widget, key=key, uid="uid-a", version="20"))
        return DONE

    live = Script()
    informer = Informer(live, Widget)

    async def read(kind: type[Any], **_: Any) -> Any:
        return type("Page", (), {"items": (widget("a", 20),), "undecodable": (), "resource_version": "20"})()

    live.list = read  # type: ignore[method-assign]
    controller: Controller[ObjectKey] = Controller("widgets", reconcile, own_writes_s=10.0)
    task = asyncio.create_task(controller.for_(informer).run())
    informer.replaced([widget("a", 5)], (), "10")
    await passed(9)
    assert informer.store.list()[0].metadata.resource_version == "5"
    await passed(2)
    assert informer.store.list()[0].metadata.resource_version == "20"
    assert runs == 2  # the live read was news
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@virtual_time
async def test_a_resync_looks_at_every_object_again() -> None:
    runs = 0

    async def reconcile(_: ObjectKey) -> Result:
        nonlocal runs
        runs += 1
        return DONE

    async with running(reconcile, widget("a", 1), resync_s=100.0):
        await passed(89)
        assert runs == 1
        await passed(22)
        assert runs == 2


@virtual_time
async def test_a_stop_lets_running_reconciles_finish_within_the_grace_and_takes_no_new_key() -> None:
    finished: list[ObjectKey] = []

    async def reconcile(key: ObjectKey) -> Result:
        await asyncio.sleep(3)
        finished.append(key)
        return DONE

    async with running(reconcile, widget("a", 1), widget("b", 2), workers=1, stop_grace_s=5.0):
        pass
    assert finished == [A]


@virtual_time
async def test_a_stop_cancels_what_outlasts_the_grace() -> None:
    cancelled = False

    async def reconcile(_: ObjectKey) -> Result:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise
        return DONE

    loop = asyncio.get_running_loop()
    async with running(reconcile, widget("a", 1), stop_grace_s=5.0):
        began = loop.time()
    assert cancelled
    assert loop.time() - began == pytest.approx(5.0, abs=0.1)


@virtual_time
async def test_the_log_and_the_metrics_know_which_key_and_what_became_of_it() -> None:
    metrics = Metrics()
    seen: list[tuple[str, object]] = []
    outcomes: list[Result | Exception] = [DONE, Retry("not yet"), ValueError("fault"), Result(requeue_after_s=5)]

    async def reconcile(_: ObjectKey) -> Result:
        current = reconciling.get()
        assert current is not None
        seen.append((current.id, current.key))
        outcome = outcomes[min(len(seen), len(outcomes)) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async with running(reconcile, widget("a", 1), metrics=metrics) as (controller, _):
        controller.enqueue(A)
        await passed(4)
    assert seen[0] == ("1", A)
    assert len({run for run, _ in seen}) == len(seen)

    def count(result: str) -> float | None:
        labels = {"controller": "widgets", "result": result}
        return metrics.registry.get_sample_value("controller_runtime_reconcile_total", labels)

    assert [count(one) for one in ("success", "requeue", "error", "requeue_after")] == [1, 1, 1, 1]
    errors_total = metrics.registry.get_sample_value(
        "controller_runtime_reconcile_errors_total", {"controller": "widgets"}
    )
    assert errors_total == 1


def test_an_object_belongs_to_the_owner_that_controls_it_whatever_the_version() -> None:
    def owned(**reference: Any) -> ConfigMap:
        owner = {"api_version": "tests.kubeloop.dev/v1beta1", "kind": "Widget", "name": "a", "uid": "1"} | reference
        return ConfigMap(
            metadata=ObjectMeta(name="x", namespace="default", owner_references=(OwnerReference(**owner),))
        )

    assert controlled_by(owned(controller=True), Widget) == (A,)
    assert controlled_by(owned(controller=False), Widget) == ()
    assert controlled_by(owned(controller=True, api_version="other.dev/v1"), Widget) == ()
    assert controlled_by(owned(controller=True, kind="Gadget"), Widget) == ()
