"""Results in the form of each version, and behind another plug-in's."""

import json
from typing import Any

import pytest

from kuryr.daemon.cni.protocol import SUPPORTED_VERSIONS, CniCode, CniError
from kuryr.daemon.cni.results import Result, ResultInterface, ResultIp, ResultRoute, encode_result, parse_result

RESULT = Result(
    interfaces=(
        ResultInterface(name="tap0", mac="0a:00:00:00:00:01"),
        ResultInterface(name="eth0", mac="02:00:00:00:00:01", mtu=1442, sandbox="/run/netns/c0"),
    ),
    ips=(
        ResultIp(address="10.1.0.5/16", gateway="10.1.0.1", interface=1),
        ResultIp(address="fd00::5/64", interface=1),
    ),
    routes=(ResultRoute(dst="0.0.0.0/0", gw="10.1.0.1"),),
)


def encoded(version: str, previous: dict[str, Any] | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(encode_result(RESULT, version, previous))
    return answer


def test_each_version_is_named_and_knows_its_own_fields() -> None:
    for version in SUPPORTED_VERSIONS:
        answer = encoded(version)
        assert answer["cniVersion"] == version
        assert ("mtu" in answer["interfaces"][1]) == (version == "1.1.0")
        families = [ip.get("version") for ip in answer["ips"]]
        assert families == (["4", "6"] if version.startswith("0.") else [None, None])


def test_what_was_encoded_is_understood_as_a_previous_result() -> None:
    for version in SUPPORTED_VERSIONS:
        parsed = parse_result(encoded(version))
        assert parsed.ips == RESULT.ips
        assert parsed.routes == RESULT.routes
        assert [one.name for one in parsed.interfaces] == ["tap0", "eth0"]


def test_behind_another_plug_in_its_result_is_passed_on_and_ours_follows() -> None:
    previous = {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "br0", "pciID": "0000:00:1f.6"}],
        "ips": [{"address": "192.0.2.7/24", "interface": 0}],
        "dns": {"nameservers": ["192.0.2.53"]},
    }
    answer = encoded("1.1.0", previous)
    assert answer["interfaces"][0] == previous["interfaces"][0]
    assert [ip["interface"] for ip in answer["ips"]] == [0, 2, 2]
    assert answer["dns"] == previous["dns"]
    assert answer["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]


@pytest.mark.parametrize(
    "previous",
    [
        {"interfaces": 3},
        {"ips": [{"gateway": "x"}]},
        {"routes": ["0.0.0.0/0"]},
        {"ips": [{"address": "x"}]},
        {"routes": [{"dst": "nowhere"}]},
        {"routes": [{"dst": "::/0", "gw": "x"}]},
    ],
)
def test_a_previous_result_that_is_none_is_refused(previous: dict[str, Any]) -> None:
    with pytest.raises(CniError) as caught:
        parse_result(previous)
    assert caught.value.code is CniCode.DECODE_FAILURE
