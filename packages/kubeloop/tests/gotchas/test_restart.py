"""What a controller finds when it starts: what happened before is not told again."""

import kubeloop as k
from kubeloop.simulator import SimulatedCluster
from kubeloop.testing.virtual_time import passed, virtual_time

from ..kinds import Widget
from .running import at_work, client_of

FINALIZER = "gotchas.kubeloop.dev/record"


@virtual_time
async def test_what_began_to_go_while_nobody_ran_is_cleaned_up_and_not_set_up() -> None:
    cluster = SimulatedCluster()
    records: list[str] = []
    arrived: list[tuple[str, bool]] = []

    async def wire(runtime: k.Runtime) -> None:
        widgets = runtime.informer(Widget)

        async def reconcile(key: k.ObjectKey) -> k.Result:
            widget = widgets.store.get(key)
            if widget is None:
                return k.DONE
            if widget.metadata.deleting:
                records.remove(key.name)
                await k.remove_finalizer(runtime.client, widget, FINALIZER)
            elif await k.add_finalizer(runtime.client, widget, FINALIZER) and key.name not in records:
                records.append(key.name)
            return k.DONE

        widgets.add_handler(lambda change: arrived.append((change.kind, change.object.metadata.deleting)))
        runtime.controller("records", reconcile).for_(widgets)

    async with client_of(cluster, Widget) as client:
        async with at_work(cluster, wire):
            await client.create(Widget(metadata=k.ObjectMeta(name="a", namespace="default")))
            await passed(1)
            assert records == ["a"]
        await client.delete(Widget, "a", namespace="default")
        arrived.clear()
        async with at_work(cluster, wire):
            await passed(1)
        assert arrived[0] == ("added", True)  # who sets up on "added" makes the record again
        assert records == []
        assert not (await client.list(Widget)).items
