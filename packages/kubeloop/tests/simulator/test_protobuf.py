"""Protobuf that clients send: read where all of it is understood, refused where not."""

import pytest

from kubeloop.simulator.protobuf import decoded
from kubeloop.simulator.refusals import Refusal


def field(number: int, value: bytes | int) -> bytes:
    """One field on the wire; lengths and numbers below 128."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def sent(api_version: str, kind: str, *fields: bytes) -> bytes:
    """As clients send it."""
    type_meta = field(1, api_version.encode()) + field(2, kind.encode())
    return b"k8s\x00" + field(1, type_meta) + field(2, b"".join(fields)) + field(3, b"") + field(4, b"")


META = field(1, field(1, b"a") + field(2, b"") + field(8, b""))


def test_what_is_empty_is_left_out() -> None:
    body = sent("v1", "Namespace", META, field(2, b""), field(3, field(1, b"")))
    assert decoded(body) == {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}


def test_maps_of_texts_and_of_bytes() -> None:
    entry = field(1, b"key") + field(2, b"value")
    body = sent("v1", "ConfigMap", META, field(2, entry), field(3, entry), field(4, 0))
    found = decoded(body)
    assert (found["data"], found["binaryData"], found["immutable"]) == ({"key": "value"}, {"key": "dmFsdWU="}, False)


def test_zero_means_something_only_for_a_pointer() -> None:
    port = field(3, 0) + field(4, field(1, 0) + field(2, 80) + field(3, b""))
    deployment = decoded(sent("apps/v1", "Deployment", META, field(2, field(1, 0))))
    service = decoded(sent("v1", "Service", META, field(2, field(1, port))))
    assert deployment["spec"] == {"replicas": 0}
    assert service["spec"]["ports"] == [{"targetPort": 80}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"k8s\x00",
        b"k8s\x00\xff\xff\xff",
        sent("v1", "Pod", META),
        sent("v1", "Namespace", META, field(9, b"new")),
        sent("v1", "Namespace", META, field(9, 1)),
        sent("v1", "Namespace", META)[:-8],
        b"k8s\x00" + bytes([1 << 3 | 1, 0]),
    ],
)
def test_what_is_not_understood_is_refused_with_advice(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        decoded(body)
    assert refused.value.code == 415
    assert "--dry-run=client" in refused.value.message
