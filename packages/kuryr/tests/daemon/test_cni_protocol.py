"""CNI requests and results: what is accepted, and with which code the rest is refused."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuryr.daemon.cni.protocol import (
    CniCode,
    CniError,
    Command,
    PodArgs,
    encode_error,
    parse_args,
    parse_request,
)
from kuryr.daemon.cni.results import Result, ResultInterface, ResultIp, ResultRoute, encode_result

ARGS = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=c0;K8S_POD_UID=uid-1"


def wire(**changes: Any) -> bytes:
    request = {
        "command": "ADD",
        "containerId": "c0",
        "netns": "/run/netns/c0",
        "ifname": "eth0",
        "args": ARGS,
        "path": "/opt/cni/bin",
        "config": {"cniVersion": "1.0.0", "name": "kuryr", "type": "kuryr-cni", "socket": "/run/kuryr/cni.sock"},
    }
    return json.dumps({**request, **changes}).encode()


def test_a_complete_addition_is_understood() -> None:
    request = parse_request(wire())
    assert (request.command, request.container_id, request.ifname) == (Command.ADD, "c0", "eth0")
    assert request.pod == PodArgs(namespace="default", name="web-0", uid="uid-1")
    assert request.cni_version == "1.0.0"


def test_a_deletion_needs_neither_namespace_nor_pod() -> None:
    request = parse_request(wire(command="DEL", netns="", args=""))
    assert (request.command, request.netns, request.pod) == (Command.DEL, "", PodArgs())


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"config": {"cniVersion": "0.2.0"}}, CniCode.INCOMPATIBLE_VERSION, "0.2.0"),
        ({"config": {}}, CniCode.INCOMPATIBLE_VERSION, "cniVersion ''"),
        ({"config": 3}, CniCode.DECODE_FAILURE, "config"),
        ({"command": "PING"}, CniCode.INVALID_ENVIRONMENT, "CNI_COMMAND is 'PING'"),
        ({"containerId": ""}, CniCode.INVALID_ENVIRONMENT, "CNI_CONTAINERID"),
        ({"containerId": "a/b"}, CniCode.INVALID_ENVIRONMENT, "CNI_CONTAINERID"),
        ({"ifname": "eth0:1"}, CniCode.INVALID_ENVIRONMENT, "CNI_IFNAME"),
        ({"ifname": "x" * 16}, CniCode.INVALID_ENVIRONMENT, "CNI_IFNAME"),
        ({"ifname": ".."}, CniCode.INVALID_ENVIRONMENT, "CNI_IFNAME"),
        ({"netns": ""}, CniCode.INVALID_ENVIRONMENT, "CNI_NETNS"),
        ({"args": "K8S_POD_NAME=web-0"}, CniCode.INVALID_ENVIRONMENT, "K8S_POD_NAMESPACE, K8S_POD_UID"),
        ({"args": "nonsense"}, CniCode.INVALID_ENVIRONMENT, "KEY=value"),
    ],
)
def test_what_is_wrong_gets_the_specifications_code(changes: dict[str, Any], code: CniCode, words: str) -> None:
    with pytest.raises(CniError) as caught:
        parse_request(wire(**changes))
    assert caught.value.code is code
    assert words in caught.value.msg


@given(st.binary())
def test_garbage_is_a_cni_error(data: bytes) -> None:
    with pytest.raises(CniError):
        parse_request(data)


def test_bottomless_nesting_is_a_cni_error() -> None:
    with pytest.raises(CniError) as caught:
        parse_request(b'{"config":' + b"[" * 100_000)
    assert caught.value.code is CniCode.DECODE_FAILURE


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_arguments_of_others_are_ignored(others: dict[str, str]) -> None:
    foreign = ";".join(f"X{k}={v}" for k, v in others.items() if not set(";=") & set(k + v))
    assert parse_args(f"{foreign};K8S_POD_UID=uid-1") == PodArgs(uid="uid-1")


RESULT = Result(
    interfaces=(
        ResultInterface(name="tap0", mac="0a:00:00:00:00:01"),
        ResultInterface(name="eth0", mac="02:00:00:00:00:01", mtu=1442, sandbox="/run/netns/c0"),
    ),
    ips=(ResultIp(address="10.1.0.5/16", gateway="10.1.0.1", interface=1),),
    routes=(ResultRoute(dst="0.0.0.0/0", gw="10.1.0.1"),),
)


def test_a_result_has_the_specifications_shape() -> None:
    assert json.loads(encode_result(RESULT, "1.1.0")) == {
        "cniVersion": "1.1.0",
        "interfaces": [
            {"name": "tap0", "mac": "0a:00:00:00:00:01"},
            {"name": "eth0", "mac": "02:00:00:00:00:01", "mtu": 1442, "sandbox": "/run/netns/c0"},
        ],
        "ips": [{"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 1}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}],
    }


def test_version_1_0_knows_no_mtu() -> None:
    assert b"mtu" not in encode_result(RESULT, "1.0.0")


def test_the_first_interfaces_index_is_written_though_it_is_zero() -> None:
    ip = ResultIp(address="10.1.0.5/16", interface=0)
    assert msgspec.json.decode(msgspec.json.encode(ip)) == {"address": "10.1.0.5/16", "interface": 0}


def test_an_error_has_code_message_and_what_to_do() -> None:
    error = CniError(CniCode.TRY_AGAIN_LATER, "no claim yet", "see the pod's events")
    assert json.loads(encode_error(error, "1.0.0")) == {
        "cniVersion": "1.0.0",
        "code": 11,
        "msg": "no claim yet",
        "details": "see the pod's events",
    }
