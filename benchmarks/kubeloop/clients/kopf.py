"""kopf: an operator with an `@kopf.on.event` handler, its lowest level and the cheapest one: no diff, no annotations
written back, as `on.update` would. Cluster-wide, alone, without posting of Events; all else as by default.

An object is a dict of all its fields. A list is nothing but handler calls, through a queue and a task for each object:
kopf has no plain list or cache (an `@kopf.index` is filled by the same path), so "cache" and "reconcile" are one.
Patches are what a handler left in `patch`, with `queueing.worker_limit` as the number in flight; so handling the event
is in the figure.
"""

import asyncio
from typing import Any

import kopf

from benchmarks.kubeloop.clients import measure


def operator(server: str, handler: Any, *, in_flight: int | None = None) -> "asyncio.Task[None]":
    registry = kopf.OperatorRegistry()
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    if in_flight is not None:
        settings.queueing.worker_limit = in_flight
        settings.queueing.idle_timeout = 0.05  # else each worker keeps its place for 5 s,
        settings.persistence.consistency_timeout = 0  # and again for 5 s if the patch is not seen in the watch

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=server)

    kopf.on.event("v1", "pods", registry=registry)(handler)
    return asyncio.create_task(kopf.operator(registry=registry, settings=settings, clusterwide=True, standalone=True))


async def handle(asked: measure.Arguments, meter: measure.Meter) -> None:
    seen = measure.Seen()
    seen.expect(asked.pods)

    async def handler(**_: Any) -> None:
        seen()

    running = operator(asked.server, handler)
    await seen.all()
    meter.lap("list", asked.pods)
    await measure.events(asked, meter, seen)
    running.cancel()
    await asyncio.wait([running])


async def patch(asked: measure.Arguments, meter: measure.Meter) -> None:
    listed, patched = measure.Seen(), measure.Seen()
    listed.expect(asked.pods)
    patched.expect(asked.patches)

    async def handler(type: str | None, name: str, patch: kopf.Patch, **_: Any) -> None:
        if type is None:
            listed()
        else:
            patch.status["message"] = f"patch {name}"
            patched()

    running = operator(asked.server, handler, in_flight=asked.in_flight)
    await listed.all()
    await asyncio.sleep(measure.SETTLE_S)
    measure.begin_events(asked.server, asked.patches, 0)
    meter.begin()
    await patched.all()
    await asyncio.sleep(measure.SETTLE_S)  # the last ones are on their way
    meter.lap("patch", asked.patches)
    running.cancel()
    await asyncio.wait([running])


async def main() -> None:
    asked = measure.arguments()
    meter = measure.Meter()
    await (patch if asked.workload == "patch" else handle)(asked, meter)
    meter.report()


if __name__ == "__main__":
    asyncio.run(main())
