"""lightkube: its typed models, decoded lazily, which is its default: a part of an object when it is first asked for.

It has neither cache nor queue: the list is a list of models, a watch is a loop, and there is nothing to reconcile with.
"""

import asyncio

from lightkube import AsyncClient, KubeConfig
from lightkube.config.models import Cluster, User
from lightkube.resources.core_v1 import Pod
from lightkube.types import PatchType

from benchmarks.kubeloop.clients import measure
from benchmarks.kubeloop.traffic import name, namespace

PAGE = 500


async def cache(asked: measure.Arguments, meter: measure.Meter, client: AsyncClient) -> None:
    listed = client.list(Pod, namespace="*", chunk_size=PAGE)
    pods = {(pod.metadata.namespace, pod.metadata.name): pod async for pod in listed}
    meter.lap("list", asked.pods)
    assert len(pods) == asked.pods
    seen = measure.Seen()

    async def watch() -> None:
        async for _, pod in client.watch(Pod, namespace="*", resource_version=listed.resourceVersion):
            pods[pod.metadata.namespace, pod.metadata.name] = pod
            seen()

    watching = asyncio.create_task(watch())
    await measure.events(asked, meter, seen)
    watching.cancel()
    await asyncio.wait([watching])


async def patch(asked: measure.Arguments, meter: measure.Meter, client: AsyncClient) -> None:
    async def patch_one(number: int) -> object:
        status = {"status": {"message": f"patch {number}"}}
        return await client.patch(
            Pod.Status, name(number), status, namespace=namespace(number), patch_type=PatchType.MERGE
        )

    await measure.patches(asked, meter, patch_one)


async def main() -> None:
    asked = measure.arguments()
    workload = {"cache": cache, "patch": patch}[asked.workload]
    meter = measure.Meter()
    client = AsyncClient(KubeConfig.from_one(cluster=Cluster(server=asked.server), user=User()), trust_env=False)
    await workload(asked, meter, client)
    await client.close()
    meter.report()


if __name__ == "__main__":
    asyncio.run(main())
