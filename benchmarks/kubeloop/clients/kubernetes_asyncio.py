"""kubernetes_asyncio: its generated models, all fields of which are decoded at once.

It has neither cache nor queue: the list is a list of models, a watch is a loop, and there is nothing to reconcile with.
"""

import asyncio

from kubernetes_asyncio import client, watch

from benchmarks.kubeloop.clients import measure
from benchmarks.kubeloop.traffic import name, namespace

PAGE = 500


async def cache(asked: measure.Arguments, meter: measure.Meter, api: client.CoreV1Api) -> None:
    pods = {}
    page = await api.list_pod_for_all_namespaces(limit=PAGE)
    while True:
        pods.update({(pod.metadata.namespace, pod.metadata.name): pod for pod in page.items})
        version, following = page.metadata.resource_version, page.metadata._continue
        if not following:
            break
        page = await api.list_pod_for_all_namespaces(limit=PAGE, _continue=following)
    meter.lap("list", asked.pods)
    assert len(pods) == asked.pods
    seen = measure.Seen()

    async def follow() -> None:
        async with watch.Watch() as stream:
            async for event in stream.stream(api.list_pod_for_all_namespaces, resource_version=version):
                pod = event["object"]
                pods[pod.metadata.namespace, pod.metadata.name] = pod
                seen()

    watching = asyncio.create_task(follow())
    await measure.events(asked, meter, seen)
    watching.cancel()
    await asyncio.wait([watching])


async def patch(asked: measure.Arguments, meter: measure.Meter, api: client.CoreV1Api) -> None:
    async def patch_one(number: int) -> object:
        status = {"status": {"message": f"patch {number}"}}
        return await api.patch_namespaced_pod_status(
            name(number), namespace(number), status, _content_type="application/merge-patch+json"
        )

    await measure.patches(asked, meter, patch_one)


async def main() -> None:
    asked = measure.arguments()
    workload = {"cache": cache, "patch": patch}[asked.workload]
    meter = measure.Meter()
    configuration = client.Configuration(host=asked.server)
    async with client.ApiClient(configuration) as api_client:
        await workload(asked, meter, client.CoreV1Api(api_client))
    meter.report()


if __name__ == "__main__":
    asyncio.run(main())
