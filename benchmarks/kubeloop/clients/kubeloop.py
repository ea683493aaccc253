"""kubeloop: a runtime with an informer, and with a controller where there is something to reconcile.

Its `Pod` holds the fields that controllers use; the rest is skipped while decoding. The list is a WatchList.
"""

import asyncio

import kubeloop as k
from benchmarks.kubeloop.clients import measure
from benchmarks.kubeloop.traffic import name, namespace


async def cache(asked: measure.Arguments, meter: measure.Meter, config: k.ClusterConfig) -> None:
    async with k.open_runtime(config, name="benchmark") as runtime:
        pods = runtime.informer(k.Pod)
        seen = measure.Seen()
        seen.expect(asked.pods)
        pods.add_handler(lambda _: seen())
        running = asyncio.create_task(runtime.run())
        await seen.all()
        meter.lap("list", asked.pods)
        await measure.events(asked, meter, seen)
        running.cancel()
        await asyncio.wait([running])


async def reconcile(asked: measure.Arguments, meter: measure.Meter, config: k.ClusterConfig) -> None:
    async with k.open_runtime(config, name="benchmark") as runtime:
        pods = runtime.informer(k.Pod)
        seen = measure.Seen()
        seen.expect(asked.pods)

        async def reconcile(key: k.ObjectKey) -> k.Result:
            seen()
            return k.DONE

        runtime.controller("benchmark", reconcile).for_(pods)
        running = asyncio.create_task(runtime.run())
        await seen.all()
        meter.lap("list", asked.pods)
        await measure.events(asked, meter, seen)
        running.cancel()
        await asyncio.wait([running])


async def patch(asked: measure.Arguments, meter: measure.Meter, config: k.ClusterConfig) -> None:
    async with k.connect(config, user_agent="benchmark") as client:

        async def patch_one(number: int) -> k.Pod:
            status = k.MergePatch({"status": {"message": f"patch {number}"}})
            return await client.patch(k.Pod, name(number), status, namespace=namespace(number), subresource="status")

        await measure.patches(asked, meter, patch_one)


async def main() -> None:
    asked = measure.arguments()
    workload = {"cache": cache, "reconcile": reconcile, "patch": patch}[asked.workload]
    meter = measure.Meter()
    await workload(asked, meter, k.ClusterConfig(asked.server))
    meter.report()


if __name__ == "__main__":
    asyncio.run(main())
