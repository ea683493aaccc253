"""A controller for these tests, as one would ship it: each ConfigMap with the label `mirror=wanted` gets a mirror."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import kubeloop as k
from kubeloop.testing.world import World

Main = Callable[[k.Cluster], Coroutine[Any, Any, None]]

LEASE = k.LeaseName("default", "mirror")


def mirror(*, lease: k.LeaseName | None = None) -> Main:
    """The main of one replica."""

    async def main(cluster: k.Cluster) -> None:
        async with k.open_runtime(cluster, name="mirror", lease=lease) as runtime:
            originals = runtime.informer(k.ConfigMap, label_selector="mirror=wanted")
            mirrors = runtime.informer(k.ConfigMap, label_selector="mirror=made")

            async def reconcile(key: k.ObjectKey) -> k.Result:
                original = originals.store.get(key)
                there = mirrors.store.get(_mirror_of(key))
                if original is None:
                    if there is not None:
                        await runtime.client.delete(k.ConfigMap, there.key.name, namespace=key.namespace)
                elif there is None or there.data != original.data:
                    await runtime.client.apply(_mirror(key, original), force=True)
                return k.DONE

            runtime.controller("mirror", reconcile).for_(originals).watches(mirrors, lambda one: [_original_of(one)])
            await runtime.run()

    return main


def _mirror_of(key: k.ObjectKey) -> k.ObjectKey:
    return k.ObjectKey(key.namespace, f"{key.name}-mirror")


def _original_of(mirror: k.ConfigMap) -> k.ObjectKey:
    return k.ObjectKey(mirror.metadata.namespace, mirror.metadata.name.removesuffix("-mirror"))


def _mirror(key: k.ObjectKey, original: k.ConfigMap) -> k.ConfigMap:
    name = _mirror_of(key).name
    meta = k.ObjectMeta(name=name, namespace=key.namespace, labels={"mirror": "made"})
    return k.ConfigMap(metadata=meta, data=original.data)


async def write(world: World, name: str, text: str) -> None:
    """A user's."""
    meta = k.ObjectMeta(name=name, namespace="default", labels={"mirror": "wanted"})
    await world.client.apply(k.ConfigMap(metadata=meta, data={"text": text}))


async def people(world: World) -> None:
    """What users do: for half a minute they write, change and delete."""
    for number in range(8):
        await write(world, f"c{number}", "first")
        await asyncio.sleep(world.random.uniform(0, 3))
    for number in range(4):
        await write(world, f"c{number}", "second")
        await asyncio.sleep(world.random.uniform(0, 3))
    for number in (3, 7):
        await world.client.delete(k.ConfigMap, f"c{number}", namespace="default")
        await asyncio.sleep(world.random.uniform(0, 3))


async def in_step(world: World) -> None:
    """Every ConfigMap has its mirror, and there is no other."""
    there = await world.client.list(k.ConfigMap, namespace="default", label_selector="mirror")
    texts = {one.metadata.name: one.data["text"] for one in there.items}
    originals = {name: text for name, text in texts.items() if not name.endswith("-mirror")}
    assert len(originals) == 6, texts
    assert texts == originals | {f"{name}-mirror": text for name, text in originals.items()}
