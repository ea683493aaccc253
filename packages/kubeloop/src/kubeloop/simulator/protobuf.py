"""Reads the protobuf in which `kubectl create namespace` and its like send what they make; nothing is written in it.

The messages are those of Kubernetes' generated.proto, as far as kubectl fills them in. A field that is not listed here
is refused unless it is empty: never is something left out silently. To know of: what is no pointer in Go is always
sent, also when it is empty, and means nothing then.
https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from kubeloop.simulator.refusals import Body, Refusal, unsupported_media_type

PROTOBUF = "application/vnd.kubernetes.protobuf"

_MAGIC = b"k8s\x00"
_VARINT, _BYTES = 0, 2

# By message: number -> name and type. `?` is a pointer in Go, whose zero means something; `*` is repeated.
Message = Mapping[int, tuple[str, str]]
_OBJECT = {1: ("metadata", "ObjectMeta"), 3: ("status", "ignored")}
_MESSAGES: Mapping[str, Message] = {
    "ObjectMeta": {
        1: ("name", "text"),
        2: ("generateName", "text"),
        3: ("namespace", "text"),
        8: ("creationTimestamp", "ignored"),
        11: ("labels", "texts"),
        12: ("annotations", "texts"),
        14: ("finalizers", "text*"),
    },
    "v1 Namespace": {**_OBJECT, 2: ("spec", "NamespaceSpec")},
    "NamespaceSpec": {1: ("finalizers", "text*")},
    "v1 ConfigMap": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "texts"),
        3: ("binaryData", "blobs"),
        4: ("immutable", "bool?"),
    },
    "v1 Secret": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "blobs"),
        3: ("type", "text"),
        4: ("stringData", "texts"),
        5: ("immutable", "bool?"),
    },
    "v1 ServiceAccount": {1: ("metadata", "ObjectMeta")},
    "v1 Service": {**_OBJECT, 2: ("spec", "ServiceSpec")},
    "ServiceSpec": {
        1: ("ports", "ServicePort*"),
        2: ("selector", "texts"),
        3: ("clusterIP", "text"),
        4: ("type", "text"),
        10: ("externalName", "text"),
    },
    "ServicePort": {
        1: ("name", "text"),
        2: ("protocol", "text"),
        3: ("port", "int"),
        4: ("targetPort", "int or text"),
        5: ("nodePort", "int"),
    },
    "apps/v1 Deployment": {**_OBJECT, 2: ("spec", "DeploymentSpec")},
    "DeploymentSpec": {
        1: ("replicas", "int?"),
        2: ("selector", "LabelSelector?"),
        3: ("template", "PodTemplateSpec"),
        4: ("strategy", "DeploymentStrategy"),
    },
    "DeploymentStrategy": {1: ("type", "text")},
    "LabelSelector": {1: ("matchLabels", "texts")},
    "PodTemplateSpec": {1: ("metadata", "ObjectMeta"), 2: ("spec", "PodSpec")},
    "PodSpec": {2: ("containers", "Container*")},
    "Container": {
        1: ("name", "text"),
        2: ("image", "text"),
        3: ("command", "text*"),
        4: ("args", "text*"),
        6: ("ports", "ContainerPort*"),
    },
    "ContainerPort": {1: ("name", "text"), 3: ("containerPort", "int"), 4: ("protocol", "text")},
    "policy/v1 Eviction": {1: ("metadata", "ObjectMeta"), 2: ("deleteOptions", "v1 DeleteOptions?")},
    "v1 DeleteOptions": {
        1: ("gracePeriodSeconds", "int?"),
        4: ("propagationPolicy", "text?"),
        5: ("dryRun", "text*"),
    },
    "TypeMeta": {1: ("apiVersion", "text"), 2: ("kind", "text")},
    "Unknown": {1: ("typeMeta", "TypeMeta"), 2: ("raw", "bytes")},
}


def decoded(body: bytes) -> Body:
    """The object. Raises `Refusal` (415) for what is not understood."""
    try:
        if not body.startswith(_MAGIC):
            raise _refusal("it does not begin as protobuf of Kubernetes does")
        envelope = _read("Unknown", body[len(_MAGIC) :])
        type_meta = envelope["typeMeta"]
        name = f"{type_meta['apiVersion']} {type_meta['kind']}"
        if name not in _MESSAGES:
            raise _refusal(f"{name} is not known in it")
        return {**type_meta, **_read(name, envelope.get("raw", b""))}
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise _refusal(f"it is broken: {error!r}") from error


def _refusal(why: str) -> Refusal:
    return unsupported_media_type(
        f"the simulated API server does not read this protobuf: {why}. Send JSON; with kubectl, add --dry-run=client "
        "-o yaml to its command and pipe that into kubectl create -f -"
    )


def _read(name: str, data: bytes) -> Body:
    message = _MESSAGES[name]
    found: Body = {}
    for number, value in _fields(data):
        if number not in message:
            if value:
                raise _refusal(f"field {number} of {name} is not known")
            continue
        field, kind = message[number]
        if kind.endswith("*"):
            found.setdefault(field, []).append(_value(kind[:-1], value))
        elif kind in ("texts", "blobs"):
            key, content = _entry(value)
            found.setdefault(field, {})[key] = _value(kind[:-1], content)
        elif kind.endswith("?"):
            found[field] = _value(kind[:-1], value)
        elif kind != "ignored" and (read := _value(kind, value)):
            found[field] = read
    return found


def _value(kind: str, value: Any) -> Any:
    match kind:
        case "text":
            return value.decode()
        case "blob":
            return base64.b64encode(value).decode()
        case "int":
            return value - (1 << 64) if value >= 1 << 63 else value
        case "bool":
            return bool(value)
        case "bytes":
            return value
        case "int or text":
            parts = dict(_fields(value))
            return parts.get(3, b"").decode() if parts.get(1) else _value("int", parts.get(2, 0))
    return _read(kind, value)


def _entry(data: bytes) -> tuple[str, bytes]:
    parts = dict(_fields(data))
    return parts.get(1, b"").decode(), parts.get(2, b"")


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: an int, or bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value, at = _varint(data, at)
        if tag & 7 == _BYTES:
            if at + value > len(data):
                raise IndexError("it ends too early")
            yield tag >> 3, data[at : at + value]
            at += value
        elif tag & 7 == _VARINT:
            yield tag >> 3, value
        else:
            raise _refusal(f"wire type {tag & 7} is not known")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
