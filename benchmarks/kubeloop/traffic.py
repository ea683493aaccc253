"""The traffic that every client is served: one recorded pod, multiplied deterministically.

Pod number i has its own name, namespace (one of 100), UID, node (one of 200), IP and resourceVersion; each of them as
long as the recorded one, so that protobuf, which counts bytes, stays right. Nothing else differs from pod to pod.

A `Form` is how one media type puts pods into lists and watch events; `Json` is what all clients read, `Protobuf` (in
`protobuf`) what client-go prefers for the built-in kinds.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

RECORDED = Path(__file__).parent / "recorded"
JSON_POD = RECORDED / "pod.json"
PROTOBUF_POD = RECORDED / "pod.pb"
JSON_TYPE = "application/json"
PROTOBUF_TYPE = "application/vnd.kubernetes.protobuf"

NAME = "checkout-7d9c6b5f84-00000"
NAMESPACE = "shop-00"
NODE = "worker-000.example.internal"
POD_IP = "10.100.100.100"
VERSION = "100000000"  # stands for the recorded resourceVersion, which is shorter

LISTED = 200_000_000  # the collection's version when it is listed; pods are older, events newer


class Form(Protocol):
    """Bytes of one media type."""

    content_type: str
    watch_content_type: str

    def pod(self) -> bytes:
        """The recorded pod, of version `VERSION`."""
        ...

    def page(self, pods: Iterable[bytes], continue_: str) -> bytes: ...

    def event(self, kind: bytes, pod: bytes) -> bytes: ...

    def initial_events_end(self) -> bytes:
        """The bookmark after the initial events of a WatchList."""
        ...


class Json:
    content_type = watch_content_type = JSON_TYPE

    def pod(self) -> bytes:
        return re.sub(
            rb'"resourceVersion":"\d+"', b'"resourceVersion":"%s"' % VERSION.encode(), JSON_POD.read_bytes().rstrip()
        )

    def page(self, pods: Iterable[bytes], continue_: str) -> bytes:
        meta = json.dumps({"resourceVersion": str(LISTED)} | ({"continue": continue_} if continue_ else {}))
        # the items of a list do not say their kind
        items = b",".join(pod.replace(b'"kind":"Pod","apiVersion":"v1",', b"", 1) for pod in pods)
        return b'{"kind":"PodList","apiVersion":"v1","metadata":%s,"items":[%s]}' % (meta.encode(), items)

    def event(self, kind: bytes, pod: bytes) -> bytes:
        return b'{"type":"%s","object":%s}\n' % (kind, pod)

    def initial_events_end(self) -> bytes:
        marks = {"k8s.io/initial-events-end": "true"}
        meta = {"resourceVersion": str(LISTED), "annotations": marks, "creationTimestamp": None}
        pod = {"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": {"containers": None}, "status": {}}
        return self.event(b"BOOKMARK", json.dumps(pod, separators=(",", ":")).encode())


def pods(form: Form, count: int) -> Iterator[bytes]:
    """The pods 0 to `count`."""
    recorded = form.pod()
    uid = json.loads(JSON_POD.read_bytes())["metadata"]["uid"]
    for number in range(count):
        pod = recorded
        for old, new in _names(number, uid):
            pod = pod.replace(old.encode(), new.encode())
        yield pod


def name(number: int) -> str:
    """Of pod `number`."""
    return f"{NAME[:-5]}{number:05}"


def namespace(number: int) -> str:
    """Of pod `number`."""
    return f"{NAMESPACE[:-2]}{number % 100:02}"


def number_of(pod_name: str) -> int:
    """Which pod this is."""
    return int(pod_name[-5:])


def _names(number: int, uid: str) -> Iterator[tuple[str, str]]:
    yield NAME, name(number)
    yield NAMESPACE, namespace(number)
    yield uid, f"{number:08x}{uid[8:]}"
    yield NODE, NODE.replace("000", f"{number % 200:03}")
    yield POD_IP, f"10.{100 + number // 22500}.{100 + number // 150 % 150}.{100 + number % 150}"
    yield VERSION, str(int(VERSION) + number)
