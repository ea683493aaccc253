"""The session over real sockets, with keystoneauth's own code against a small Keystone and network service."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from kubeloop import NotLeader
from kuryr.openstack import errors
from kuryr.openstack.session import HttpExchange, KeystoneToken

from .cloud_server import CloudServer, Handler, cloud_server, neutron_of
from .test_session import PORT, REQUEST


@pytest.fixture
async def server() -> AsyncIterator[CloudServer]:
    async with cloud_server() as one:
        yield one


async def deleted(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


async def created(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"port": PORT}, status=201)


def refusing(status: int, kind: str = "", *, headers: dict[str, str] | None = None) -> Handler:
    async def answer(_request: web.Request) -> web.StreamResponse:
        body = {"NeutronError": {"type": kind, "message": "the words of Neutron", "detail": ""}}
        return web.json_response(body, status=status, headers=headers)

    return answer


def in_turn(*handlers: Handler) -> Handler:
    left = list(handlers)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await left.pop(0)(request)

    return answer


async def hang_up(_request: web.Request) -> web.StreamResponse:
    raise ConnectionResetError


async def say_nothing(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def test_one_token_serves_many_calls_to_the_regions_endpoint(server: CloudServer) -> None:
    server.handler = created
    async with neutron_of(server.cloud()) as neutron:
        await asyncio.gather(*(neutron.create_port(REQUEST) for _ in range(20)))
    assert server.issued == 1
    assert server.asked == [("POST", "/v2.0/ports")] * 20


async def test_an_endpoint_override_goes_before_the_catalog(server: CloudServer) -> None:
    server.handler = deleted
    server.catalog_region = "elsewhere"
    cloud = server.cloud(endpoint_overrides={"network": f"{server.url}/network"})
    async with neutron_of(cloud) as neutron:
        await neutron.delete_port("p1")
    assert server.asked == [("DELETE", "/v2.0/ports/p1")]


async def test_a_service_that_the_catalog_does_not_have_is_an_error_of_the_configuration(server: CloudServer) -> None:
    """Also for a delete, to which a port that is not found is success."""
    async with neutron_of(server.cloud(region="nowhere")) as neutron:
        with pytest.raises(errors.CloudConfigError, match=r"cloud 'test': .*network service in nowhere region"):
            await neutron.delete_port("p1")


async def test_a_token_that_expires_soon_is_replaced_before_it_is_refused(server: CloudServer) -> None:
    server.handler = deleted
    server.lives_s = 30
    async with neutron_of(server.cloud(endpoint_overrides={"network": f"{server.url}/network"})) as neutron:
        await neutron.delete_port("p1")
        server.lives_s = 3600
        await neutron.delete_port("p2")
        await neutron.delete_port("p3")
    assert (server.issued, server.refused_tokens) == (2, 0)


async def test_a_revoked_token_is_renewed_once_for_all_calls_that_had_it(server: CloudServer) -> None:
    server.handler = created
    async with neutron_of(server.cloud()) as neutron:
        await neutron.create_port(REQUEST)
        server.revoke()
        await asyncio.gather(*(neutron.create_port(REQUEST) for _ in range(20)))
    assert server.issued == 2
    assert len(server.asked) == 21


async def test_a_service_that_refuses_the_new_token_too_is_an_error_after_one_renewal(server: CloudServer) -> None:
    server.handler = refusing(401)
    async with neutron_of(server.cloud()) as neutron:
        with pytest.raises(errors.Unauthorised):
            await neutron.create_port(REQUEST)
    assert (server.issued, len(server.asked)) == (2, 2)


async def test_wrong_credentials_are_an_error_that_no_retry_mends(server: CloudServer) -> None:
    server.password = "another"
    async with neutron_of(server.cloud()) as neutron:
        with pytest.raises(errors.Unauthorised, match=r"Keystone:.*who are you"):
            await neutron.create_port(REQUEST)
    assert not errors.Unauthorised.retryable


async def test_a_keystone_that_is_away_is_unavailable_and_nothing_was_sent(free_port: int) -> None:
    auth = {"auth_url": f"http://127.0.0.1:{free_port}/v3", "username": "u", "password": "p", "project_id": "p"}
    async with neutron_of(CloudServer().cloud(auth=auth), timeout_s=1) as neutron:
        with pytest.raises(errors.Unavailable, match="Keystone") as raised:
            await neutron.create_port(REQUEST)
    assert not raised.value.sent


def test_an_unknown_way_to_authenticate_is_an_error_of_the_configuration() -> None:
    with pytest.raises(errors.CloudConfigError, match="cloud 'test': auth or auth_type"):
        KeystoneToken(CloudServer().cloud(auth_type="by-magic"))


def test_an_unknown_key_of_auth_is_an_error_of_the_configuration() -> None:
    auth = {"auth_url": "http://127.0.0.1:1/v3", "user_name": "u"}
    with pytest.raises(errors.CloudConfigError, match=r"cloud 'test': auth or auth_type: .*user_name"):
        KeystoneToken(CloudServer().cloud(auth=auth))


@pytest.fixture
def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize(
    ("status", "kind", "expected", "retryable"),
    [
        (400, "HTTPBadRequest", errors.Rejected, False),
        (403, "PolicyNotAuthorized", errors.Unauthorised, False),
        (404, "NetworkNotFound", errors.NotFound, False),
        (409, "OverQuota", errors.QuotaExceeded, True),
        (409, "MacAddressInUse", errors.Conflict, True),
        (409, "IpAddressInUse", errors.Conflict, True),
        (409, "IpAddressGenerationFailure", errors.NoAddress, True),
        (412, "RevisionNumberConstraintFailed", errors.Conflict, True),
        (500, "HTTPInternalServerError", errors.Unavailable, True),
        (503, "", errors.Unavailable, True),
    ],
)
async def test_a_refused_create_is_one_request_and_a_typed_error_with_the_services_request_id(
    server: CloudServer, status: int, kind: str, expected: type[errors.OpenStackError], retryable: bool
) -> None:
    server.handler = refusing(status, kind, headers={"X-Openstack-Request-Id": "req-theirs"})
    async with neutron_of(server.cloud()) as neutron:
        with pytest.raises(expected, match=r"POST /v2.0/ports: .*the words of Neutron.*req-theirs") as raised:
            await neutron.create_port(REQUEST)
    error = raised.value
    assert type(error) is expected
    assert (error.status, error.reason, error.request_id, error.retryable) == (status, kind, "req-theirs", retryable)
    assert len(server.asked) == 1


async def test_an_error_that_names_no_request_has_the_id_that_we_sent(server: CloudServer) -> None:
    sent: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        sent.append(request.headers["X-Openstack-Request-Id"])
        return web.Response(status=400, text="<html>a proxy</html>")

    server.handler = answer
    async with neutron_of(server.cloud()) as neutron:
        with pytest.raises(errors.Rejected, match="a proxy") as raised:
            await neutron.create_port(REQUEST)
    assert raised.value.request_id == sent[0]


async def test_a_throttled_create_comes_back_after_the_time_it_was_told(server: CloudServer) -> None:
    server.handler = in_turn(refusing(429, headers={"Retry-After": "1"}), created)
    loop = asyncio.get_running_loop()
    async with neutron_of(server.cloud()) as neutron:
        began = loop.time()
        await neutron.create_port(REQUEST)
        assert loop.time() - began >= 1.0


async def test_a_throttling_longer_than_the_deadline_is_an_error_at_once(server: CloudServer) -> None:
    server.handler = refusing(429, headers={"Retry-After": "3600"})
    async with neutron_of(server.cloud()) as neutron:
        with pytest.raises(errors.Throttled) as raised:
            await neutron.create_port(REQUEST)
    assert raised.value.retry_after_s == 3600


@pytest.mark.parametrize("answer", [hang_up, refusing(503)], ids=["no answer", "503"])
async def test_a_create_whose_outcome_is_unknown_is_sent_once(server: CloudServer, answer: Handler) -> None:
    server.handler = answer
    async with neutron_of(server.cloud()) as neutron:
        with pytest.raises(errors.Unavailable) as raised:
            await neutron.create_port(REQUEST)
    assert raised.value.sent
    assert len(server.asked) == 1


async def test_a_create_on_a_kept_connection_that_breaks_is_sent_once(server: CloudServer) -> None:
    server.handler = in_turn(created, hang_up)
    async with neutron_of(server.cloud()) as neutron:
        await neutron.create_port(REQUEST)
        with pytest.raises(errors.Unavailable):
            await neutron.create_port(REQUEST)
    assert len(server.asked) == 2


@pytest.mark.parametrize("fault", [hang_up, refusing(503), refusing(500)], ids=["no answer", "503", "500"])
async def test_a_delete_and_a_list_are_repeated(server: CloudServer, fault: Handler) -> None:
    async def listed(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"ports": [PORT]})

    server.handler = in_turn(fault, deleted, fault, listed)
    async with neutron_of(server.cloud()) as neutron:
        await neutron.delete_port("p1")
        assert len(await neutron.fetch_ports(network_id="n")) == 1


async def test_a_service_that_refuses_connections_was_sent_nothing(server: CloudServer, free_port: int) -> None:
    cloud = server.cloud(endpoint_overrides={"network": f"http://127.0.0.1:{free_port}"})
    async with neutron_of(cloud, timeout_s=1) as neutron:
        with pytest.raises(errors.Unavailable, match="cannot reach") as raised:
            await neutron.create_port(REQUEST)
    assert not raised.value.sent


async def test_silence_is_an_error_at_the_deadline(server: CloudServer) -> None:
    server.handler = say_nothing
    loop = asyncio.get_running_loop()
    async with neutron_of(server.cloud(), timeout_s=0.5) as neutron:
        began = loop.time()
        with pytest.raises(errors.Unavailable, match="no answer within") as raised:
            await neutron.create_port(REQUEST)
        assert 0.4 <= loop.time() - began < 5
    assert raised.value.sent


async def test_an_answer_that_is_not_neutrons_is_an_error(server: CloudServer) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=200, text="<html>log in first</html>")

    server.handler = answer
    async with neutron_of(server.cloud()) as neutron:
        with pytest.raises(errors.Unavailable, match="answered something else"):
            await neutron.fetch_ports(network_id="n")


async def test_a_list_asks_for_the_fields_it_reads_and_follows_markers_to_the_end(server: CloudServer) -> None:
    every = [{**PORT, "id": f"p{number}"} for number in range(7)]

    async def page(request: web.Request) -> web.StreamResponse:
        assert "binding:host_id" in request.query.getall("fields")
        start = next((n for n, port in enumerate(every, 1) if port["id"] == request.query.get("marker")), 0)
        links = [{"rel": "next", "href": "x"}] if start + 3 < len(every) else []
        return web.json_response({"ports": every[start : start + 3], "ports_links": links})

    server.handler = page
    async with neutron_of(server.cloud()) as neutron:
        found = await neutron.fetch_ports(device_owner="compute:kuryr-c")
    assert [port.id for port in found] == [port["id"] for port in every]
    assert len(server.asked) == 3


class Lease:
    """A fence that the test closes."""

    def __init__(self) -> None:
        self.held = True

    def check(self) -> None:
        if not self.held:
            raise NotLeader("this process does not lead")


async def test_without_the_lease_nothing_is_written_but_all_can_be_read(server: CloudServer) -> None:
    async def listed(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"ports": []})

    server.handler = listed
    lease, cloud = Lease(), server.cloud()
    async with neutron_of(cloud, exchange=HttpExchange(cloud, fence=lease)) as neutron:
        lease.held = False
        for write in (lambda: neutron.create_port(REQUEST), lambda: neutron.delete_port("p1")):
            with pytest.raises(NotLeader):
                await write()
        assert await neutron.fetch_ports(network_id="n") == ()
    assert [method for method, _ in server.asked] == ["GET"]


async def test_a_write_that_waited_for_a_connection_while_the_lease_was_lost_is_not_sent(server: CloudServer) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.StreamResponse:
        arrived.set()
        await go_on.wait()
        return web.Response(status=204)

    server.handler = slow
    lease, cloud = Lease(), server.cloud()
    exchange = HttpExchange(cloud, connections=1, fence=lease)
    async with neutron_of(cloud, exchange=exchange) as neutron, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(neutron.delete_port("p1"))
        await arrived.wait()

        async def refused() -> None:
            with pytest.raises(NotLeader):
                await neutron.delete_port("p2")

        second = tasks.create_task(refused())
        for _turn in range(50):  # until it waits for the only connection
            await asyncio.sleep(0)
        lease.held = False
        go_on.set()
        await asyncio.gather(first, second)
        lease.held = True
        await neutron.delete_port("p3")
    assert server.asked == [("DELETE", "/v2.0/ports/p1"), ("DELETE", "/v2.0/ports/p3")]
