"""Neutron, the controllers or the API server are away. Running pods lose no packet, no node turns NotReady because of
us, and what waited is done afterwards.

Because of us means: our STATUS fails, which a runtime calls NetworkReady=false and kubelet a reason to report its node
NotReady, in an Event of its own. Without the API server kubelets cannot renew their leases, and when it is back the
node lifecycle controller may take the nodes for unknown until they have: that is Kubernetes', and is not counted.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kuryr.lab.demo import eventually
from kuryr.lab.kubernetes import kubectl
from kuryr.lab.kuryr_processes import CONTROLLERS
from kuryr.lab.lab import Lab
from kuryr.lab.snapshots import find_disagreements

from ..conftest import Pods, cni_status
from .witness import untouched

pytestmark = pytest.mark.lab


@dataclass(frozen=True)
class Outage:
    """`needs_api`: pods can be made and deleted in the middle of it."""

    full_s: float
    short_s: float
    stop: Callable[[Lab], None]
    start: Callable[[Lab], None]
    needs_api: bool = True


def start_api_server(lab: Lab) -> None:
    lab.control_plane.start_apiserver()
    lab.kuryr.start_controllers()  # a leader that cannot renew its lease ends, and is started again by kubelet


OUTAGES = {
    "neutron": Outage(
        600, 10, lambda lab: lab.processes.stop("neutron", timeout_s=20), lambda lab: lab.openstack.start_neutron()
    ),
    "controllers": Outage(
        600, 10, lambda lab: lab.processes.stop(*CONTROLLERS), lambda lab: lab.kuryr.start_controllers()
    ),
    "api-server": Outage(300, 10, lambda lab: lab.processes.stop("kube-apiserver"), start_api_server, needs_api=False),
}


def nodes_turned_by_kubelet(lab: Lab) -> int:
    """How often a kubelet has said that its node is not ready."""
    events = json.loads(kubectl(lab.layout, "get", "events", "-A", "-o", "json"))["items"]
    return sum(
        int(one.get("count") or 1)
        for one in events
        if one["reason"] == "NodeNotReady" and one.get("source", {}).get("component") == "kubelet"
    )


@pytest.mark.parametrize("what", OUTAGES)
def test_an_outage_is_survived(lab: Lab, pods: Pods, tmp_path: Path, full: bool, what: str) -> None:
    outage = OUTAGES[what]
    pods.create("stays-1", "stays-2", "leaves-1", "leaves-2")
    pods.wait_ready("stays-1", "stays-2", "leaves-1", "leaves-2")
    turned = nodes_turned_by_kubelet(lab)
    with untouched(lab, pods, tmp_path):
        if not outage.needs_api:
            pods.delete("leaves-1", "leaves-2")
            pods.create("waits-1", "waits-2")
        outage.stop(lab)
        end = time.monotonic() + (outage.full_s if full else outage.short_s)
        if outage.needs_api:
            pods.delete("leaves-1", "leaves-2")
            pods.create("waits-1", "waits-2")
        while time.monotonic() < end:
            for node in lab.layout.nodes:
                cni_status(lab, node)
            time.sleep(2)
        if outage.needs_api:
            assert not any(pods.is_ready(name) for name in ("waits-1", "waits-2"))
        outage.start(lab)
        pods.wait_ready("waits-1", "waits-2", "stays-1", "stays-2", timeout_s=180)
        eventually(
            lambda: not find_disagreements(lab.layout),
            timeout_s=120,
            what=lambda: "\n".join(find_disagreements(lab.layout)),
        )
    assert nodes_turned_by_kubelet(lab) == turned
