"""A small controller: each Namespace is annotated with the number of its pods.

python pod_counter.py     # the cluster of your kubeconfig, or of the pod this runs in
"""

import asyncio

import kubeloop as k

ANNOTATION = "example.kubeloop.dev/pods"


async def run(cluster: k.ClusterConfig | k.Cluster) -> None:
    async with k.open_runtime(cluster, name="pod-counter") as runtime:
        namespaces = runtime.informer(k.Namespace)
        pods = runtime.informer(k.Pod, indexers={"namespace": lambda pod: [pod.metadata.namespace]})

        async def reconcile(key: k.ObjectKey) -> k.Result:
            namespace = namespaces.store.get(key)
            if namespace is None or namespace.metadata.deleting:
                return k.DONE
            count = str(len(pods.store.by_index("namespace", key.name)))
            if namespace.metadata.annotations.get(ANNOTATION) != count:  # else this would wake itself for ever
                patch = k.MergePatch({"metadata": {"annotations": {ANNOTATION: count}}})
                await runtime.client.patch(k.Namespace, key.name, patch, uid=namespace.metadata.uid)
            return k.DONE

        controller = runtime.controller("pod-counter", reconcile).for_(namespaces)
        controller.watches(pods, lambda pod: [k.ObjectKey("", pod.metadata.namespace)])
        await runtime.run()


if __name__ == "__main__":
    k.set_up_logging()
    asyncio.run(k.until_signalled(run(k.load_config())))
