"""A whole controller with a finalizer: a Website is a ConfigMap of its pages, and a name outside the cluster.

ZONE=/tmp/zone python website.py     # the cluster of your kubeconfig, or of the pod this runs in
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ClassVar

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
    printer_columns: ClassVar = (k.PrinterColumn("Host", "string", ".spec.host"),)
    spec: WebsiteSpec
    status: WebsiteStatus = WebsiteStatus()


class Zone:
    """Names and whose they are, here links in a folder. In its place may be any system that knows no Kubernetes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def publish(self, host: str, owner: str) -> bool:
        """True when the name is the owner's now, False when it is another's; as often as you like."""
        name = self._folder / host
        try:
            name.symlink_to(owner)  # made whole or not at all, and only if there is none
        except FileExistsError:
            return str(name.readlink()) == owner
        return True

    async def remove(self, host: str, owner: str) -> None:
        """The name is not the owner's any more; another's is left alone."""
        name = self._folder / host
        if name.is_symlink() and str(name.readlink()) == owner:
            name.unlink()


def desire(website: Website) -> k.ConfigMap:
    owner = website.owner_reference(controller=True)  # the ConfigMap goes when its Website goes
    meta = k.ObjectMeta(name=website.key.name, namespace=website.key.namespace, owner_references=(owner,))
    return k.ConfigMap(metadata=meta, data=website.spec.pages)


async def run(cluster: k.ClusterConfig | k.Cluster, zone: Zone) -> None:
    async with k.open_runtime(cluster, name="websites", lease=k.LeaseName("default", "websites")) as runtime:
        await runtime.ensure_definitions(Website)
        websites, config_maps = runtime.informer(Website), runtime.informer(k.ConfigMap)
        client = runtime.client

        async def reconcile(key: k.ObjectKey) -> k.Result:
            website = websites.store.get(key)
            if website is None:
                return k.DONE
            meta, host, old = website.metadata, website.spec.host, website.status.conditions
            if meta.deleting:
                await zone.remove(host, meta.uid)
                await k.remove_finalizer(client, website, FINALIZER)
                return k.DONE
            if not await k.add_finalizer(client, website, FINALIZER):
                return k.DONE  # it began to go: nothing may be made for it any more
            desired, actual = desire(website), config_maps.store.get(key)
            if actual is None or actual.data != desired.data:
                await client.apply(desired, force=True)
            ours = await zone.publish(host, meta.uid)
            reason = "Published" if ours else "NameTaken"
            ready = k.condition("Ready", ours, reason=reason, observed_generation=meta.generation)
            if patch := k.conditions_patch(old, k.set_condition(old, ready, datetime.now(UTC))):
                await client.patch(
                    Website, key.name, k.MergePatch(patch), namespace=key.namespace, subresource="status", uid=meta.uid
                )
                runtime.recorder.event(website, type="Normal", reason=reason, action="Publish", note=host)
            return k.DONE if ours else k.Result(requeue_after_s=60)  # the name may become free

        runtime.controller("websites", reconcile).for_(websites).owns(config_maps, Website)
        await runtime.run()


if __name__ == "__main__":
    k.set_up_logging()
    asyncio.run(k.until_signalled(run(k.load_config(), Zone(Path(sys.argv[1])))))
