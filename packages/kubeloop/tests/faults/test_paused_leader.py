"""Two replicas, and the leader stands still for a minute: one lineage of writes."""

import asyncio
import itertools
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from kubeloop.client.client import connect
from kubeloop.model.base import ObjectMeta
from kubeloop.testing import ControlPlane

from .observer import NAMESPACE, ConfigMap

RENEW_DEADLINE_S = 10.0  # of LeaderElection, by default
PROGRAM = Path(__file__).with_name("replica.py")


@asynccontextmanager
async def replica(plane: ControlPlane, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(sys.executable, str(PROGRAM), str(plane.kubeconfig), name)
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


class Lineage:
    """Who wrote the counter, write by write."""

    def __init__(self) -> None:
        self.writers: list[str] = []
        self._wrote: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def follow(self, plane: ControlPlane, version: str) -> None:
        async with (
            connect(plane.config(), user_agent="judge/1") as client,
            client.watch(ConfigMap, namespace=NAMESPACE, resource_version=version) as events,
        ):
            async for event in events:
                if event.object is not None and event.object.metadata.name == "counter":
                    writer = event.object.data["writer"]
                    self.writers.append(writer)
                    self._wrote[writer].set()

    async def wait_for(self, writer: str, *, timeout_s: float) -> None:
        await asyncio.wait_for(self._wrote[writer].wait(), timeout_s)


def write_times(plane: ControlPlane, user_agent: str) -> list[float]:
    """When the API server received the writes that it then accepted."""
    return [
        datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
        for event in plane.audit()
        if event["userAgent"] == user_agent
        and event["verb"] not in ("get", "list", "watch")
        and event["responseStatus"]["code"] < 300
    ]


async def test_a_leader_that_stood_still_for_a_minute_writes_no_more(plane: ControlPlane) -> None:
    async with connect(plane.config(), user_agent="judge/1") as client:
        counter = await client.create(ConfigMap(metadata=ObjectMeta(name="counter", namespace=NAMESPACE)))
    lineage = Lineage()
    async with replica(plane, "a") as first, asyncio.TaskGroup() as tasks:
        following = tasks.create_task(lineage.follow(plane, counter.metadata.resource_version))
        await lineage.wait_for("a", timeout_s=20)
        async with replica(plane, "b"):
            await asyncio.sleep(3)
            first.send_signal(signal.SIGSTOP)
            await lineage.wait_for("b", timeout_s=30)
            await asyncio.sleep(45)
            first.send_signal(signal.SIGCONT)
            assert await asyncio.wait_for(first.wait(), 20) == 1
            await asyncio.sleep(1)
        following.cancel()
    assert [writer for writer, _ in itertools.groupby(lineage.writers)] == ["a", "b"]
    of_a, of_b = write_times(plane, "replica-a/1"), write_times(plane, "replica-b/1")
    assert max(of_a) < min(of_b)
    assert max(of_a) < max(write_times(plane, "lease-a/1")) + RENEW_DEADLINE_S
