"""A whole controller: a SharedConfig is copied, as a ConfigMap of its name, into each namespace that has its labels.

    python shared_config.py              # the cluster of your kubeconfig, or of the pod this runs in

It makes its own CRD, keeps copies right whoever changes them, tells their number, and can be run in replicas.
"""

import asyncio
from collections.abc import Iterable
from typing import Annotated, ClassVar

from msgspec import Meta

import kubeloop as k

LABEL = "example.kubeloop.dev/shared-config"


class SharedConfigSpec(k.KubeStruct, frozen=True, kw_only=True):
    data: Annotated[dict[str, str], Meta(description="What each ConfigMap holds.")] = {}
    namespace_labels: Annotated[dict[str, str], Meta(description="Namespaces with all of these get a copy.")] = {}


class SharedConfigStatus(k.KubeStruct, frozen=True, kw_only=True):
    copies: int = 0
    conditions: tuple[k.Condition, ...] = ()


class SharedConfig(k.KubeObject, frozen=True, kw_only=True):
    resource: ClassVar = k.Resource("example.kubeloop.dev", "v1", "sharedconfigs", "SharedConfig", namespaced=False)
    printer_columns: ClassVar = (k.PrinterColumn("Copies", "integer", ".status.copies"),)

    spec: SharedConfigSpec = SharedConfigSpec()
    status: SharedConfigStatus = SharedConfigStatus()


def desire(shared: SharedConfig, namespaces: Iterable[k.Namespace]) -> dict[str, k.ConfigMap]:
    """The copies that should be, by namespace: pure, so it is tested with a table and nothing else."""
    chosen = [one for one in namespaces if not one.metadata.deleting]
    wanted = shared.spec.namespace_labels.items()
    return {
        one.metadata.name: k.ConfigMap(
            metadata=k.ObjectMeta(
                name=shared.metadata.name,
                namespace=one.metadata.name,
                labels={LABEL: shared.metadata.name},
                owner_references=(shared.owner_reference(controller=True),),  # so they go when it goes
            ),
            data=shared.spec.data,
        )
        for one in chosen
        if wanted <= one.metadata.labels.items()
    }


async def run(cluster: k.ClusterConfig | k.Cluster) -> None:
    lease = k.LeaseName("default", "shared-config")
    async with k.open_runtime(cluster, name="shared-config", lease=lease) as runtime:
        client = runtime.client
        await runtime.ensure_definitions(SharedConfig)
        shared_configs = runtime.informer(SharedConfig)
        namespaces = runtime.informer(k.Namespace)
        copies = runtime.informer(k.ConfigMap, label_selector=LABEL)

        async def reconcile(key: k.ObjectKey) -> k.Result:
            shared = shared_configs.store.get(key)
            if shared is None or shared.metadata.deleting:
                return k.DONE  # the garbage collector takes the copies
            desired = desire(shared, namespaces.store.list())
            actual = [one for one in copies.store.list() if one.metadata.labels.get(LABEL) == key.name]
            for copy in actual:
                meta = copy.metadata
                if meta.namespace not in desired:
                    await client.delete(k.ConfigMap, meta.name, namespace=meta.namespace, uid=meta.uid)
            right = {one.metadata.namespace for one in actual if one.data == shared.spec.data}
            for namespace in sorted(desired.keys() - right):
                await client.apply(desired[namespace], force=True)
            if shared.status.copies != len(desired):
                patch = k.MergePatch({"status": {"copies": len(desired)}})
                await client.patch(SharedConfig, key.name, patch, subresource="status", uid=shared.metadata.uid)
            return k.DONE

        controller = runtime.controller("shared-config", reconcile)
        controller.for_(shared_configs).owns(copies, SharedConfig)
        controller.watches(namespaces, lambda _: [one.key for one in shared_configs.store.list()])
        await runtime.run()


if __name__ == "__main__":
    k.set_up_logging()
    asyncio.run(k.until_signalled(run(k.load_config())))
