"""Each example does what it says, on the simulated API server and, unchanged, on a real one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

import kubeloop as k
from kubeloop.simulator import SimulatedCluster
from kubeloop.testing.virtual_time import run_virtual

from .programs import EXAMPLES, load

pod_counter, shared_config, website = load("pod_counter"), load("shared_config"), load("website")

Cluster = k.ClusterConfig | k.Cluster
Run = Callable[[Callable[[Cluster], Coroutine[Any, Any, None]]], None]


class Pod(k.KubeObject, frozen=True, kw_only=True):
    """With what a pod must say."""

    resource: ClassVar[k.Resource] = k.Pod.resource
    spec: Any = None


@pytest.fixture(params=["simulator", "kube-apiserver"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a test on a cluster: in virtual time on the simulated one."""

    def on_simulator(test: Callable[[Cluster], Coroutine[Any, Any, None]]) -> None:
        run_virtual(test(SimulatedCluster()))

    def on_server(test: Callable[[Cluster], Coroutine[Any, Any, None]]) -> None:
        asyncio.run(test(plane.config()))

    if request.param == "simulator":
        return on_simulator
    plane = request.getfixturevalue("control_plane")
    return on_server


@asynccontextmanager
async def at_work(cluster: Cluster, program: Coroutine[Any, Any, None]) -> AsyncIterator[k.Client]:
    async with k.connect(cluster, user_agent="test/1") as client:
        running = asyncio.create_task(program)
        try:
            yield client
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while True:
            with suppress(k.NotFound):
                if await holds():
                    return
            await asyncio.sleep(0.05)


async def made_namespace(client: k.Client, name: str, **labels: str) -> None:
    await client.create(k.Namespace(metadata=k.ObjectMeta(name=name, labels=labels)))


def test_pods_are_counted_on_their_namespace(run: Run) -> None:
    async def counted(cluster: Cluster) -> None:
        async with at_work(cluster, pod_counter.run(cluster)) as client:
            await made_namespace(client, "counted")

            async def has(count: str) -> bool:
                namespace = await client.get(k.Namespace, "counted")
                return namespace.metadata.annotations.get(pod_counter.ANNOTATION) == count

            await until(lambda: has("0"))
            for name in ("a", "b"):
                meta = k.ObjectMeta(name=name, namespace="counted")
                await client.create(Pod(metadata=meta, spec={"containers": [{"name": "main", "image": "main"}]}))
            await until(lambda: has("2"))
            await client.delete(Pod, "a", namespace="counted", grace_period_s=0)
            await until(lambda: has("1"))

    run(counted)


def test_a_config_is_copied_to_the_namespaces_it_names_and_kept_right(run: Run) -> None:
    async def copied(cluster: Cluster) -> None:
        async with at_work(cluster, shared_config.run(cluster)) as client:
            await k.ensure_definitions(client, (shared_config.SharedConfig,))
            await made_namespace(client, "reds", team="red")
            spec = shared_config.SharedConfigSpec(data={"a": "1"}, namespace_labels={"team": "red"})
            await client.create(shared_config.SharedConfig(metadata=k.ObjectMeta(name="one"), spec=spec))

            async def has(namespace: str, **data: str) -> bool:
                return (await client.get(k.ConfigMap, "one", namespace=namespace)).data == data

            await until(lambda: has("reds", a="1"))
            await client.patch(k.ConfigMap, "one", k.MergePatch({"data": {"a": "2"}}), namespace="reds")
            await until(lambda: has("reds", a="1"))
            await made_namespace(client, "more-reds", team="red")
            await until(lambda: has("more-reds", a="1"))

            async def told() -> bool:
                shared = await client.get(shared_config.SharedConfig, "one")
                return bool(shared.status.copies == 2)

            await until(told)

    run(copied)


def test_a_website_has_its_pages_and_its_name_until_it_is_gone(run: Run, tmp_path: Path) -> None:
    name = tmp_path / "www.example.org"

    async def served(cluster: Cluster) -> None:
        async with at_work(cluster, website.run(cluster, website.Zone(tmp_path))) as client:
            await k.ensure_definitions(client, (website.Website,))

            async def makes(site: str, then: str) -> None:
                meta = k.ObjectMeta(name=site, namespace="default")
                spec = website.WebsiteSpec(host="www.example.org", pages={"index.html": site})
                await client.create(website.Website(metadata=meta, spec=spec))
                await until(lambda: says(site, then))

            async def says(site: str, reason: str) -> bool:
                found = await client.get(website.Website, site, namespace="default")
                ready = k.find_condition(found.status.conditions, "Ready")
                return ready is not None and ready.reason == reason

            async def has_gone(site: str) -> bool:
                return all(one.key.name != site for one in (await client.list(website.Website)).items)

            await makes("first", then="Published")
            await makes("second", then="NameTaken")
            assert (await client.get(k.ConfigMap, "first", namespace="default")).data == {"index.html": "first"}
            first = await client.get(website.Website, "first", namespace="default")
            assert str(name.readlink()) == first.metadata.uid

            await client.delete(website.Website, "second", namespace="default")
            await until(lambda: has_gone("second"))
            assert name.is_symlink()
            await client.delete(website.Website, "first", namespace="default")
            await until(lambda: has_gone("first"))
            assert not name.is_symlink()

    run(served)


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.name)
def test_an_example_has_less_than_a_hundred_lines(file: Path) -> None:
    assert len(file.read_text().splitlines()) < 100


@pytest.mark.parametrize(("name", "kind"), [("shared_config", "SharedConfig"), ("website", "Website")])
def test_the_manifest_has_the_definition_that_the_types_make(name: str, kind: str) -> None:
    definition = next(yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text()))
    assert definition == k.custom_resource_definition(getattr(load(name), kind))
