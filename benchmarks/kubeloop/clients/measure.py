"""How every client in Python measures itself; the one in Go does the same.

CPU is the process's own, user and system, by getrusage. RSS is VmHWM, the peak so far (ru_maxrss would begin with that
of the process that started this one). The standard library only: it runs in each client's environment.
"""

import argparse
import asyncio
import http.client
import json
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

WORKLOADS = ("cache", "reconcile", "patch")
SETTLE_S = 0.5  # what a list leaves behind is not counted for the events
LONGEST_S = 120.0


@dataclass(frozen=True)
class Arguments:
    server: str
    workload: str
    pods: int
    events: int
    patches: int = 1000
    in_flight: int = 50
    paced: int = 500
    per_s: float = 100.0


def arguments() -> Arguments:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--workload", choices=WORKLOADS, required=True)
    for name in ("pods", "events", "patches", "in-flight", "paced"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Arguments, name.replace("-", "_"), None))
    parser.add_argument("--per-s", type=float, default=Arguments.per_s)
    return Arguments(**vars(parser.parse_args()))


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_rss_mb() -> float:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


class Meter:
    """Laps of CPU. What was used before the first lap, to start and to import, is `start_s`."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {"start_s": cpu_s(), "start_rss_mb": peak_rss_mb()}
        self._cpu = cpu_s()
        self._wall = time.monotonic()

    def begin(self) -> None:
        """What was used since the last lap counts for nothing."""
        self._cpu, self._wall = cpu_s(), time.monotonic()

    def lap(self, name: str, items: int) -> None:
        """The CPU since the last lap, of so many items, and the peak of RSS so far."""
        cpu, wall = cpu_s(), time.monotonic()
        self.figures[f"{name}_us"] = (cpu - self._cpu) / items * 1e6
        self.figures[f"{name}_wall_us"] = (wall - self._wall) / items * 1e6
        self.figures[f"{name}_rss_mb"] = peak_rss_mb()
        self.begin()

    def latencies(self, seen: list[float], sent: list[float]) -> None:
        """Of paced events, by when they were sent and when the user's code was called."""
        taken = sorted(there - then for then, there in zip(sent, seen, strict=True))
        self.figures["latency_ms"] = statistics.median(taken) * 1e3
        self.figures["latency_p99_ms"] = taken[int(len(taken) * 0.99)] * 1e3

    def report(self) -> None:
        json.dump(self.figures, sys.stdout)
        print(flush=True)


class Seen:
    """Counts the calls of the user's code."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._wanted = 0
        self._done = asyncio.Event()

    def expect(self, count: int) -> None:
        self.times.clear()
        self._wanted = count
        self._done.clear()

    def __call__(self) -> None:
        self.times.append(time.monotonic())
        if len(self.times) == self._wanted:
            self._done.set()

    async def all(self) -> None:
        async with asyncio.timeout(LONGEST_S):
            await self._done.wait()


async def events(asked: Arguments, meter: Meter, seen: Seen) -> None:
    """A burst of events, until the user's code was called for each; where it is a reconcile, then some at a pace."""
    await _events(asked, meter, seen, "event", asked.events)
    if asked.workload == "reconcile":
        await _events(asked, meter, seen, "paced", asked.paced, asked.per_s)
        meter.latencies(seen.times, sent(asked.server))


async def _events(asked: Arguments, meter: Meter, seen: Seen, name: str, count: int, per_s: float = 0.0) -> None:
    await asyncio.sleep(SETTLE_S)
    seen.expect(count)
    begin_events(asked.server, count, per_s)
    meter.begin()
    await seen.all()
    meter.lap(name, count)


async def patches(asked: Arguments, meter: Meter, patch: Callable[[int], Awaitable[object]]) -> None:
    """Calls `patch` with the numbers of the pods to patch, so many at a time."""
    numbers = iter(range(asked.patches))

    async def work() -> None:
        for number in numbers:
            await patch(number)

    meter.begin()
    async with asyncio.TaskGroup() as group:
        for _ in range(asked.in_flight):
            group.create_task(work())
    meter.lap("patch", asked.patches)


def begin_events(server: str, count: int, per_s: float) -> None:
    """Asks the replay server for events; the answer comes before them."""
    _bench(server, "POST", f"/bench/events?count={count}&per_s={per_s}")


def sent(server: str) -> list[float]:
    """When each of the last paced events was sent."""
    times: list[float] = json.loads(_bench(server, "GET", "/bench/sent"))
    return times


def _bench(server: str, method: str, path: str) -> bytes:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=60)
    try:
        connection.request(method, path)
        return connection.getresponse().read()
    finally:
        connection.close()
