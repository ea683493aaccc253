import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from kubeloop.client import errors
from kubeloop.client.config import ClusterConfig, Impersonation, StaticToken
from kubeloop.client.connections import open_socket
from kubeloop.client.status import parse_retry_after
from kubeloop.client.transport import HttpTransport, Request, resource_of
from kubeloop.metrics import Metrics

from .api_server import ApiServer, serving, until, write_ca

PODS = "/api/v1/namespaces/default/pods"
GET = Request("GET", PODS)
CREATE = Request("POST", PODS, body=b"{}")


class Lease:
    """A fence that a test opens and shuts."""

    leading = True

    def check(self) -> None:
        if not self.leading:
            raise errors.NotLeader("the lease is lost")


class LostAtCheck:
    """Leads until it was asked so often."""

    def __init__(self, checks: int) -> None:
        self.left = checks

    def check(self) -> None:
        if not self.left:
            raise errors.NotLeader("the lease is lost")
        self.left -= 1


@pytest.fixture
def config(server: ApiServer, ca_file: Path) -> ClusterConfig:
    return ClusterConfig(server=server.url, ca_file=ca_file)


def transport(config: ClusterConfig, **options: object) -> HttpTransport:
    return HttpTransport(config, user_agent="test/1", **options)  # type: ignore[arg-type]


@asynccontextmanager
async def raw_server(answer: bytes = b"", *, read: bool = True) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Plain HTTP: takes one request a connection, writes `answer` and closes; without `read` it is silent for ever."""
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if read:
                seen.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(answer)
                await writer.drain()
            else:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], seen
    finally:
        listening.close()


# ---- TLS


async def test_a_server_whose_ca_is_not_ours_is_refused_and_the_error_names_our_ca(
    server: ApiServer, tmp_path: Path
) -> None:
    other = write_ca(trustme.CA(), tmp_path / "other.crt")
    async with transport(ClusterConfig(server=server.url, ca_file=other)) as to:
        with pytest.raises(errors.Unavailable, match=r"certificate is not accepted.*other\.crt") as caught:
            await to.request(CREATE, timeout_s=5)
    assert not caught.value.sent
    assert not server.seen


async def test_verification_is_on_by_default_and_off_only_where_the_configuration_says_so(server: ApiServer) -> None:
    async with transport(ClusterConfig(server=server.url)) as to:
        with pytest.raises(errors.Unavailable, match="the system's CAs"):
            await to.request(GET, timeout_s=5)
    async with transport(ClusterConfig(server=server.url, verify_tls=False)) as to:
        assert (await to.request(GET, timeout_s=5)).body == b"{}"


async def test_the_servers_name_is_the_one_in_tls_server_name(ca: trustme.CA, ca_file: Path) -> None:
    async with serving(ApiServer(ca, name="api.example")) as server:
        async with transport(ClusterConfig(server=server.url, ca_file=ca_file)) as to:
            with pytest.raises(errors.Unavailable, match="tls-server-name"):
                await to.request(GET, timeout_s=5)
        named = ClusterConfig(server=server.url, ca_file=ca_file, tls_server_name="api.example")
        async with transport(named) as to:
            await to.request(GET, timeout_s=5)


# ---- the fence


async def test_a_write_that_got_its_connection_after_leadership_ended_is_not_sent(
    server: ApiServer, config: ClusterConfig
) -> None:
    go, lease = asyncio.Event(), Lease()

    async def answer(request: web.Request) -> web.StreamResponse:
        await go.wait()
        return web.json_response({})

    server.answer = answer
    async with transport(config, fence=lease, connections=1) as to, asyncio.TaskGroup() as group:
        reading = group.create_task(to.request(GET, timeout_s=5))
        await until(lambda: len(server.seen) == 1)
        writing = asyncio.ensure_future(to.request(CREATE, timeout_s=5))
        await asyncio.sleep(0)  # now it waits for the one connection, and we lead still
        lease.leading = False
        go.set()
        await reading
        with pytest.raises(errors.NotLeader):
            await writing
        lease.leading = True
        await to.request(CREATE, timeout_s=5)  # the refused write has not leaked its connection
    assert [seen.method for seen in server.seen] == ["GET", "POST"]


@pytest.mark.parametrize("checks", [0, 1])
async def test_the_fence_is_asked_when_the_connection_is_there_and_again_before_the_body_goes(
    server: ApiServer, config: ClusterConfig, checks: int
) -> None:
    async with transport(config, fence=LostAtCheck(checks)) as to:
        with pytest.raises(errors.NotLeader):
            await to.request(CREATE, timeout_s=5)
        await to.request(GET, timeout_s=5)
    assert [seen.method for seen in server.seen] == ["GET"]


async def test_a_delete_without_a_body_is_fenced_too_and_reads_are_not(
    server: ApiServer, config: ClusterConfig
) -> None:
    lease = Lease()
    lease.leading = False
    async with transport(config, fence=lease) as to:
        with pytest.raises(errors.NotLeader):
            await to.request(Request("DELETE", f"{PODS}/a"), timeout_s=5)
        await to.request(GET, timeout_s=5)
        async with to.stream(GET, open_timeout_s=5, idle_timeout_s=5) as lines:
            assert [line async for line in lines] == []
    assert [seen.method for seen in server.seen] == ["GET", "GET"]


# ---- failures


async def test_a_refused_connection_and_an_unknown_host_had_no_effect() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        for url in (f"http://127.0.0.1:{unused.getsockname()[1]}", "http://no-such-host.invalid"):
            async with transport(ClusterConfig(server=url)) as to:
                with pytest.raises(errors.Unavailable, match="cannot reach") as caught:
                    await to.request(CREATE, timeout_s=20)
            assert not caught.value.sent


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT"])
async def test_a_write_whose_connection_broke_off_may_have_had_an_effect_and_is_not_repeated(method: str) -> None:
    async with raw_server() as (port, seen), transport(ClusterConfig(server=f"http://127.0.0.1:{port}")) as to:
        with pytest.raises(errors.Unavailable) as caught:
            await to.request(Request(method, PODS), timeout_s=5)
    assert caught.value.sent
    assert len(seen) == 1


async def test_a_body_that_breaks_off_is_an_unavailable_server() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    async with raw_server(answer) as (port, _), transport(ClusterConfig(server=f"http://127.0.0.1:{port}")) as to:
        with pytest.raises(errors.Unavailable, match="broke off") as caught:
            await to.request(CREATE, timeout_s=5)
    assert caught.value.sent


async def test_what_is_not_http_is_an_unavailable_server() -> None:
    answer = b"SSH-2.0-x\r\n\r\n"
    async with raw_server(answer) as (port, _), transport(ClusterConfig(server=f"http://127.0.0.1:{port}")) as to:
        with pytest.raises(errors.Unavailable):
            await to.request(GET, timeout_s=5)


async def test_a_server_that_accepts_but_does_no_handshake_is_given_up_with_nothing_sent() -> None:
    async with raw_server(read=False) as (port, _), transport(ClusterConfig(server=f"https://127.0.0.1:{port}")) as to:
        with pytest.raises(errors.Unavailable) as caught:
            await to.request(CREATE, timeout_s=0.3)
        assert not caught.value.sent


async def test_a_write_without_an_answer_in_time_may_have_had_an_effect() -> None:
    async with raw_server(read=False) as (port, _), transport(ClusterConfig(server=f"http://127.0.0.1:{port}")) as to:
        with pytest.raises(errors.Unavailable, match="no answer within") as caught:
            await to.request(CREATE, timeout_s=0.2)
    assert caught.value.sent


async def test_retry_after_is_on_the_error_for_429_and_503(server: ApiServer, config: ClusterConfig) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        status = int(request.query["status"])
        return web.Response(status=status, headers={"Retry-After": "7"}, text="busy")

    server.answer = answer
    async with transport(config) as to:
        for status, kind in ((429, errors.Throttled), (503, errors.Unavailable)):
            with pytest.raises(kind, match="busy") as caught:
                await to.request(Request("POST", PODS, (("status", str(status)),)), timeout_s=5)
            assert (caught.value.status, caught.value.retry_after_s) == (status, 7.0)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 7.0),
        ("Sun, 06 Nov 1994 08:49:20 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, now_s=784111770.0) == seconds


@given(st.text())
def test_no_retry_after_of_a_server_makes_the_client_fail(value: str) -> None:
    found = parse_retry_after(value, now_s=0.0)
    assert found is None or found >= 0


async def test_a_silently_dropped_connection_is_noticed_by_the_kernel_within_20_s() -> None:
    def option(name: str) -> int:
        return opened.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))

    with open_socket((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 0))) as opened:
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert option("TCP_KEEPIDLE") + option("TCP_KEEPINTVL") * option("TCP_KEEPCNT") <= 20
        assert option("TCP_USER_TIMEOUT") <= 20_000
        assert option("TCP_SYNCNT") == 1


# ---- streams


async def test_a_stream_gives_lines_however_they_are_cut_and_ends_with_the_body(
    server: ApiServer, config: ClusterConfig
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for part in (b'{"a"', b":1}\n{", b"}\n\n", b"last"):
            await response.write(part)
        return response

    server.answer = answer
    async with transport(config) as to, to.stream(GET, open_timeout_s=5, idle_timeout_s=5) as lines:
        assert [line async for line in lines] == [b'{"a":1}', b"{}"]


async def test_a_stream_whose_server_falls_silent_is_broken_off_after_the_idle_timeout(
    server: ApiServer, config: ClusterConfig
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{}\n")
        await asyncio.Event().wait()
        return response

    server.answer = answer
    async with transport(config) as to, to.stream(GET, open_timeout_s=5, idle_timeout_s=0.1) as lines:
        assert await anext(lines) == b"{}"
        with pytest.raises(errors.Unavailable, match="silent"):
            await anext(lines)


async def test_a_cancelled_stream_closes_its_connection(server: ApiServer, config: ClusterConfig) -> None:
    ended = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return response

    server.answer = answer

    async def follow(to: HttpTransport) -> None:
        async with to.stream(GET, open_timeout_s=5, idle_timeout_s=60) as lines:
            await anext(lines)

    async with transport(config) as to:
        following = asyncio.create_task(follow(to))
        await until(lambda: bool(server.seen))
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
        async with asyncio.timeout(5):
            await ended.wait()


async def test_close_breaks_off_what_is_under_way_and_what_waits_and_refuses_what_comes(
    server: ApiServer, config: ClusterConfig
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    server.answer = answer
    to = transport(config, connections=1)
    tasks = [asyncio.create_task(to.request(CREATE, timeout_s=30)) for _ in range(2)]
    await until(lambda: len(server.seen) == 1)
    async with asyncio.timeout(5):
        await to.close()
        await to.close()
        sent, queued = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(sent, errors.Unavailable)
    assert sent.sent
    assert isinstance(queued, errors.Unavailable)
    assert not queued.sent
    with pytest.raises(errors.Unavailable, match="closed"):
        await to.request(GET, timeout_s=1)


# ---- headers, proxy, metrics


async def test_impersonation_goes_into_headers_with_extra_keys_percent_encoded(
    server: ApiServer, config: ClusterConfig
) -> None:
    acting = Impersonation("jane", "42", ("dev", "ops"), {"acme.com/Project": ("a", "b")})
    asked = ClusterConfig(server=server.url, ca_file=config.ca_file, impersonation=acting)
    async with transport(asked) as to:
        await to.request(CREATE, timeout_s=5)
    (seen,) = server.seen
    assert seen.header("Impersonate-User") == ["jane"]
    assert seen.header("Impersonate-Uid") == ["42"]
    assert seen.header("Impersonate-Group") == ["dev", "ops"]
    assert seen.header("Impersonate-Extra-acme.com%2Fproject") == ["a", "b"]
    assert seen.header("Content-Type") == ["application/json"]


async def test_a_proxy_is_asked_for_a_tunnel_and_the_server_is_verified_through_it(
    server: ApiServer, config: ClusterConfig
) -> None:
    asked: list[bytes] = []
    pumps: list[asyncio.Task[None]] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        if b"refused" in asked[-1]:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        pumps.append(asyncio.create_task(pump(reader, upstream_writer)))
        pumps.append(asyncio.create_task(pump(upstream_reader, writer)))

    listening = await asyncio.start_server(proxy, "127.0.0.1", 0)
    proxy_url = f"http://user:secret@127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    proxied = ClusterConfig(server=server.url, ca_file=config.ca_file, proxy_url=proxy_url)
    async with transport(proxied) as to:
        await to.request(GET, timeout_s=5)
        await to.request(CREATE, timeout_s=5)
    async with transport(ClusterConfig(server="https://refused:1", proxy_url=proxy_url)) as to:
        with pytest.raises(errors.Unavailable, match="proxy") as caught:
            await to.request(CREATE, timeout_s=5)
    assert not caught.value.sent
    assert "secret" not in str(caught.value) + repr(proxied)
    assert asked[0].startswith(f"CONNECT 127.0.0.1:{server.port} ".encode())
    assert len(server.seen) == 2
    listening.close()
    async with asyncio.timeout(5):
        await asyncio.gather(*pumps, return_exceptions=True)


async def test_requests_are_counted_by_code_verb_and_resource(server: ApiServer, config: ClusterConfig) -> None:
    metrics = Metrics()
    server.accept = {"good"}
    good = ClusterConfig(server=server.url, ca_file=config.ca_file, credentials=StaticToken("good"))
    async with transport(good, metrics=metrics) as to:
        await to.request(GET, timeout_s=5)
        await to.request(GET, timeout_s=5)
        async with to.stream(GET, open_timeout_s=5, idle_timeout_s=5):
            pass
    async with transport(config, metrics=metrics) as to:
        with pytest.raises(errors.Unauthorized):
            await to.request(CREATE, timeout_s=5)
    async with transport(ClusterConfig(server="http://127.0.0.1:1"), metrics=metrics) as to:
        with pytest.raises(errors.Unavailable):
            await to.request(GET, timeout_s=5)

    def count(code: str, verb: str) -> float | None:
        labels = {"code": code, "method": verb, "resource": "pods"}
        return metrics.registry.get_sample_value("rest_client_requests_total", labels)

    assert [count("200", "GET"), count("200", "WATCH"), count("401", "POST"), count("<error>", "GET")] == [2, 1, 1, 1]
    timed = metrics.registry.get_sample_value("rest_client_request_duration_seconds_count", {"method": "GET"})
    assert timed == 2


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/api/v1/pods", "pods"),
        ("/api/v1/namespaces/a/pods/b/status", "pods"),
        ("/api/v1/namespaces", "namespaces"),
        ("/api/v1/namespaces/a", "namespaces"),
        ("/api/v1/namespaces/a/status", "namespaces"),
        ("/api/v1/namespaces/a/finalize", "namespaces"),
        ("/api/v1/nodes/n", "nodes"),
        ("/apis/apps/v1/namespaces/a/deployments/b/scale", "deployments"),
        ("/apis/coordination.k8s.io/v1/leases", "leases"),
        ("/apis/apps/v1", ""),
        ("/apis", ""),
        ("/version", ""),
        ("/", ""),
        ("", ""),
    ],
)
def test_the_resource_of_a_path_is_its_plural(path: str, resource: str) -> None:
    assert resource_of(path) == resource
