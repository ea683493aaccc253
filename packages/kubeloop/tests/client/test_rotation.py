"""What rotates on disk while requests go on: token, CA, client certificate."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from kubeloop.client import errors
from kubeloop.client.config import ClusterConfig, Identity, StaticToken, TokenFile
from kubeloop.client.connections import Connections
from kubeloop.client.kubeconfig import in_cluster_config
from kubeloop.client.tls import KeyPair, client_context
from kubeloop.client.transport import HttpTransport, Request

from .api_server import ApiServer, until, write_ca

GET = Request("GET", "/api/v1/pods")


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def publish(volume: Path, version: str, files: dict[str, str]) -> None:
    """Swaps the content of a volume as the kubelet does: a new folder, and `..data` renamed over the old symlink."""
    folder = volume / f"..{version}"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(content)
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(f"..data/{name}")
    (volume / "..new").symlink_to(folder.name)
    os.replace(volume / "..new", volume / "..data")


def pem(ca: trustme.CA) -> str:
    return ca.cert_pem.bytes().decode()


def key_pair(ca: trustme.CA, name: str) -> KeyPair:
    issued = ca.issue_cert(name)
    chain = "".join(part.bytes().decode() for part in issued.cert_chain_pems)
    return KeyPair(chain, issued.private_key_pem.bytes().decode())


async def test_a_token_file_is_read_again_within_a_second_of_its_change_and_not_looked_at_before(
    tmp_path: Path,
) -> None:
    file, clock = tmp_path / "token", Clock()
    file.write_text("one\n")
    token = TokenFile(file, clock=clock)
    first = await token.identity()
    assert first.headers == {"Authorization": "Bearer one"}
    file.write_text("three")
    assert await token.identity() is first
    clock.now += 1
    assert (await token.identity()).headers == {"Authorization": "Bearer three"}


async def test_a_token_file_that_is_gone_or_empty_leaves_the_last_token_in_use(tmp_path: Path) -> None:
    file, clock = tmp_path / "token", Clock()
    token = TokenFile(file, clock=clock)
    with pytest.raises(errors.Unauthorized, match=str(file)):
        await token.identity()
    file.write_text("one")
    first = await token.identity()
    for spoil in (lambda: file.write_text(""), file.unlink):
        spoil()
        clock.now += 1
        assert await token.identity() is first
        assert not await token.renew(first)


async def test_a_401_reads_the_token_at_once_and_repeats_the_request_once(
    server: ApiServer, ca_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    server.accept = {"one"}
    config = ClusterConfig(server=server.url, ca_file=ca_file, credentials=TokenFile(file))
    async with HttpTransport(config, user_agent="test/1") as transport:
        await transport.request(GET, timeout_s=5)
        server.accept = {"two"}
        file.write_text("two")
        await transport.request(Request("POST", "/api/v1/pods", body=b"{}"), timeout_s=5)
        assert [seen.header("Authorization") for seen in server.seen] == [
            ["Bearer one"],
            ["Bearer one"],
            ["Bearer two"],
        ]
        server.accept = set()
        server.seen.clear()
        with pytest.raises(errors.Unauthorized):
            await transport.request(GET, timeout_s=5)
        assert len(server.seen) == 1  # the token is the same still
        file.write_text("three")
        with pytest.raises(errors.Unauthorized):
            await transport.request(GET, timeout_s=5)
        assert len(server.seen) == 3


async def test_a_401_repeats_the_opening_of_a_stream(server: ApiServer, ca_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    server.accept = {"two"}
    config = ClusterConfig(server=server.url, ca_file=ca_file, credentials=TokenFile(file))
    await config.credentials.identity()
    file.write_text("two")
    async with HttpTransport(config, user_agent="test/1") as transport:
        async with transport.stream(GET, open_timeout_s=5, idle_timeout_s=5) as lines:
            assert [line async for line in lines] == []
        server.accept = set()
        with pytest.raises(errors.Unauthorized):
            async with transport.stream(GET, open_timeout_s=5, idle_timeout_s=5):
                pass


async def test_in_a_pod_a_new_token_and_a_new_ca_swapped_in_by_the_kubelet_are_used(
    server: ApiServer, tmp_path: Path
) -> None:
    publish(tmp_path, "v1", {"token": "one", "ca.crt": pem(server.ca), "namespace": "kuryr"})
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}
    config = in_cluster_config(environ=environ, service_account=tmp_path)
    assert config.namespace == "kuryr"
    server.accept = {"one"}
    async with HttpTransport(config, user_agent="test/1") as transport:
        await transport.request(GET, timeout_s=5)
        new = trustme.CA()
        server.certify(new)
        server.accept = {"two"}
        publish(tmp_path, "v2", {"token": "two", "ca.crt": pem(new), "namespace": "kuryr"})

        async def reached() -> None:
            while True:
                try:
                    await transport.request(GET, timeout_s=5)
                    return
                except errors.Unavailable:  # until the second is over in which the files are not looked at
                    await asyncio.sleep(0.05)

        async with asyncio.timeout(3):
            await reached()
    assert server.seen[-1].header("Authorization") == ["Bearer two"]


async def test_an_old_pool_serves_the_stream_it_carries_and_is_closed_with_it(ca: trustme.CA, tmp_path: Path) -> None:
    clock = Clock()
    file = write_ca(ca, tmp_path / "ca.crt")
    connections = Connections(ClusterConfig(server="https://127.0.0.1:1", ca_file=file), clock=clock)
    stream = connections.acquire(None)
    for _ in range(3):
        write_ca(trustme.CA(), file)
        clock.now += 1
        request = connections.acquire(None)
        assert request is not stream
        await connections.release(request)
    assert connections.retired == 1  # those between carried nothing any more
    assert not stream.session.closed
    await connections.release(stream)
    assert stream.session.closed
    assert connections.retired == 0
    await connections.close()


async def test_certificates_that_are_half_written_or_gone_change_nothing(ca: trustme.CA, tmp_path: Path) -> None:
    clock = Clock()
    file = write_ca(ca, tmp_path / "ca.crt")
    connections = Connections(ClusterConfig(server="https://127.0.0.1:1", ca_file=file), clock=clock)
    works = connections.acquire(None)
    whole = pem(trustme.CA())
    for content in ("", whole[: len(whole) // 2], None):
        file.unlink() if content is None else file.write_text(content)
        clock.now += 1
        assert connections.acquire(None) is works
    file.write_text(whole)
    assert connections.acquire(None) is works  # not looked at within the second
    clock.now += 1
    assert connections.acquire(None) is not works
    await connections.close()


async def test_certificates_that_never_loaded_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("nonsense")
    connections = Connections(ClusterConfig(server="https://127.0.0.1:1", ca_file=tmp_path / "ca.crt"))
    with pytest.raises(errors.Unavailable, match=r"ca\.crt") as caught:
        connections.acquire(None)
    assert not caught.value.sent


async def test_a_client_certificate_of_files_is_presented_and_its_successor_after_a_rotation(
    server: ApiServer, ca: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    server.ask_for_client_certificate(ca)
    certificate, key = tmp_path / "client.crt", tmp_path / "client.key"

    def issue() -> None:
        pair = key_pair(ca, "client.example")
        certificate.write_text(pair.certificate)
        key.write_text(pair.key)

    issue()
    config = ClusterConfig(server=server.url, ca_file=ca_file, client_certificate=certificate, client_key=key)
    async with HttpTransport(config, user_agent="test/1") as transport:
        await transport.request(GET, timeout_s=5)
        issue()
        async with asyncio.timeout(3):
            while len(set(server.client_certificates)) < 2:
                await transport.request(GET, timeout_s=5)
                await asyncio.sleep(0.05)


async def test_a_new_key_pair_of_the_credentials_is_presented_on_new_connections(
    server: ApiServer, ca: trustme.CA, ca_file: Path
) -> None:
    class Rotating:
        pair = key_pair(ca, "client.example")

        async def identity(self) -> Identity:
            return Identity(key_pair=self.pair)

        async def renew(self, refused: Identity) -> bool:
            return False

    server.ask_for_client_certificate(ca)
    credentials = Rotating()
    config = ClusterConfig(server=server.url, ca_file=ca_file, credentials=credentials)
    async with HttpTransport(config, user_agent="test/1") as transport:
        await transport.request(GET, timeout_s=5)
        credentials.pair = key_pair(ca, "client.example")
        await transport.request(GET, timeout_s=5)
        await transport.request(GET, timeout_s=5)
    assert len(server.client_certificates) == 3
    assert len(set(server.client_certificates)) == 2


async def test_requests_under_way_survive_a_new_ca(server: ApiServer, ca_file: Path) -> None:
    go = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path != "/version":
            await go.wait()
        return web.json_response({})

    server.answer = answer
    config = ClusterConfig(server=server.url, ca_file=ca_file)
    async with HttpTransport(config, user_agent="test/1") as transport:
        under_way = asyncio.create_task(transport.request(GET, timeout_s=5))
        await until(lambda: bool(server.seen))
        write_ca(trustme.CA(), ca_file)

        async def ask_until_refused() -> None:
            while True:
                await transport.request(Request("GET", "/version"), timeout_s=5)
                await asyncio.sleep(0.05)

        with pytest.raises(errors.Unavailable, match="not accepted"):
            await asyncio.wait_for(ask_until_refused(), 3)
        go.set()
        assert (await under_way).status == 200


def test_an_intermediate_ca_is_a_trust_anchor_as_in_go(tmp_path: Path) -> None:
    leaf_ca = trustme.CA().create_child_ca()
    context = client_context(ca_file=write_ca(leaf_ca, tmp_path / "ca.crt"))
    assert len(context.get_ca_certs()) == 1


def test_no_secret_is_in_a_repr(ca: trustme.CA) -> None:
    pair = key_pair(ca, "client.example")
    config = ClusterConfig(server="https://a", credentials=StaticToken("t0ken"), key_pair=pair)
    identity = Identity({"Authorization": "Bearer t0ken"}, pair)
    shown = repr(config) + repr(config.credentials) + repr(identity) + repr(Request("POST", "/", body=b"t0ken"))
    assert "t0ken" not in shown
    assert "PRIVATE" not in shown
