"""Credentials that change under a running controller: it goes on with the new ones, within 5 s."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kubeloop.client import errors
from kubeloop.client.client import connect
from kubeloop.client.config import ClusterConfig, StaticToken, TokenFile
from kubeloop.client.transport import HttpTransport, Request
from kubeloop.model.core import Namespace
from kubeloop.testing import ControlPlane

from .observer import NAMESPACE, check_converged, list_now, loading, observing

ACCOUNT = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"


async def post(config: ClusterConfig, path: str, body: dict[str, Any]) -> Any:
    async with HttpTransport(config, user_agent="judge/1") as transport:
        answer = await transport.request(Request("POST", path, body=msgspec.json.encode(body)), timeout_s=10)
    return msgspec.json.decode(answer.body)


async def make_account(config: ClusterConfig) -> None:
    await post(config, ACCOUNT, {"metadata": {"name": "observer"}})
    binding = {
        "metadata": {"name": "observer"},
        "subjects": [{"kind": "ServiceAccount", "name": "observer", "namespace": NAMESPACE}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    }
    await post(config, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)


async def token_bound_to(config: ClusterConfig, secret: str) -> str:
    """A token that is good as long as a Secret is there."""
    made = await post(config, SECRETS, {"metadata": {"name": secret}})
    bound = {"apiVersion": "v1", "kind": "Secret", "name": secret, "uid": made["metadata"]["uid"]}
    asked = await post(config, f"{ACCOUNT}/observer/token", {"spec": {"audiences": [], "boundObjectRef": bound}})
    token: str = asked["status"]["token"]
    return token


async def wait_refused(config: ClusterConfig) -> None:
    """The API server remembers for 10 s that it has seen a token to be good."""
    async with connect(config, user_agent="judge/1") as client, asyncio.timeout(30):
        while True:
            try:
                await client.get(Namespace, "default")
            except errors.Unauthorized:
                return
            await asyncio.sleep(0.2)


async def test_a_token_that_was_revoked_and_replaced_in_its_file(plane: ControlPlane, tmp_path: Path) -> None:
    admin = plane.config()
    await make_account(admin)
    first = await token_bound_to(admin, "first")
    file = tmp_path / "token"
    file.write_text(first)
    async with observing(replace(admin, credentials=TokenFile(file))) as observer:
        async with HttpTransport(admin, user_agent="judge/1") as transport:
            await transport.request(Request("DELETE", f"{SECRETS}/first"), timeout_s=10)
        await wait_refused(replace(admin, credentials=StaticToken(first)))
        async with loading(admin):
            plane.kill_apiserver()  # who has a watch open is not asked again who he is
            await plane.start_apiserver()
            await asyncio.sleep(3)
            assert observer.problems(await list_now(admin))  # it is cut off
            second = await token_bound_to(admin, "second")
            (tmp_path / "new").write_text(second)
            (tmp_path / "new").replace(file)
            ended = time.monotonic()
            await asyncio.sleep(1)
        await check_converged(observer, admin, since=ended)


async def test_a_server_with_a_new_ca_that_then_comes_to_the_file(plane: ControlPlane, tmp_path: Path) -> None:
    admin = plane.config()
    ca = tmp_path / "ca.crt"
    ca.write_bytes(plane.ca_file.read_bytes())
    async with observing(replace(admin, ca_file=ca)) as observer:
        async with loading(admin):
            await asyncio.sleep(1)
            plane.kill_apiserver()
            await plane.start_apiserver(new_ca=True)
            await asyncio.sleep(3)
            assert observer.problems(await list_now(admin))  # it is cut off
            with pytest.raises(errors.Unavailable):
                async with connect(replace(admin, ca_file=ca), user_agent="judge/1", timeout_s=1) as distrustful:
                    await distrustful.get(Namespace, "default")
            (tmp_path / "new").write_bytes(plane.ca_file.read_bytes())
            (tmp_path / "new").replace(ca)
            ended = time.monotonic()
            await asyncio.sleep(1)
        await check_converged(observer, admin, since=ended)
