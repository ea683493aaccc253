"""What befalls a node, and what is done in Neutron behind our back: pods that run go on, and people are told."""

import json
import signal
import sys
from pathlib import Path

import pytest

from kuryr.lab.demo import eventually
from kuryr.lab.kubernetes import kubectl
from kuryr.lab.kuryr_processes import daemon_name
from kuryr.lab.lab import Lab
from kuryr.lab.layout import LabError, NodeSpec
from kuryr.lab.openstack_api import NEUTRON_URL, Api
from kuryr.lab.processes import run
from kuryr.lab.snapshots import find_disagreements, take_machine

from .conftest import Pods, cni_status
from .soak.witness import untouched

pytestmark = pytest.mark.lab


def ready_condition(lab: Lab, node: NodeSpec) -> dict[str, str]:
    conditions = json.loads(kubectl(lab.layout, "get", "node", node.name, "-o", "json"))["status"]["conditions"]
    return next(one for one in conditions if one["type"] == "Ready")


def kill(lab: Lab, name: str) -> None:
    lab.processes.signal(name, signal.SIGKILL)
    lab.processes.stop(name)


def test_pods_flow_on_while_ovsdb_is_started_again_and_new_ones_come_afterwards(
    lab: Lab, pods: Pods, tmp_path: Path
) -> None:
    node = lab.layout.nodes[0]
    with untouched(lab, pods, tmp_path):
        kill(lab, f"{node.name}-ovsdb")
        pods.create("new", node=node.name)
        lab.network.start()
        pods.wait_ready("new")
        eventually(
            lambda: not find_disagreements(lab.layout),
            timeout_s=60,
            what=lambda: "\n".join(find_disagreements(lab.layout)),
        )


def test_a_node_without_its_ovn_controller_is_not_ready_for_our_reason_and_comes_back(
    lab: Lab, pods: Pods, tmp_path: Path
) -> None:
    node, other = lab.layout.nodes
    with untouched(lab, pods, tmp_path):
        kill(lab, f"{node.name}-ovn-controller")
        try:
            with pytest.raises(LabError, match="ovn-controller"):
                cni_status(lab, node)
            cni_status(lab, other)

            def told() -> bool:
                ready = ready_condition(lab, node)
                return ready["status"] == "False" and "ovn-controller" in ready["message"]

            eventually(told, timeout_s=90, what=lambda: f"the node is {ready_condition(lab, node)}")
            assert ready_condition(lab, other)["status"] == "True"
        finally:
            lab.network.start()
        eventually(
            lambda: ready_condition(lab, node)["status"] == "True",
            timeout_s=90,
            what=lambda: f"the node is {ready_condition(lab, node)}",
        )


def test_a_killed_sandbox_is_made_again_with_its_address_while_the_api_server_is_away(lab: Lab, pods: Pods) -> None:
    node = lab.layout.nodes[0]
    pods.create("rebuilt", node=node.name, restart_policy="Always")
    pods.wait_ready("rebuilt")
    before, address = wired(lab, node), pods.addresses()["rebuilt"]
    (sandbox,) = before
    lab.processes.stop("kube-apiserver")
    try:
        kill(lab, daemon_name(node))
        lab.kuryr.start_daemon(node)  # what it knows of the pod is its local copy
        socket = lab.layout.node_state(node) / "containerd.sock"
        ctr = [lab.layout.kube_bin / "ctr", "-a", socket, "-n", "k8s.io"]
        run([*ctr, "tasks", "kill", "-s", "SIGKILL", sandbox])
        eventually(
            lambda: len(wired(lab, node)) == 1 and sandbox not in wired(lab, node),
            timeout_s=60,
            what=lambda: f"wired: {wired(lab, node)}, and before: {before}",
        )
        assert list(wired(lab, node).values()) == list(before.values())
        run(["ping", "-c", "1", "-W", "5", address], netns=node.netns)
    finally:
        lab.control_plane.start_apiserver()
        lab.kuryr.start_controllers()
    eventually(
        lambda: not find_disagreements(lab.layout), timeout_s=90, what=lambda: "\n".join(find_disagreements(lab.layout))
    )
    assert pods.addresses()["rebuilt"] == address


def wired(lab: Lab, node: NodeSpec) -> dict[str, str]:
    """Container id of each sandbox that is wired to the end -> its port."""
    return {
        one.record.container_id: one.record.port_id
        for one in take_machine(lab.layout, node).interfaces
        if one.record is not None and one.installed
    }


def test_a_second_daemon_of_a_node_refuses_and_the_first_goes_on(lab: Lab, pods: Pods) -> None:
    node = lab.layout.nodes[0]
    configuration = lab.layout.state / "etc" / f"{daemon_name(node)}.yaml"
    second = [sys.executable, "-m", "kuryr", "daemon", "--config", configuration]
    with pytest.raises(LabError, match=r"(?s)exit 1\n.*another kuryr daemon serves"):
        run(second, netns=node.netns, env={"KURYR_DAEMON__HTTP": ""}, timeout_s=30)
    pods.create("after", node=node.name)
    pods.wait_ready("after")


def test_a_port_that_somebody_deleted_in_neutron_is_told_of_and_goes_with_its_pod(lab: Lab, pods: Pods) -> None:
    pods.create("robbed")
    pods.wait_ready("robbed")
    (port,) = pods.claims().values()
    Api("kuryr", "kubernetes").call("DELETE", f"{NEUTRON_URL}/v2.0/ports/{port}")

    def told() -> bool:
        claim = json.loads(kubectl(lab.layout, "get", "kuryrport", "robbed", "-o", "json"))
        conditions = {one["type"]: one["status"] for one in claim["status"].get("conditions", [])}
        return conditions.get("PortMissing") == "True"

    eventually(told, timeout_s=60, what=lambda: kubectl(lab.layout, "get", "kuryrport", "robbed", "-o", "yaml"))
    pods.delete("robbed")
    eventually(lambda: not pods.claims() and not pods.uids(), timeout_s=60, what=lambda: f"claims: {pods.claims()}")
    pods.create("robbed")
    pods.wait_ready("robbed")
    eventually(
        lambda: not find_disagreements(lab.layout), timeout_s=60, what=lambda: "\n".join(find_disagreements(lab.layout))
    )
