"""What the tests of faults watch with: a controller that keeps account of what reached it, and a load on the server."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar

from kubeloop.client import errors
from kubeloop.client.client import Client, MergePatch, connect
from kubeloop.client.config import ClusterConfig
from kubeloop.controller.controller import DONE, Controller, Result
from kubeloop.informer.informer import Informer
from kubeloop.informer.store import Change
from kubeloop.metrics import Metrics
from kubeloop.model.base import KubeObject, ObjectKey, ObjectMeta, Resource

NAMESPACE = "default"
WITHIN_S = 5.0


class ConfigMap(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("", "v1", "configmaps", "ConfigMap")

    data: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it


class Observer:
    """An informer and a controller on the ConfigMaps of a namespace."""

    def __init__(self, client: Client) -> None:
        self.metrics = Metrics()
        self.informer = Informer(client, ConfigMap, namespace=NAMESPACE, metrics=self.metrics)
        self.reconciled: dict[ObjectKey, str] = {}  # the version that the last reconcile of a key has found, or ""
        self.known: dict[str, ObjectKey] = {}  # every object that ever was in the store, by UID
        self.told_gone: set[str] = set()
        self.informer.add_handler(self._handle)
        self.controller = Controller("observer", self._reconcile)
        self.controller.watches(self.informer, lambda obj: (obj.key,))

    @property
    def relists(self) -> int:
        """Lists after the first."""
        samples = [sample for metric in self.metrics.relists.collect() for sample in metric.samples]
        return int(sum(sample.value for sample in samples if sample.name.endswith("_total"))) - 1

    def problems(self, listed: Mapping[ObjectKey, ConfigMap]) -> str:
        """Where store, reconciles and deletions differ from a consistent list; empty when nowhere."""
        wanted = {key: obj.metadata.resource_version for key, obj in listed.items()}
        stored = {obj.key: obj.metadata.resource_version for obj in self.informer.store.list()}
        reconciled = {key: version for key, version in self.reconciled.items() if version}
        there = {obj.metadata.uid for obj in listed.values()}
        silent = [str(key) for uid, key in self.known.items() if uid not in there | self.told_gone]
        found = {
            "store": _difference(stored, wanted),
            "reconciled": _difference(reconciled, wanted),
            "deletions not told": silent,
        }
        return ", ".join(f"{what}: {which}" for what, which in found.items() if which)

    def _handle(self, change: Change[ConfigMap]) -> None:
        if change.old is not None:
            self.known[change.old.metadata.uid] = change.old.key
        if change.new is not None:
            self.known[change.new.metadata.uid] = change.new.key
        elif change.old is not None:
            self.told_gone.add(change.old.metadata.uid)

    async def _reconcile(self, key: ObjectKey) -> Result:
        obj = self.informer.store.get(key)
        self.reconciled[key] = obj.metadata.resource_version if obj else ""
        return DONE


def _difference(found: Mapping[ObjectKey, str], wanted: Mapping[ObjectKey, str]) -> list[str]:
    return sorted(str(key) for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))


@asynccontextmanager
async def observing(config: ClusterConfig) -> AsyncIterator[Observer]:
    """A controller at work, which has synced."""
    async with connect(config, user_agent="observer/1") as client, asyncio.TaskGroup() as tasks:
        observer = Observer(client)
        running = [tasks.create_task(observer.informer.run()), tasks.create_task(observer.controller.run())]
        async with asyncio.timeout(15):
            await observer.informer.wait_synced()
        try:
            yield observer
        finally:
            for task in running:
                task.cancel()


class Load:
    """Creates, changes and deletes ConfigMaps, and lets no failure stop it."""

    def __init__(self, client: Client) -> None:
        self.writes = 0
        self._client = client
        self._ended = False

    async def run(self, writer: int) -> None:
        while not self._ended:
            try:
                await self._write(f"load-{writer}-{random.randrange(8)}")
            except (errors.Unavailable, errors.Throttled, errors.NotFound, errors.AlreadyExists):
                await asyncio.sleep(0.1)
            else:
                self.writes += 1
            await asyncio.sleep(0.02)

    async def _write(self, name: str) -> None:
        try:
            found = await self._client.get(ConfigMap, name, namespace=NAMESPACE)
        except errors.NotFound:
            await self._client.create(ConfigMap(metadata=ObjectMeta(name=name, namespace=NAMESPACE)))
            return
        if random.random() < 0.4:
            await self._client.delete(ConfigMap, name, namespace=NAMESPACE, uid=found.metadata.uid)
        else:
            change = MergePatch({"data": {"at": str(time.monotonic_ns())}})
            await self._client.patch(ConfigMap, name, change, namespace=NAMESPACE)

    def end(self) -> None:
        self._ended = True


@asynccontextmanager
async def loading(config: ClusterConfig) -> AsyncIterator[Load]:
    """Four writers, until the block ends and their last write is done."""
    async with connect(config, user_agent="load/1", timeout_s=2) as client, asyncio.TaskGroup() as tasks:
        load = Load(client)
        for writer in range(4):
            tasks.create_task(load.run(writer))
        try:
            yield load
        finally:
            load.end()


async def list_now(config: ClusterConfig) -> dict[ObjectKey, ConfigMap]:
    """A consistent list."""
    async with connect(config, user_agent="judge/1") as client:
        return {obj.key: obj for obj in (await client.list_all(ConfigMap, namespace=NAMESPACE)).items}


async def check_converged(observer: Observer, config: ClusterConfig, *, since: float) -> None:
    """The observer knows all, within 5 s of `since` (of `time.monotonic`), when the fault ended."""
    listed = await list_now(config)
    while problems := observer.problems(listed):
        assert time.monotonic() < since + WITHIN_S, f"{WITHIN_S} s after the fault: {problems}"
        await asyncio.sleep(0.02)
    print(f"converged {time.monotonic() - since:.2f} s after the fault, relists: {observer.relists}")
