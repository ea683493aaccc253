"""A real API server that serves our kinds and has our rights, started once."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from kubeloop import ClusterConfig, HttpTransport, Impersonation, Request, connect, ensure_definitions
from kubeloop.testing import ControlPlane, MissingAssets, find_assets
from kuryr.model.resources import KINDS

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """Without its programs, which the lab builds: skipped, in CI failed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        plane = ControlPlane(assets=find_assets([cache / "kuryr-lab" / "bin"]))
    except MissingAssets as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    asyncio.run(_start(plane))
    try:
        yield plane
    finally:
        plane.stop()


async def _start(plane: ControlPlane) -> None:
    await plane.start()
    async with connect(plane.config(), user_agent="test/1", field_manager="test") as client:
        await ensure_definitions(client, KINDS)
    async with HttpTransport(plane.config(), user_agent="test/1") as transport:
        for manifest in yaml.safe_load_all((REPOSITORY / "deploy" / "rbac.yaml").read_text()):
            body = msgspec.json.encode(manifest)
            await transport.request(Request("POST", _collection(manifest), body=body), timeout_s=10)


def _collection(manifest: dict[str, Any]) -> str:
    group, namespace = manifest["apiVersion"], manifest["metadata"].get("namespace")
    prefix = f"/apis/{group}" if "/" in group else f"/api/{group}"
    within = f"/namespaces/{namespace}" if namespace else ""
    return f"{prefix}{within}/{manifest['kind'].lower()}s"


def refusals(plane: ControlPlane) -> set[str]:
    """What was asked without the right to."""
    return {
        f"{event['verb']} {event['requestURI'].partition('?')[0]}"
        for event in plane.audit()
        if event.get("responseStatus", {}).get("code") == 403
    }


def acting_as(plane: ControlPlane, account: str) -> ClusterConfig:
    """With the rights of a service account of deploy/rbac.yaml, and no others."""
    user = f"system:serviceaccount:kuryr-system:{account}"
    groups = ("system:serviceaccounts", "system:authenticated")
    return replace(plane.config(), impersonation=Impersonation(user=user, groups=groups))
