"""A controller on a real informer: nobody decides by a store that lacks what was just written."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from kubeloop.client.back_off import BackOff
from kubeloop.client.writes import Write, note
from kubeloop.controller.controller import DONE, Controller, Result
from kubeloop.informer.informer import Informer
from kubeloop.model.base import ObjectKey
from kubeloop.testing.virtual_time import passed, settled, virtual_time

from ..informer.script import Script
from ..kinds import Widget, widget

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
    controller: Controller[ObjectKey] = Controller("widgets", reconcile)
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
async def test_what_was_created_and_deleted_at_once_is_not_seen_alive() -> None:
    seen: list[bool] = []
    informers: list[Informer[Widget]] = []

    async def reconcile(key: ObjectKey) -> Result:
        if key == B:
            return DONE
        seen.append(informers[0].store.get(B) is not None)
        if len(seen) == 1:
            note(Write(kind=Widget, key=B, uid="uid-b", version="20"))
            note(Write(kind=Widget, key=B, uid="uid-b", version="", deleted=True))
        return DONE

    async with running(reconcile) as (controller, informer):
        informers.append(informer)
        controller.enqueue(A)
        await settled()
        controller.enqueue(A)  # it must wait until the informer has seen B come and go
        await settled()
        informer.changed(widget("b", 20), "20")
        await settled()
        assert seen == [False]
        informer.deleted(B, widget("b", 21), "21")
        await settled()
        assert seen == [False, False]
