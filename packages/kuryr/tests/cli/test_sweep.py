"""`kuryr sweep` on a real API server, beside a controller with the rights of deploy/rbac.yaml."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeloop import Informer, ObjectKey, find_condition
from kubeloop.testing import ControlPlane
from kuryr.cli.main import main
from kuryr.model.configuration import Sweep
from kuryr.model.ownership import ClusterId, PoolUid, Slot, device_id, device_owner, mac_address
from kuryr.model.resources import CLUSTER_NAME, KuryrCluster

from ..ports.test_on_a_server import Cluster, running

Capture = pytest.CaptureFixture[str]

FAST = Sweep(every_s=0.3, after_s=0.3, max_count=2)


@pytest.fixture
def config(control_plane: ControlPlane, tmp_path: Path) -> str:
    path = tmp_path / "kuryr.yaml"
    path.write_text(yaml.safe_dump({"kubernetes": {"kubeconfig": str(control_plane.kubeconfig)}}))
    return str(path)


def leak(cluster: Cluster, number: int, *, status: str = "DOWN") -> str:
    """A port of a pool that is gone."""
    owner, slot = ClusterId(cluster.node), Slot(PoolUid("gone"), number)
    port: dict[str, Any] = {
        "id": f"leaked-{number}",
        "network_id": "net",
        "mac_address": mac_address(owner, slot),
        "device_owner": device_owner(owner),
        "device_id": device_id(slot),
        "status": status,
    }
    cluster.neutron.ports[port["id"]] = port
    return str(port["id"])


def leaked(cluster: Cluster) -> set[str]:
    return {one for one in cluster.neutron.ports if one.startswith("leaked")}


async def shown(cluster: Cluster, condition: Callable[[KuryrCluster], bool]) -> KuryrCluster:
    """The KuryrCluster of this controller, once it is so."""
    following = Informer(cluster.client, KuryrCluster)
    task = asyncio.create_task(following.run())
    try:
        async with asyncio.timeout(20):
            found = await following.wait_for(
                ObjectKey("", CLUSTER_NAME),
                lambda one: one is not None and one.status.cluster_id == cluster.node and condition(one),
            )
    finally:
        task.cancel()
    assert found is not None
    return found


def reason(cluster: KuryrCluster) -> str:
    found = find_condition(cluster.status.conditions, "SweepAllowed")
    return found.reason if found is not None else ""


async def kuryr(*argv: str) -> int:
    return await asyncio.to_thread(main, argv)


async def test_a_little_goes_by_itself(control_plane: ControlPlane) -> None:
    async with running(control_plane, sweep=FAST) as cluster:
        leak(cluster, 1)
        await shown(cluster, lambda one: reason(one) == "WithinLimits")
        assert leaked(cluster) == set()
        await shown(cluster, lambda one: reason(one) == "NothingToSweep")


async def test_a_person_sees_what_and_why_and_lets_exactly_that_go(
    control_plane: ControlPlane, config: str, capsys: Capture
) -> None:
    async with running(control_plane, sweep=FAST) as cluster:
        for number in range(3):
            leak(cluster, number)
        plan = (await shown(cluster, lambda one: one.status.sweep.total == 3)).status.sweep
        assert await kuryr("sweep", "--plan", "--config", config) == 0
        printed = capsys.readouterr().out
        assert "leaked-2  kuryr:gone:2: there is no such pool" in printed
        assert f"plan {plan.digest}" in printed
        assert "TooMuch: nothing explains 3 things" in printed
        assert len(leaked(cluster)) == 3
        assert await kuryr("sweep", "--apply", "another", "--config", config) == 1
        assert f"kuryr: the plan is {plan.digest} now, not another" in capsys.readouterr().err
        assert await kuryr("sweep", "--apply", plan.digest, "--config", config) == 0
        assert "deletes these 3" in capsys.readouterr().out
        await shown(cluster, lambda one: reason(one) == "NothingToSweep")
        assert leaked(cluster) == set()
        assert await kuryr("sweep", "--apply", "--config", config) == 0
        assert "There is nothing to sweep." in capsys.readouterr().out


async def test_a_second_cluster_of_our_id_cannot_be_approved(
    control_plane: ControlPlane, config: str, capsys: Capture
) -> None:
    async with running(control_plane, sweep=FAST) as cluster:
        leak(cluster, 1)
        leak(cluster, 2, status="ACTIVE")
        await shown(cluster, lambda one: reason(one) == "ClusterIdShared")
        assert await kuryr("sweep", "--apply", "--config", config) == 1
        assert (
            "nothing is swept, whatever is approved: there are ports with this cluster's mark"
            in capsys.readouterr().err
        )
        assert len(leaked(cluster)) == 2
