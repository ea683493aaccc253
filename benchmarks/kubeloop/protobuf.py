"""As much of Kubernetes' protobuf as a replay needs: one pod as recorded, in lists and watch events.

Source: apimachinery, pkg/runtime/serializer/protobuf (an object is `k8s\\0` and an Unknown with type and raw bytes; an
event of a watch has four bytes of length before it) and pkg/apis/meta/v1/generated.proto, for the numbers of fields.
"""

from collections.abc import Iterable, Iterator

from benchmarks.kubeloop.traffic import LISTED, PROTOBUF_POD, PROTOBUF_TYPE, VERSION

MAGIC = b"k8s\0"
RAW = 2  # Unknown
METADATA, ITEMS = 1, 2  # Pod, PodList
RESOURCE_VERSION, ANNOTATIONS = 6, 12  # ObjectMeta


class Protobuf:
    content_type = PROTOBUF_TYPE
    watch_content_type = f"{PROTOBUF_TYPE};stream=watch"

    def pod(self) -> bytes:
        unknown = dict(_fields(PROTOBUF_POD.read_bytes().removeprefix(MAGIC)))
        pod = unknown[RAW]
        metadata = dict(_fields(pod))[METADATA]
        versioned = _replaced(metadata, RESOURCE_VERSION, VERSION.encode())
        return _replaced(pod, METADATA, versioned)

    def page(self, pods: Iterable[bytes], continue_: str) -> bytes:
        meta = _field(2, str(LISTED).encode()) + _field(3, continue_.encode())
        return _object(b"PodList", _field(METADATA, meta) + b"".join(_field(ITEMS, pod) for pod in pods))

    def event(self, kind: bytes, pod: bytes) -> bytes:
        event = _field(1, kind) + _field(2, _field(1, _object(b"Pod", pod)))
        return len(event).to_bytes(4, "big") + event

    def initial_events_end(self) -> bytes:
        mark = _field(1, b"k8s.io/initial-events-end") + _field(2, b"true")
        meta = _field(RESOURCE_VERSION, str(LISTED).encode()) + _field(ANNOTATIONS, mark)
        return self.event(b"BOOKMARK", _field(METADATA, meta))


def _object(kind: bytes, raw: bytes) -> bytes:
    return MAGIC + _field(1, _field(1, b"v1") + _field(2, kind)) + _field(RAW, raw)


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    low = b""
    while value > 0x7F:
        low += bytes([value & 0x7F | 0x80])
        value >>= 7
    return low + bytes([value])


def _replaced(message: bytes, number: int, data: bytes) -> bytes:
    return b"".join(_field(number, data) if at == number else encoded for at, _, encoded in _parts(message))


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    return ((number, data) for number, data, _ in _parts(message))


def _parts(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, data and whole encoding of each field; of the wire types there are only varints and bytes here."""
    at = 0
    while at < len(message):
        begin = at
        tag, at = _read_varint(message, at)
        if tag & 7 == 2:
            length, at = _read_varint(message, at)
            at += length
            data = message[at - length : at]
        else:
            assert tag & 7 == 0
            start = at
            _, at = _read_varint(message, at)
            data = message[start:at]
        yield tag >> 3, data, message[begin:at]


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (message[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if message[at - 1] < 0x80:
            return value, at
