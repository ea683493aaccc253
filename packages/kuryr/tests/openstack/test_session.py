import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from kuryr.openstack import errors
from kuryr.openstack.neutron import Neutron, PortRequest
from kuryr.openstack.session import Answer, Session

PORT = {
    "id": "p1",
    "network_id": "n",
    "mac_address": "02:00:00:00:00:01",
    "device_owner": "compute:kuryr-c",
    "device_id": "kuryr:pool:0",
    "fixed_ips": [{"subnet_id": "s", "ip_address": "10.0.0.5"}],
    "binding:host_id": "host",
    "binding:vif_type": "ovs",
}
REQUEST = PortRequest(
    name="x",
    network_id="n",
    subnet_ids=("s",),
    mac_address="02:00:00:00:00:01",
    device_owner="compute:kuryr-c",
    device_id="kuryr:pool:0",
    host_id="host",
    security_groups=("g",),
)


class Token:
    """Counts renewals."""

    def __init__(self) -> None:
        self.number = 1

    async def fetch(self, *, refused: str = "") -> str:
        self.number += bool(refused)
        return f"token-{self.number}"

    async def fetch_endpoint(self, service_type: str) -> str:
        return f"http://{service_type}"


class Service:
    """Answers what it is told, in order, and remembers what it was asked."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, str, Mapping[str, str], bytes]] = []

    async def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> Answer:
        self.asked.append((method, url, headers, body))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def _answer(status: int, body: Any, **headers: str) -> Answer:
    return Answer(status, msgspec.json.encode(body), headers)


def _refusal(status: int, kind: str) -> Answer:
    body = {"NeutronError": {"type": kind, "message": "the words of Neutron", "detail": ""}}
    return Answer(status, msgspec.json.encode(body), {"X-Openstack-Request-Id": "req-theirs"})


def _neutron(service: Service) -> Neutron:
    return Neutron(Session(Token(), service, "network", user_agent="kuryr-test/1"))


async def test_how_neutrons_log_calls_a_create_is_known_also_when_it_went_well_or_was_not_answered() -> None:
    headers = {"X-Openstack-Request-Id": "req-theirs"}
    created = await _neutron(Service(Answer(201, msgspec.json.encode({"port": PORT}), headers))).create_port(REQUEST)
    assert created.request_id == "req-theirs"
    silent = Service(errors.Unavailable("no answer"))
    with pytest.raises(errors.Unavailable) as caught:
        await _neutron(silent).create_port(REQUEST)
    assert caught.value.request_id == silent.asked[0][2]["X-Openstack-Request-Id"]
    assert caught.value.sent


async def test_a_port_create_carries_owner_binding_and_mac() -> None:
    service = Service(_answer(201, {"port": PORT}))
    port = await _neutron(service).create_port(REQUEST)
    method, url, headers, body = service.asked[0]
    assert (method, url, headers["User-Agent"]) == ("POST", "http://network/v2.0/ports", "kuryr-test/1")
    assert msgspec.json.decode(body)["port"] == {
        "name": "x",
        "network_id": "n",
        "fixed_ips": [{"subnet_id": "s"}],
        "mac_address": "02:00:00:00:00:01",
        "device_owner": "compute:kuryr-c",
        "device_id": "kuryr:pool:0",
        "binding:host_id": "host",
        "security_groups": ["g"],
    }
    assert (port.host_id, port.vif_type, port.fixed_ips[0].ip_address) == ("host", "ovs", "10.0.0.5")


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (409, "MacAddressInUse", errors.Conflict),
        (409, "OverQuota", errors.QuotaExceeded),
        (409, "IpAddressGenerationFailure", errors.NoAddress),
        (403, "PolicyNotAuthorized", errors.Unauthorised),
        (404, "NetworkNotFound", errors.NotFound),
        (412, "RevisionNumberConstraintFailed", errors.Conflict),
        (400, "HTTPBadRequest", errors.Rejected),
        (503, "", errors.Unavailable),
    ],
)
async def test_a_refusal_is_a_typed_error_with_neutrons_words_and_request_id(
    status: int, kind: str, expected: type[errors.OpenStackError]
) -> None:
    with pytest.raises(expected, match=r"the words of Neutron.*req-theirs") as raised:
        await _neutron(Service(_refusal(status, kind))).create_port(REQUEST)
    assert type(raised.value) is expected
    assert (raised.value.reason, raised.value.request_id) == (kind, "req-theirs")


async def test_a_create_whose_answer_is_lost_is_not_sent_again() -> None:
    service = Service(errors.Unavailable("lost"))
    with pytest.raises(errors.Unavailable):
        await _neutron(service).create_port(REQUEST)
    assert len(service.asked) == 1


async def test_a_create_that_was_not_even_sent_is_sent_again() -> None:
    service = Service(errors.Unavailable("refused", sent=False), _answer(201, {"port": PORT}))
    assert (await _neutron(service).create_port(REQUEST)).id == "p1"


async def test_a_delete_is_repeated_and_what_is_gone_is_deleted() -> None:
    service = Service(errors.Unavailable("lost"), _refusal(404, "PortNotFound"))
    await _neutron(service).delete_port("p1")
    assert len(service.asked) == 2


async def test_a_refused_token_is_renewed_once_and_the_call_repeated() -> None:
    service = Service(_answer(401, {}), _answer(201, {"port": PORT}))
    await _neutron(service).create_port(REQUEST)
    assert [headers["X-Auth-Token"] for _, _, headers, _ in service.asked] == ["token-1", "token-2"]


async def test_a_token_refused_twice_is_an_error() -> None:
    with pytest.raises(errors.Unauthorised):
        await _neutron(Service(_answer(401, {}), _answer(401, {}))).create_port(REQUEST)


async def test_a_list_follows_the_servers_pages_however_small_they_are() -> None:
    pages = (
        {"ports": [PORT], "ports_links": [{"rel": "next", "href": "x"}]},
        {"ports": [{**PORT, "id": "p2"}], "ports_links": [{"rel": "previous", "href": "x"}]},
    )
    service = Service(*(_answer(200, page) for page in pages))
    assert [port.id for port in await _neutron(service).fetch_ports(network_id="n")] == ["p1", "p2"]
    assert "marker=p1" in service.asked[1][1]


async def test_a_list_whose_page_ends_with_a_port_that_is_deleted_meanwhile_begins_again() -> None:
    first = _answer(200, {"ports": [PORT], "ports_links": [{"rel": "next", "href": "x"}]})
    rest = _answer(200, {"ports": [{**PORT, "id": "p2"}], "ports_links": [{"rel": "previous", "href": "x"}]})
    service = Service(first, _refusal(404, "PortNotFound"), rest)
    assert [port.id for port in await _neutron(service).fetch_ports(network_id="n")] == ["p2"]
    assert "marker" not in service.asked[2][1]


async def test_a_keystone_that_hangs_is_unavailable_within_the_deadline() -> None:
    class Hanging(Token):
        async def fetch(self, *, refused: str = "") -> str:
            await asyncio.Event().wait()
            return ""

    session = Session(Hanging(), Service(), "network", user_agent="kuryr-test/1")
    with pytest.raises(errors.Unavailable, match="Keystone: no answer"):
        await session.request("GET", "/v2.0/ports", timeout_s=0.05)


async def test_a_name_that_two_networks_have_is_refused() -> None:
    two = [{"id": str(number), "name": "pods", "mtu": 1442, "subnets": []} for number in (1, 2)]
    service = Service(_answer(200, {"networks": []}), _answer(200, {"networks": two}))
    with pytest.raises(errors.NotFound, match="2 networks named 'pods'"):
        await _neutron(service).fetch_network("pods")
