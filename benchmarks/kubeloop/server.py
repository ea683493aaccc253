"""A replay server on loopback: answers as kube-apiserver does, from bytes made beforehand, so that it never is what
limits a client.

    python -m benchmarks.kubeloop.server --pods 10000       # prints its port

Served: discovery, version, pods (list, pages, watch, WatchList, PATCH of the status), namespaces and CRDs (none), as
far as the clients ask. Plain HTTP/1.1, no compression. Watches stay open; each event is a chunk of its own.

Its own: POST /bench/events?count=N[&per_s=R] sends N MODIFIED events, of pod 0, 1, ..., on the open watches of pods; as
fast as they are taken, or at a pace. GET /bench/sent gives the CLOCK_MONOTONIC of each paced event's sending.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.kubeloop import traffic
from benchmarks.kubeloop.protobuf import Protobuf
from benchmarks.kubeloop.traffic import LISTED, PROTOBUF_TYPE, VERSION, Form

AT_ONCE = 1 << 18

VERSION_INFO = {"major": "1", "minor": "37", "gitVersion": "v1.37.2", "platform": "linux/amd64"}
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def _resource(plural: str, kind: str, *, namespaced: bool) -> dict[str, Any]:
    return {"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind, "verbs": VERBS}


def _resources(group_version: str, *resources: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def _group(name: str, version: str) -> dict[str, Any]:
    found = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [found], "preferredVersion": found}


def _empty(kind: str, api_version: str) -> dict[str, Any]:
    return {"kind": kind, "apiVersion": api_version, "metadata": {"resourceVersion": str(LISTED)}, "items": []}


CRDS = "/apis/apiextensions.k8s.io/v1"
FIXED: dict[str, dict[str, Any]] = {
    "/version": VERSION_INFO,
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group("apiextensions.k8s.io", "v1")]},
    "/api/v1": _resources(
        "v1",
        _resource("pods", "Pod", namespaced=True),
        {**_resource("pods/status", "Pod", namespaced=True), "verbs": ["get", "patch", "update"]},
        _resource("namespaces", "Namespace", namespaced=False),
        _resource("events", "Event", namespaced=True),
    ),
    CRDS: _resources(
        "apiextensions.k8s.io/v1",
        _resource("customresourcedefinitions", "CustomResourceDefinition", namespaced=False),
    ),
    "/api/v1/namespaces": _empty("NamespaceList", "v1"),
    f"{CRDS}/customresourcedefinitions": _empty("CustomResourceDefinitionList", "apiextensions.k8s.io/v1"),
}


class Traffic:
    """The pods in one form, cut where their version stands."""

    def __init__(self, form: Form, count: int) -> None:
        self.form = form
        self.pods = list(traffic.pods(form, count))
        self._initial = _chunks(form.event(b"ADDED", pod) for pod in self.pods)
        self._cut = [tuple(pod.split(str(int(VERSION) + n).encode(), 1)) for n, pod in enumerate(self.pods)]

    def page(self, start: int, limit: int) -> bytes:
        """Some of a list; the continue token is the next pod's number."""
        end = min(start + limit, len(self.pods)) if limit else len(self.pods)
        return self.form.page(self.pods[start:end], str(end) if end < len(self.pods) else "")

    def initial(self) -> bytes:
        """What a WatchList begins with, as chunks."""
        return self._initial + _chunks([self.form.initial_events_end()])

    def modified(self, number: int, version: int) -> bytes:
        """One event, as a chunk."""
        head, tail = self._cut[number % len(self._cut)]
        return _chunk(self.form.event(b"MODIFIED", head + str(version).encode() + tail))

    def patched(self, name: str, patch: dict[str, Any], version: int) -> bytes:
        """The pod as after a merge patch."""
        pod = json.loads(self.pods[traffic.number_of(name)])
        _merge(pod, patch)
        pod["metadata"]["resourceVersion"] = str(version)
        return json.dumps(pod, separators=(",", ":")).encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _chunks(parts: Iterator[bytes] | list[bytes]) -> bytes:
    return b"".join(_chunk(part) for part in parts)


def _merge(body: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        if isinstance(value, dict):
            _merge(body.setdefault(key, {}), value)
        elif value is None:
            body.pop(key, None)
        else:
            body[key] = value


class Server:
    """What all connections share: the traffic, who watches pods, and the version reached.

    Protobuf is made when the first client asks for it.
    """

    def __init__(self, pods: int) -> None:
        self.json = Traffic(traffic.Json(), pods)
        self.protobuf = cache(lambda: Traffic(Protobuf(), pods))
        self.version = LISTED
        self.watchers: set[Connection] = set()
        self.sent: list[float] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start_events(self, count: int, per_s: float) -> None:
        first = self.version + 1
        self.version += count
        served = next((watcher.watched for watcher in self.watchers), self.json)
        events = [served.modified(number, first + number) for number in range(count)]
        self.sent = []
        task = asyncio.ensure_future(self._paced(events, per_s) if per_s else self._burst(b"".join(events)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _burst(self, events: bytes) -> None:
        await asyncio.gather(*(watcher.send(events) for watcher in tuple(self.watchers)))

    async def _paced(self, events: list[bytes], per_s: float) -> None:
        began = time.monotonic()
        for number, event in enumerate(events):
            await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))
            self.sent.append(time.monotonic())
            for watcher in tuple(self.watchers):
                watcher.transport.write(event)


class Connection(asyncio.Protocol):
    """One keep-alive connection; a watch takes it for itself."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self._server = server
        self._received = b""
        self._writable = asyncio.Event()
        self._writable.set()
        self._stream: asyncio.Task[None] | None = None
        self.watched = server.json

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.watchers.discard(self)
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:])}
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            self._received = rest[length:]
            method, target, _ = lines[0].split(" ")
            served = self._server.protobuf() if PROTOBUF_TYPE in headers.get("accept", "") else self._server.json
            self._answer(method, target, rest[:length], served)

    async def send(self, data: bytes) -> None:
        """As fast as the other side takes it."""
        view = memoryview(data)
        for start in range(0, len(data), AT_ONCE):
            await self._writable.wait()
            if self.transport.is_closing():
                return
            self.transport.write(view[start : start + AT_ONCE])

    def _answer(self, method: str, target: str, body: bytes, served: Traffic) -> None:
        url = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        server = self._server
        if url.path == "/bench/events":
            server.start_events(int(query["count"]), float(query.get("per_s", 0)))
            self._whole(b"{}")
        elif url.path == "/bench/sent":
            self._whole(json.dumps(server.sent).encode())
        elif query.get("watch", "").lower() in ("true", "1"):
            self._watch(url.path, query, served)
        elif url.path == "/api/v1/pods":
            page = served.page(int(query.get("continue", 0)), int(query.get("limit", 0)))
            self._whole(page, content_type=served.form.content_type)
        elif method == "PATCH":
            server.version += 1
            self._whole(server.json.patched(url.path.split("/")[6], json.loads(body), server.version))
        elif url.path in FIXED:
            self._whole(json.dumps(FIXED[url.path]).encode())
        else:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            self._whole(json.dumps(status).encode(), status="404 Not Found")

    def _whole(self, body: bytes, *, status: str = "200 OK", content_type: str = traffic.JSON_TYPE) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode())
        self._stream = asyncio.ensure_future(self.send(body))

    def _watch(self, path: str, query: dict[str, str], served: Traffic) -> None:
        content_type = served.form.watch_content_type if path == "/api/v1/pods" else traffic.JSON_TYPE
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.transport.write(head.encode())
        if path == "/api/v1/pods":
            self.watched = served
            initial = served.initial() if query.get("sendInitialEvents") == "true" else b""
            self._stream = asyncio.ensure_future(self._begin_watch(initial))

    async def _begin_watch(self, initial: bytes) -> None:
        await self.send(initial)
        self._server.watchers.add(self)


async def serve(pods: int) -> tuple[asyncio.Server, int]:
    """A server that listens, and its port."""
    state = Server(pods)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(state), "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def _main(pods: int) -> None:
    server, port = await serve(pods)
    print(port, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=10_000)
    asyncio.run(_main(parser.parse_args().pods))
