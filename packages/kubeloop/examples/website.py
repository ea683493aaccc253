"""A controller with a finalizer: a Website is a ConfigMap of its pages, and a name in a zone outside the cluster.

python website.py FOLDER     # the cluster of your kubeconfig, or of the pod this runs in
"""

import asyncio
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar

from msgspec import Meta

import kubeloop as k

FINALIZER = "example.kubeloop.dev/name"


class WebsiteSpec(k.KubeStruct, frozen=True, kw_only=True):
    host: Annotated[str, k.markers.immutable(), Meta(pattern="^[a-z0-9.-]+$", max_length=253)]
    pages: dict[str, str] = {}


class WebsiteStatus(k.KubeStruct, frozen=True, kw_only=True):
    conditions: Annotated[tuple[k.Condition, ...], k.markers.list_map("type")] = ()


class Website(k.KubeObject, frozen=True, kw_only=True):
    resource: ClassVar = k.Resource("example.kubeloop.dev", "v1", "websites", "Website")
    spec: WebsiteSpec
    status: WebsiteStatus = WebsiteStatus()


class Zone:
    """Whose each name is: links in a folder. In its place may be any system that knows nothing of Kubernetes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def names(self) -> dict[str, str]:
        return {link.name: str(link.readlink()) for link in self._folder.iterdir() if link.is_symlink()}

    async def publish(self, host: str, owner: str) -> bool:  # as often as you like
        with suppress(FileExistsError):
            (self._folder / host).symlink_to(owner)  # made whole or not at all
        return (await self.names())[host] == owner

    async def remove(self, host: str, owner: str) -> None:
        if (await self.names()).get(host) == owner:
            (self._folder / host).unlink()


def desire(website: Website) -> k.ConfigMap:
    owner = website.owner_reference(controller=True)  # the ConfigMap goes when its Website goes
    meta = k.ObjectMeta(name=website.key.name, namespace=website.key.namespace, owner_references=(owner,))
    return k.ConfigMap(metadata=meta, data=website.spec.pages)


async def run(cluster: k.ClusterConfig | k.Cluster, zone: Zone) -> None:
    async with k.open_runtime(cluster, name="websites", lease=k.LeaseName("default", "websites")) as runtime:
        await runtime.ensure_definitions(Website)
        websites, config_maps, client = runtime.informer(Website), runtime.informer(k.ConfigMap), runtime.client

        async def reconcile(key: k.ObjectKey) -> k.Result:
            if (website := websites.store.get(key)) is None:
                return k.DONE
            meta, host, old = website.metadata, website.spec.host, website.status.conditions
            if meta.deleting:
                await zone.remove(host, meta.uid)
                await k.remove_finalizer(client, website, FINALIZER)
            elif await k.add_finalizer(client, website, FINALIZER):  # else it began to go: nothing may be made for it
                desired, actual = desire(website), config_maps.store.get(key)
                if actual is None or actual.data != desired.data:
                    await client.apply(desired, force=True)
                reason = "Published" if await zone.publish(host, meta.uid) else "NameTaken"
                ready = k.condition("Ready", reason == "Published", reason=reason, observed_generation=meta.generation)
                if patch := k.conditions_patch(old, k.set_condition(old, ready, datetime.now(UTC))):
                    at: dict[str, Any] = {"namespace": key.namespace, "uid": meta.uid}
                    await client.patch(Website, key.name, k.MergePatch(patch), subresource="status", **at)
                    runtime.recorder.event(website, type="Normal", reason=reason, action="Publish", note=host)
            return k.Result(requeue_after_s=60)  # the zone tells nobody what changes in it

        async def sweep(what: str) -> k.Result:  # a call that was given up may take effect late
            names, alive = await zone.names(), await client.list_all(Website)
            uids = {one.metadata.uid for one in alive.items} | {one.uid for one in alive.undecodable}
            for host, owner in names.items():
                if owner not in uids:
                    await zone.remove(host, owner)
            return k.Result(requeue_after_s=120)

        runtime.controller("websites", reconcile).for_(websites).owns(config_maps, Website)
        runtime.controller("sweep", sweep).enqueue("zone")
        await runtime.run()


if __name__ == "__main__":
    k.set_up_logging()
    asyncio.run(k.until_signalled(run(k.load_config(), Zone(Path(sys.argv[1])))))
