"""The HTTP front: forms of answers, streams and their ends, what is refused, and who may reach it."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

import kubeloop as k
from kubeloop.simulator import ApiServer, Storage
from kubeloop.simulator.http import HttpSimulator, NotLoopback

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata{};v=v1;g=meta.k8s.io"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


class Raw:
    """Calls of one simulator."""

    def __init__(self, simulator: HttpSimulator, session: aiohttp.ClientSession) -> None:
        self.simulator = simulator
        self._session = session

    async def call(
        self, method: str, path: str, body: object = None, *, accept: str = "", **headers: str
    ) -> tuple[int, Any, str]:
        """Status, body and content type."""
        sent = {"Accept": accept, **{name.replace("_", "-"): value for name, value in headers.items()}}
        data = io.BytesIO(body) if isinstance(body, bytes) else None
        json = None if isinstance(body, bytes) else body
        url = self.simulator.url + path
        async with self._session.request(method, url, json=json, data=data, headers=sent) as answer:
            plain = answer.content_type != "application/json"
            return answer.status, await (answer.text() if plain else answer.json()), answer.headers["Content-Type"]

    def watch(self, path: str, **headers: str) -> Any:
        return self._session.get(f"{self.simulator.url}{path}", headers=headers)


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    async with HttpSimulator() as simulator, aiohttp.ClientSession() as session:
        raw = Raw(simulator, session)
        await raw.call("POST", CONFIG_MAPS, config_map("a"))
        yield raw


def config_map(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"x": "1"}}


async def test_kubeloops_client_works_on_it(raw: Raw) -> None:
    async with k.connect(raw.simulator.config(), user_agent="test/1") as client:
        found = await client.get(k.ConfigMap, "a", namespace="default")
        assert found.data == {"x": "1"}
        with pytest.raises(k.NotFound):
            await client.get(k.ConfigMap, "b", namespace="default")


async def test_two_replicas_share_one_storage(raw: Raw) -> None:
    async with (
        HttpSimulator(ApiServer(raw.simulator.server.storage)) as second,
        k.connect(second.config(), user_agent="test/1") as client,
        client.watch(k.ConfigMap, resource_version="0", namespace="default") as events,
    ):
        objects = (event.object async for event in events if event.object is not None)
        assert (await anext(objects)).metadata.name == "a"
        await raw.call("POST", CONFIG_MAPS, config_map("b"))
        assert (await anext(objects)).metadata.name == "b"


async def test_an_object_is_shown_in_the_form_that_is_asked_for(raw: Raw) -> None:
    path = f"{CONFIG_MAPS}/a"
    _, table, content_type = await raw.call("GET", path, accept=f"{TABLE},application/json")
    assert (table["kind"], table["rows"][0]["cells"][:2], content_type) == ("Table", ["a", 1], "application/json")
    _, partial, _ = await raw.call("GET", path, accept=METADATA.format(""))
    assert set(partial) == {"kind", "apiVersion", "metadata"}
    _, listed, _ = await raw.call("GET", CONFIG_MAPS, accept=METADATA.format("List"))
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a"]
    _, text, content_type = await raw.call("GET", path, accept="application/yaml")
    assert (content_type, "kind: ConfigMap" in text) == ("application/yaml", True)


async def test_a_watch_comes_in_the_form_that_is_asked_for(raw: Raw) -> None:
    async with raw.watch(f"{CONFIG_MAPS}?watch=1", Accept=METADATA.format("")) as watch:
        line = (await watch.content.readline()).decode()
    assert '"kind":"PartialObjectMetadata"' in line
    assert '"data"' not in line


async def test_what_is_not_spoken_is_refused_before_anything_is_done(raw: Raw) -> None:
    protobuf = "application/vnd.kubernetes.protobuf"
    status, said, _ = await raw.call("POST", CONFIG_MAPS, config_map("b"), accept=protobuf)
    assert (status, said["reason"]) == (406, "NotAcceptable")
    assert (await raw.call("GET", f"{CONFIG_MAPS}/b"))[0] == 404
    status, said, _ = await raw.call("GET", f"{CONFIG_MAPS}?watch=1", accept=protobuf)
    assert status == 406
    status, said, _ = await raw.call("POST", CONFIG_MAPS, b"k8s\x00nonsense", Content_Type=protobuf)
    assert (status, said["reason"]) == (415, "UnsupportedMediaType")
    status, said, _ = await raw.call("POST", CONFIG_MAPS, b"a: b", Content_Type="application/yaml")
    assert status == 415


async def test_a_connection_that_would_be_upgraded_is_not_implemented(raw: Raw) -> None:
    path = "/api/v1/namespaces/default/pods/a/exec?command=ls"
    status, said, _ = await raw.call("GET", path, Connection="Upgrade", Upgrade="websocket")
    assert (status, said["reason"]) == (501, "NotImplemented")
    assert "/api/v1/namespaces/default/pods/a/exec" in said["message"]


async def test_a_body_that_is_too_large_is_refused_with_a_status(raw: Raw) -> None:
    status, said, _ = await raw.call("POST", CONFIG_MAPS, b"x" * (3 * 1024 * 1024 + 1))
    assert (status, said["reason"]) == (413, "RequestEntityTooLarge")


async def test_long_selectors_are_read(raw: Raw) -> None:
    names = ",".join(f"name-{number}" for number in range(5000))
    status, listed, _ = await raw.call("GET", f"{CONFIG_MAPS}?labelSelector=x+in+({names})")
    assert (status, listed["items"]) == (200, [])


async def test_a_watch_opens_before_anything_happens_and_ends_in_time(raw: Raw) -> None:
    _, listed, _ = await raw.call("GET", CONFIG_MAPS)
    version = listed["metadata"]["resourceVersion"]
    async with raw.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion={version}&timeoutSeconds=1") as watch:
        assert watch.status == 200
        async with asyncio.timeout(5):
            assert await watch.read() == b""


async def test_a_client_that_goes_leaves_no_watch_behind(raw: Raw) -> None:
    async with raw.watch(f"{CONFIG_MAPS}?watch=1") as watch:
        await watch.content.readline()
        assert raw.simulator.watches == 1
        watch.close()
    async with asyncio.timeout(5):
        while raw.simulator.watches:
            await raw.call("GET", "/healthz")


async def test_a_restart_breaks_watches_off_and_the_end_of_the_server_ends_them() -> None:
    async with aiohttp.ClientSession() as session:
        async with HttpSimulator() as simulator:
            raw = Raw(simulator, session)
            await raw.call("POST", CONFIG_MAPS, config_map("a"))
            async with raw.watch(f"{CONFIG_MAPS}?watch=1") as broken:
                await broken.content.readline()
                simulator.server.restart()
                with pytest.raises((aiohttp.ClientError, ConnectionError)):
                    await broken.read()
            ended = await raw.watch(f"{CONFIG_MAPS}?watch=1")
            await ended.content.readline()
        assert await ended.read() == b""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
async def test_it_is_reached_from_elsewhere_only_when_somebody_says_so(host: str) -> None:
    with pytest.raises(NotLoopback):
        HttpSimulator(host=host)
    HttpSimulator(host=host, reachable=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_any_name_of_loopback_will_do(host: str) -> None:
    HttpSimulator(ApiServer(Storage()), host=host)


async def test_it_says_what_it_serves(raw: Raw) -> None:
    _, core, _ = await raw.call("GET", "/api/v1")
    assert {"pods", "pods/status", "nodes"} <= {one["name"] for one in core["resources"]}
    _, groups, _ = await raw.call("GET", "/apis")
    assert {"apps", "coordination.k8s.io"} <= {one["name"] for one in groups["groups"]}
    _, group, _ = await raw.call("GET", "/apis/apps")
    assert group["preferredVersion"]["groupVersion"] == "apps/v1"
    for path in ("/apis/nonsense", "/apis/nonsense/v1", "/api/v2", "/nonsense", "/openapi/v3/apis/nonsense/v1"):
        assert (await raw.call("GET", path))[0] == 404
    for path in ("/healthz", "/readyz", "/livez"):
        assert (await raw.call("GET", path))[1] == "ok"


@pytest.mark.parametrize(
    "body",
    [
        b'{"metadata":{"name":"b"},"data":{"a":"1"},"data":{"b":"2"}}',
        b'{"metadata":{"name":"b"},"data":{"a":"1","a":"2"}}',
        b'{"metadata":{"name":"b"},"data":{"a":"\xff"}}',
        b'{"metadata":{"name":"b"},"x":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"metadata":{"name":"b"},"x":' + b"[" * 30000 + b"]" * 30000 + b"}",
    ],
    ids=["a field twice", "a key twice", "not UTF-8", "deep", "deeper"],
)
async def test_bodies_that_the_real_server_reads_in_its_own_way_are_not_implemented(raw: Raw, body: bytes) -> None:
    status, said, _ = await raw.call("POST", CONFIG_MAPS, body, Content_Type="application/json")
    assert (status, said["reason"]) == (501, "NotImplemented")
    assert (await raw.call("GET", f"{CONFIG_MAPS}/b"))[0] == 404


async def test_of_a_parameter_that_is_given_twice_the_first_counts(raw: Raw) -> None:
    await raw.call("POST", CONFIG_MAPS, config_map("b"))
    _, listed, _ = await raw.call("GET", f"{CONFIG_MAPS}?limit=2&limit=1&watch=false&watch=true")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a", "b"]


async def test_the_old_paths_of_watches_are_not_implemented(raw: Raw) -> None:
    assert (await raw.call("GET", "/api/v1/watch/namespaces/default/configmaps"))[0] == 501


async def test_compressed_bodies_are_not_read(raw: Raw) -> None:
    status, said, _ = await raw.call("POST", CONFIG_MAPS, b"\x1f\x8bnonsense", Content_Encoding="gzip")
    assert (status, said["reason"]) == (415, "UnsupportedMediaType")


async def test_a_client_that_waits_to_be_told_sends_its_body(raw: Raw) -> None:
    status, _, _ = await raw.call("POST", CONFIG_MAPS, config_map("b"), Expect="100-continue")
    assert status == 201
