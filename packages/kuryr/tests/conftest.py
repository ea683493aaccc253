"""A real API server that serves our kinds, and has our rights and our admission policy; started once."""

import asyncio
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from kubeloop import (
    ClusterConfig,
    Forbidden,
    HttpTransport,
    Impersonation,
    ObjectMeta,
    Request,
    connect,
    ensure_definitions,
)
from kubeloop.testing import ControlPlane, MissingAssets, find_assets
from kuryr.model.resources import KINDS, KuryrNode, KuryrNodeSpec

REPOSITORY = Path(__file__).parents[3]

TRIAL = "trial/1"
"""The user agent of those who want to be refused."""


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
        for manifest in (*manifests("rbac"), *manifests("admission")):
            body = msgspec.json.encode(manifest)
            await transport.request(Request("POST", collection_of(manifest), body=body), timeout_s=10)
    await _wait_for_admission(plane)


async def _wait_for_admission(plane: ControlPlane) -> None:
    """A policy is in force some time after it was made."""
    written = KuryrNode(metadata=ObjectMeta(name="nobody"), spec=KuryrNodeSpec(node_uid="none"))
    config = acting_as(plane, "kuryr-daemon")
    async with connect(config, user_agent=TRIAL, field_manager="test") as daemon, asyncio.timeout(20):
        while True:
            try:
                await daemon.create(written, dry_run=True)
            except Forbidden:
                return
            await asyncio.sleep(0.05)


def manifests(name: str) -> list[dict[str, Any]]:
    """The objects of a file in deploy/."""
    return list(yaml.safe_load_all((REPOSITORY / "deploy" / f"{name}.yaml").read_text()))


def collection_of(manifest: dict[str, Any]) -> str:
    """The path that objects of its kind are made at."""
    group, namespace = manifest["apiVersion"], manifest["metadata"].get("namespace")
    prefix = f"/apis/{group}" if "/" in group else f"/api/{group}"
    within = f"/namespaces/{namespace}" if namespace else ""
    plural = re.sub("ys$", "ies", manifest["kind"].lower() + "s")
    return f"{prefix}{within}/{plural}"


def refusals(plane: ControlPlane) -> set[str]:
    """What was asked without the right to, or refused by our admission policy, but for what only tries it."""
    return {
        f"{event['verb']} {event['requestURI'].partition('?')[0]}"
        for event in plane.audit()
        if event.get("responseStatus", {}).get("code") == 403 and event["userAgent"] != TRIAL
    }


def acting_as(plane: ControlPlane, account: str, *, node: str = "") -> ClusterConfig:
    """With the rights of a service account of deploy/, and no others; a daemon's token is bound to its `node`."""
    user = f"system:serviceaccount:kuryr-system:{account}"
    groups = ("system:serviceaccounts", "system:authenticated")
    extra = {"authentication.kubernetes.io/node-name": (node,)} if node else {}
    return replace(plane.config(), impersonation=Impersonation(user=user, groups=groups, extra=extra))
