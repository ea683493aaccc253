"""CNI requests and results: what is accepted, and with which code the rest is refused."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuryr.daemon.cni.protocol import (
    SUPPORTED_VERSIONS,
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
        ({"ifname": "\u00e9" * 8}, CniCode.INVALID_ENVIRONMENT, "15 bytes"),
        ({"ifname": "eth\u00000"}, CniCode.INVALID_ENVIRONMENT, "CNI_IFNAME"),
        ({"containerId": "c" * 201}, CniCode.INVALID_ENVIRONMENT, "1 to 200"),
        ({"netns": ""}, CniCode.INVALID_ENVIRONMENT, "CNI_NETNS"),
        ({"netns": "/run/\u0000"}, CniCode.INVALID_ENVIRONMENT, "NUL"),
        ({"command": "CHECK"}, CniCode.INVALID_CONFIGURATION, "prevResult"),
        (
            {"command": "CHECK", "config": {"cniVersion": "1.1.0", "prevResult": []}},
            CniCode.DECODE_FAILURE,
            "prevResult",
        ),
        ({"command": "CHECK", "config": {"cniVersion": "0.3.1"}}, CniCode.INCOMPATIBLE_VERSION, "since 0.4.0"),
        ({"command": "GC"}, CniCode.INCOMPATIBLE_VERSION, "since 1.1.0"),
        ({"command": "STATUS"}, CniCode.INCOMPATIBLE_VERSION, "since 1.1.0"),
        ({"command": "GC", "config": {"cniVersion": "1.1.0"}}, CniCode.INVALID_CONFIGURATION, "valid-attachments"),
        (
            {"command": "GC", "config": {"cniVersion": "1.1.0", "cni.dev/valid-attachments": [{"ifname": "eth0"}]}},
            CniCode.DECODE_FAILURE,
            "containerID",
        ),
        ({"args": "K8S_POD_NAME=web-0"}, CniCode.INVALID_ENVIRONMENT, "K8S_POD_NAMESPACE, K8S_POD_UID"),
        ({"args": "nonsense"}, CniCode.INVALID_ENVIRONMENT, "KEY=value"),
    ],
)
def test_what_is_wrong_gets_the_specifications_code(changes: dict[str, Any], code: CniCode, words: str) -> None:
    with pytest.raises(CniError) as caught:
        parse_request(wire(**changes))
    assert caught.value.code is code
    assert words in caught.value.msg


def test_a_deletion_is_understood_whatever_its_arguments_and_its_previous_result_are() -> None:
    config = {"cniVersion": "1.1.0", "prevResult": [3]}
    request = parse_request(wire(command="DEL", netns="", args="nonsense", config=config))
    assert (request.container_id, request.pod, request.prev_result) == ("c0", PodArgs(), None)


@pytest.mark.parametrize("key", ["cni.dev/valid-attachments", "cni.dev/attachments"])
def test_a_collection_has_the_attachments_that_stay(key: str) -> None:
    attachments = [{"containerID": "c0", "ifname": "eth0"}, {"containerID": "c1", "ifname": "net1", "more": 1}]
    request = parse_request(wire(command="GC", containerId="", config={"cniVersion": "1.1.0", key: attachments}))
    assert {(one.container_id, one.ifname) for one in request.valid_attachments} == {("c0", "eth0"), ("c1", "net1")}


def test_an_empty_list_of_attachments_may_come_as_null() -> None:
    config = {"cniVersion": "1.1.0", "cni.dev/valid-attachments": None}
    assert parse_request(wire(command="GC", config=config)).valid_attachments == frozenset()


def test_status_needs_nothing_but_the_configuration() -> None:
    assert parse_request(b'{"command": "STATUS", "config": {"cniVersion": "1.1.0"}}').command is Command.STATUS


@given(st.binary())
def test_garbage_is_a_cni_error(data: bytes) -> None:
    with pytest.raises(CniError):
        parse_request(data)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
texts = st.text() | st.sampled_from(["", ".", "..", "/", "\0", "c0", "eth0", "K8S_POD_UID=;;=", "a" * 300, "\ud800"])
configurations = anything | st.fixed_dictionaries(
    {"cniVersion": st.sampled_from([*SUPPORTED_VERSIONS, "2.0.0"]) | anything},
    optional=dict.fromkeys(("prevResult", "cni.dev/valid-attachments", "runtimeConfig", "capabilities"), anything),
)


@given(
    st.fixed_dictionaries(
        {"config": configurations, "command": st.sampled_from([*Command]) | texts},
        optional=dict.fromkeys(("containerId", "netns", "ifname", "args", "path"), texts | anything),
    )
)
def test_whatever_the_parts_of_a_request_are_it_is_valid_or_a_cni_error(parts: dict[str, Any]) -> None:
    try:
        request = parse_request(json.dumps(parts).encode())
    except CniError:
        return
    assert request.command in Command
    if request.command is Command.ADD:
        assert request.netns
        assert request.container_id
        assert request.pod.uid


@given(st.text(max_size=400))
def test_arguments_are_understood_or_a_cni_error(args: str) -> None:
    with contextlib.suppress(CniError):
        assert isinstance(parse_args(args), PodArgs)


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
