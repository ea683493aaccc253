"""The replay server and kubeloop's part of the benchmark, small: that they measure what they say."""

import asyncio
import json
import sys

import pytest

import kubeloop as k
from benchmarks.kubeloop import server, traffic
from benchmarks.kubeloop.protobuf import Protobuf
from kubeloop.client.transport import HttpTransport
from kubeloop.informer.reflector import PAGE

PODS = 100


async def client_of_benchmark(port: int, workload: str) -> dict[str, float]:
    sizes = [argument for name in ("pods", "events", "patches", "paced") for argument in (f"--{name}", str(PODS))]
    argv = ["-m", "benchmarks.kubeloop.clients.kubeloop", "--server", f"http://127.0.0.1:{port}"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *argv, "--workload", workload, *sizes, "--per-s", "1000", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    figures: dict[str, float] = json.loads(output)
    return figures


@pytest.mark.parametrize(
    ("workload", "measured"),
    [("cache", ["list_us", "event_us"]), ("reconcile", ["list_us", "event_us", "paced_us"]), ("patch", ["patch_us"])],
)
async def test_a_client_measures_each_of_its_workloads(workload: str, measured: list[str]) -> None:
    listening, port = await server.serve(PODS)
    async with listening:
        figures = await client_of_benchmark(port, workload)
    assert all(1 < figures[name] < 1e5 for name in measured)
    assert figures["start_rss_mb"] > 10


async def test_replayed_pods_are_told_apart_and_go_on_from_list_to_events() -> None:
    listening, port = await server.serve(PAGE + 1)
    config = k.ClusterConfig(f"http://127.0.0.1:{port}")
    async with listening, k.connect(config, user_agent="test") as client:
        pages = [page async for page in client.pages(k.Pod, limit=PAGE)]
        assert [len(page.items) for page in pages] == [PAGE, 1]
        pods = [pod for page in pages for pod in page.items]
        assert len({pod.metadata.uid for pod in pods}) == len({pod.key for pod in pods}) == PAGE + 1
        assert len({pod.status.pod_ip for pod in pods}) == PAGE + 1
        assert len({pod.spec.node_name for pod in pods}) == 200
        async with client.watch(k.Pod, resource_version=pages[-1].resource_version) as events:
            async with HttpTransport(config, user_agent="test") as transport:
                await transport.request(k.Request("POST", "/bench/events", (("count", "1"),)), timeout_s=5)
            event = await anext(events)
        assert event.type == "MODIFIED"
        assert int(event.resource_version) > int(pages[-1].resource_version)


def test_the_protobuf_of_a_pod_says_the_same_as_its_json() -> None:
    for number, (text, binary) in enumerate(
        zip(traffic.pods(traffic.Json(), 3), traffic.pods(Protobuf(), 3), strict=True)
    ):
        pod = json.loads(text)
        assert pod["metadata"]["name"] == traffic.name(number)
        for value in (
            pod["metadata"]["name"],
            pod["metadata"]["uid"],
            pod["metadata"]["resourceVersion"],
            pod["spec"]["nodeName"],
            pod["status"]["podIP"],
        ):
            assert value.encode() in binary
