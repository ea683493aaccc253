"""Each resource has a watch and a cache of its own, and nothing orders them."""

import kubeloop as k
from kubeloop.simulator import SimulatedCluster
from kubeloop.testing.virtual_time import passed, virtual_time

from ..kinds import Widget
from .running import at_work, client_of


@virtual_time
async def test_an_object_may_be_seen_before_the_one_that_it_was_made_after() -> None:
    cluster = SimulatedCluster()
    placed: list[str] = []
    waiting: list[str] = []

    async def wire(runtime: k.Runtime) -> None:
        widgets, namespaces = runtime.informer(Widget), runtime.informer(k.Namespace)

        async def reconcile(key: k.ObjectKey) -> k.Result:
            known = namespaces.store.get(k.ObjectKey("", key.namespace)) is not None
            (placed if known else waiting).append(key.name)
            return k.DONE

        def in_namespace(namespace: k.Namespace) -> list[k.ObjectKey]:
            return [one.key for one in widgets.store.list() if one.key.namespace == namespace.key.name]

        runtime.controller("widgets", reconcile).for_(widgets).watches(namespaces, in_namespace)

    async with client_of(cluster, Widget) as client, at_work(cluster, wire):
        await passed(1)
        cluster.server.hold("namespaces")
        await client.create(k.Namespace(metadata=k.ObjectMeta(name="new")))
        await client.create(Widget(metadata=k.ObjectMeta(name="a", namespace="new")))
        await passed(1)
        assert (waiting, placed) == (["a"], [])  # who gives up here gives up for good
        cluster.server.release("namespaces")
        await passed(1)
        assert placed == ["a"]
