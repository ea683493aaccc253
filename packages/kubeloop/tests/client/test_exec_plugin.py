"""Exec plug-ins that are small shell scripts, run as client-go runs them."""

import asyncio
import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from kubeloop.client import errors
from kubeloop.client.config import ClusterConfig
from kubeloop.client.exec_plugin import Command, ExecPlugin
from kubeloop.client.kubeconfig import parse_kubeconfig
from kubeloop.client.transport import HttpTransport, Request

from .api_server import ApiServer, until
from .test_rotation import Clock, key_pair

V1 = "client.authentication.k8s.io/v1"
GET = Request("GET", "/api/v1/pods")

Plugin = Callable[..., Path]


def credential(api_version: str = V1, **status: Any) -> str:
    return json.dumps({"apiVersion": api_version, "kind": "ExecCredential", "status": status})


def at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a plug-in: each run adds a line to the file `runs`."""

    def write(body: str) -> Path:
        path = tmp_path / "plugin"
        path.write_text(f"#!/bin/sh\necho run >> {tmp_path}/runs\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return write


@pytest.fixture
def runs(tmp_path: Path) -> Callable[[], int]:
    file = tmp_path / "runs"
    return lambda: len(file.read_text().splitlines()) if file.exists() else 0


def plugin(path: Path, *args: str, clock: Clock | None = None, timeout_s: float = 5.0, **options: Any) -> ExecPlugin:
    command = Command((str(path), *args), V1, **options)
    return ExecPlugin(command, timeout_s=timeout_s, wall_clock=clock or Clock())


async def test_the_token_of_a_plugin_is_used_and_the_plugin_runs_once(
    script: Callable[[str], Path], runs: Callable[[], int]
) -> None:
    credentials = plugin(script(f"echo '{credential(token='t0ken')}'"))
    found = await asyncio.gather(*(credentials.identity() for _ in range(20)))
    assert {id(one) for one in found} == {id(found[0])}
    assert found[0].headers == {"Authorization": "Bearer t0ken"}
    assert runs() == 1


async def test_a_plugin_runs_again_shortly_before_its_credentials_expire(
    script: Callable[[str], Path], runs: Callable[[], int]
) -> None:
    clock = Clock()
    credentials = plugin(
        script(f"echo '{credential(token='t', expirationTimestamp=at(clock.now + 1000))}'"), clock=clock
    )
    await credentials.identity()
    clock.now += 930
    await credentials.identity()
    assert runs() == 1
    clock.now += 20
    await credentials.identity()
    assert runs() == 2


async def test_a_renewal_that_fails_leaves_what_is_valid_still_and_fails_when_it_is_not(
    script: Callable[[str], Path], runs: Callable[[], int]
) -> None:
    clock = Clock()
    credentials = plugin(
        script(f"echo '{credential(token='t', expirationTimestamp=at(clock.now + 1000))}'"), clock=clock
    )
    first = await credentials.identity()
    script("echo the broker is down >&2; exit 3")
    clock.now += 950
    assert await credentials.identity() is first
    assert await credentials.identity() is first
    assert runs() == 2  # not at every request
    clock.now += 60
    with pytest.raises(errors.Unauthorized, match="exit code 3: the broker is down"):
        await credentials.identity()


async def test_those_who_wait_for_a_run_share_its_failure(
    script: Callable[[str], Path], runs: Callable[[], int]
) -> None:
    credentials = plugin(script("echo no luck >&2; exit 1"))
    found = await asyncio.gather(*(credentials.identity() for _ in range(20)), return_exceptions=True)
    assert all(isinstance(one, errors.Unauthorized) and "no luck" in one.message for one in found)
    assert runs() == 1


async def test_a_plugin_that_hangs_is_killed_with_its_children(script: Callable[[str], Path], tmp_path: Path) -> None:
    credentials = plugin(script(f"sleep 60 & echo $! > {tmp_path}/child; wait"), timeout_s=0.5)
    with pytest.raises(errors.Unauthorized, match=r"no answer within 0\.5 s"):
        await credentials.identity()
    child = int((tmp_path / "child").read_text())

    def gone() -> bool:
        try:
            return Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    await until(gone)


async def test_a_cancelled_request_does_not_leave_the_plugin_running_and_the_next_runs_it_anew(
    script: Callable[[str], Path], runs: Callable[[], int]
) -> None:
    credentials = plugin(script("sleep 60"), timeout_s=60)
    first, second = (asyncio.create_task(credentials.identity()) for _ in range(2))
    await until(lambda: runs() == 1)
    script(f"echo '{credential(token='t')}'")
    first.cancel()
    async with asyncio.timeout(5):
        assert (await second).headers
    assert first.cancelled()
    assert runs() == 2


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("nonsense s3cret", "no ExecCredential"),
        (credential("client.authentication.k8s.io/v1beta1", token="s3cret"), "not client.authentication.k8s.io/v1/"),
        (json.dumps({"apiVersion": V1, "kind": "Other", "status": {"token": "s3cret"}}), "Other"),
        (json.dumps({"apiVersion": V1, "kind": "ExecCredential"}), "neither a token nor a certificate"),
        (credential(), "neither a token nor a certificate"),
        (credential(clientCertificateData="s3cret"), "go together"),
        (credential(token="s3cret", expirationTimestamp="tomorrow"), "no ExecCredential"),
        (credential(token="s3cret", expirationTimestamp="2030-01-01T00:00:00"), "time zone"),
    ],
)
async def test_what_is_not_a_credential_is_refused_and_not_quoted(
    script: Callable[[str], Path], output: str, problem: str
) -> None:
    with pytest.raises(errors.Unauthorized, match=problem) as caught:
        await plugin(script(f"echo '{output}'")).identity()
    assert "s3cret" not in str(caught.value)


async def test_a_plugin_that_has_gone_is_an_error_with_the_hint_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(errors.Unauthorized, match=r"not installed\. Get it from example"):
        await plugin(tmp_path / "gone", install_hint="Get it from example").identity()


async def test_a_401_runs_the_plugin_once_for_all_requests_that_it_hit(
    server: ApiServer, ca_file: Path, script: Callable[[str], Path], runs: Callable[[], int]
) -> None:
    server.accept = {"one"}
    credentials = plugin(script(f"echo '{credential(token='one')}'"))
    config = ClusterConfig(server=server.url, ca_file=ca_file, credentials=credentials)
    async with HttpTransport(config, user_agent="test/1") as transport:
        await transport.request(GET, timeout_s=5)
        server.accept = {"two"}
        script(f"echo '{credential(token='two')}'")
        await asyncio.gather(*(transport.request(GET, timeout_s=5) for _ in range(5)))
        assert runs() == 2
        server.accept = set()
        script("echo revoked >&2; exit 1")
        with pytest.raises(errors.Unauthorized, match="revoked"):
            await transport.request(GET, timeout_s=5)


async def test_a_client_certificate_of_a_plugin_is_presented(
    server: ApiServer, ca: trustme.CA, ca_file: Path, script: Callable[[str], Path], tmp_path: Path
) -> None:
    server.ask_for_client_certificate(ca)
    pair = key_pair(ca, "client.example")
    output = tmp_path / "credential.json"
    output.write_text(credential(clientCertificateData=pair.certificate, clientKeyData=pair.key))
    config = ClusterConfig(server=server.url, ca_file=ca_file, credentials=plugin(script(f"cat {output}")))
    async with HttpTransport(config, user_agent="test/1") as transport:
        await transport.request(GET, timeout_s=5)
    assert len(server.client_certificates) == 1


async def test_the_plugin_of_a_kubeconfig_gets_arguments_environment_and_the_cluster_but_no_input(
    script: Callable[[str], Path], ca_file: Path, tmp_path: Path
) -> None:
    answer = credential(token="t")
    script(f"cat > {tmp_path}/input; echo \"$1 $COLOUR $KUBERNETES_EXEC_INFO\" > {tmp_path}/told; echo '{answer}'")
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": "https://api.example",
                    "certificate-authority": ca_file.name,
                    "tls-server-name": "name.example",
                    "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}],
                },
            }
        ],
        "users": [
            {
                "name": "u",
                "user": {
                    "exec": {
                        "apiVersion": V1,
                        "command": "./plugin",
                        "args": ["argument"],
                        "env": [{"name": "COLOUR", "value": "blue"}],
                        "interactiveMode": "IfAvailable",
                        "provideClusterInfo": True,
                    }
                },
            }
        ],
    }
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(content))
    config = parse_kubeconfig([file])
    assert (await config.credentials.identity()).headers == {"Authorization": "Bearer t"}
    argument, colour, told = (tmp_path / "told").read_text().split(" ", 2)
    info = json.loads(told)
    assert (argument, colour) == ("argument", "blue")
    assert (info["apiVersion"], info["kind"], info["spec"]["interactive"]) == (V1, "ExecCredential", False)
    cluster = info["spec"]["cluster"]
    assert cluster["server"] == "https://api.example"
    assert cluster["tls-server-name"] == "name.example"
    assert cluster["config"] == {"audience": "a"}
    assert cluster["certificate-authority-data"]
    assert (tmp_path / "input").read_bytes() == b""
    assert "blue" not in repr(config)
    assert os.environ.get("COLOUR") != "blue"
