"""A small controller for tests of the harness, right and with faults of its own: it copies `spec.wanted` to the
status.
"""

import contextlib
import itertools
from typing import ClassVar

import kubeloop as k
from kubeloop.testing import Scenario, World


class CounterSpec(k.KubeStruct, frozen=True, kw_only=True):
    wanted: int = 0


class CounterStatus(k.KubeStruct, frozen=True, kw_only=True):
    said: int = 0


class Counter(k.KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[k.Resource] = k.Resource("tests.kubeloop.dev", "v1", "counters", "Counter")

    spec: CounterSpec = CounterSpec()
    status: CounterStatus = CounterStatus()


async def run(cluster: k.ClusterConfig | k.Cluster, *, swallows: tuple[type[Exception], ...] = ()) -> None:
    async with k.open_runtime(cluster, name="counters") as runtime:
        counters = runtime.informer(Counter)

        async def reconcile(key: k.ObjectKey) -> k.Result:
            counter = counters.store.get(key)
            if counter is not None and counter.status.said != counter.spec.wanted:
                patch = k.MergePatch({"status": {"said": counter.spec.wanted}})
                with contextlib.suppress(*swallows):
                    await runtime.client.patch(Counter, key.name, patch, namespace=key.namespace, subresource="status")
            return k.DONE

        runtime.controller("counters", reconcile).for_(counters)
        await runtime.run()


async def run_without_repair(cluster: k.Cluster) -> None:
    """What fails it does not try again."""
    await run(cluster, swallows=(k.ApiError,))


async def make(world: World) -> None:
    counter = Counter(metadata=k.ObjectMeta(name="one", namespace="default"), spec=CounterSpec(wanted=1))
    await world.client.create(counter)


async def change(world: World) -> None:
    (counter,) = world.list(Counter)
    patch = k.MergePatch({"spec": {"wanted": counter.spec.wanted + 1}})
    await world.client.patch(Counter, "one", patch, namespace="default")


def it_is_said(world: World) -> None:
    for counter in world.list(Counter):
        assert counter.status.said == counter.spec.wanted


def nobody_says_two(world: World) -> None:
    said = [counter.status.said for counter in world.list(Counter)]
    assert 2 not in said


async def spin(world: World) -> None:
    while True:
        pass


_outlives = itertools.count()


async def make_another(world: World) -> None:
    """Its name depends on how often it was called in this process."""
    metadata = k.ObjectMeta(name=f"c-{next(_outlives)}", namespace="default")
    await world.client.create(Counter(metadata=metadata, spec=CounterSpec(wanted=1)))


RIGHT = Scenario(name="right", controller=run, kinds=(Counter,), steps=(make, change), finally_=(it_is_said,))
WRONG = Scenario(
    name="wrong",
    controller=run,
    kinds=(Counter,),
    steps=(make, change),
    always=(nobody_says_two,),
    finally_=(it_is_said,),
)
ONCE = Scenario(
    name="once", controller=run_without_repair, kinds=(Counter,), steps=(make, *4 * (change,)), finally_=(it_is_said,)
)
OUTLIVING = Scenario(name="outliving", controller=run, kinds=(Counter,), steps=(make_another,))
SPINNING = Scenario(name="spinning", controller=run, kinds=(Counter,), steps=(spin,))
FAMILY = {"a": Scenario(name="family-a", controller=run, steps=())}
