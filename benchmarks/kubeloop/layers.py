"""Where kubeloop's CPU for an event goes, by layer: the same lines from memory, with ever more of it above them.

    python -m benchmarks.kubeloop.layers

Prints microseconds an event as JSON: to decode it, for informer and store, for queue and controller. What the whole
client uses beyond their sum is aiohttp, the event loop and the kernel. The least of several turns, as a disturbance
only adds.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import kubeloop as k
from benchmarks.kubeloop import traffic
from kubeloop.client.watching import decode_events

PODS = 5000
TURNS = 5


class Lines:
    """A cluster whose watch is lines in memory: what is there, and once `more` is set an event for each."""

    def __init__(self) -> None:
        form = traffic.Json()
        pods = list(traffic.pods(form, PODS))
        self.first = [form.event(b"ADDED", pod) for pod in pods] + [form.initial_events_end()]
        self.then = [
            form.event(b"MODIFIED", pod.replace(b"%d" % (int(traffic.VERSION) + n), b"%d" % (traffic.LISTED + 1 + n)))
            for n, pod in enumerate(pods)
        ]
        self.more = asyncio.Event()

    def transport(self, **_: Any) -> Any:
        return self

    async def close(self) -> None: ...

    @asynccontextmanager
    async def stream(self, request: k.Request, **_: Any) -> AsyncIterator[AsyncIterator[bytes]]:
        yield self._lines()

    async def _lines(self) -> AsyncIterator[bytes]:
        for line in self.first:
            yield line
        await self.more.wait()
        async for line in each(self.then):
            yield line
        await asyncio.Event().wait()


async def each(lines: list[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


async def decoding() -> float:
    lines = each(Lines().then)
    began = time.process_time()
    async for _ in decode_events(k.Pod, lines):
        pass
    return time.process_time() - began


async def followed(*, controlled: bool) -> float:
    cluster = Lines()
    async with k.open_runtime(cluster, name="layers") as runtime:
        pods = runtime.informer(k.Pod)
        calls, done = 0, asyncio.Event()

        def called() -> None:
            nonlocal calls
            calls += 1
            if calls % PODS == 0:
                done.set()

        async def reconcile(key: k.ObjectKey) -> k.Result:
            called()
            return k.DONE

        if controlled:
            runtime.controller("layers", reconcile).for_(pods)
        else:
            pods.add_handler(lambda _: called())
        running = asyncio.create_task(runtime.run())
        await done.wait()
        done.clear()
        began = time.process_time()
        cluster.more.set()
        await done.wait()
        used = time.process_time() - began
        running.cancel()
        await asyncio.wait([running])
    return used


def main() -> None:
    decoded = min(asyncio.run(decoding()) for _ in range(TURNS))
    cached = min(asyncio.run(followed(controlled=False)) for _ in range(TURNS))
    reconciled = min(asyncio.run(followed(controlled=True)) for _ in range(TURNS))
    layers = {"decode": decoded, "informer and store": cached - decoded, "queue and controller": reconciled - cached}
    print(json.dumps({name: used / PODS * 1e6 for name, used in layers.items()}))


if __name__ == "__main__":
    main()
