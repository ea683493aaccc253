"""What a node does while others are away, on the real thing."""

import json
import signal
import time

import pytest

from kuryr.lab.demo import eventually, taps
from kuryr.lab.kubernetes import kubectl
from kuryr.lab.kuryr_processes import daemon_name
from kuryr.lab.lab import Lab
from kuryr.lab.layout import POD_IMAGE, NodeSpec
from kuryr.lab.processes import run

from .conftest import Pods

pytestmark = pytest.mark.lab

API_SERVER = "kube-apiserver"


def create_lasting(lab: Lab, name: str, node: str) -> None:
    """A pod whose sandbox the kubelet makes anew when it dies."""
    container = {"name": "main", "image": POD_IMAGE, "imagePullPolicy": "Never", "command": ["/agnhost", "pause"]}
    spec = {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    kubectl(lab.layout, "create", "-f", "-", stdin=json.dumps(pod))


def containerd(lab: Lab, node: NodeSpec, *arguments: str) -> str:
    socket = lab.layout.node_state(node) / "containerd.sock"
    return run([lab.layout.kube_bin / "ctr", "-a", socket, "-n", "k8s.io", *arguments])


def sandbox_of(lab: Lab, node: NodeSpec, pod: str) -> str:
    """The id of a pod's sandbox."""
    for line in containerd(lab, node, "containers", "ls", "-q").split():
        labels = json.loads(containerd(lab, node, "containers", "info", line))["Labels"]
        if labels.get("io.cri-containerd.kind") == "sandbox" and labels.get("io.kubernetes.pod.name") == pod:
            return line
    raise AssertionError(f"{pod} has no sandbox")


def node_is_ready(lab: Lab, node: NodeSpec) -> bool:
    status = json.loads(kubectl(lab.layout, "get", "node", node.name, "-o", "json"))["status"]
    return any(one["type"] == "Ready" and one["status"] == "True" for one in status["conditions"])


def test_with_the_api_server_away_a_new_daemon_rebuilds_a_killed_sandbox_with_its_address(lab: Lab, pods: Pods) -> None:
    node = lab.layout.nodes[0]
    create_lasting(lab, "kept", node.name)
    pods.wait_ready("kept")
    address = pods.addresses()["kept"]
    sandbox = sandbox_of(lab, node, "kept")
    time.sleep(2)  # until the daemon's copy is written
    before = set(taps(lab))
    lab.processes.stop(API_SERVER)
    try:
        lab.processes.signal(daemon_name(node), signal.SIGKILL)
        lab.processes.stop(daemon_name(node))
        lab.kuryr.start_daemon(node)
        containerd(lab, node, "tasks", "kill", "-s", "SIGKILL", sandbox)
        eventually(lambda: bool(set(taps(lab)) - before), timeout_s=60, what=lambda: f"no new sandbox: {taps(lab)}")
        again = sandbox_of(lab, node, "kept")
        inside = json.loads(containerd(lab, node, "containers", "info", again))["Spec"]["linux"]["namespaces"]
        (netns,) = (one["path"] for one in inside if one["type"] == "network")
        assert f"inet {address}/" in run(["nsenter", f"--net={netns}", "ip", "-4", "addr", "show", "eth0"])
    finally:
        lab.up()
    eventually(
        lambda: pods.is_ready("kept") and pods.addresses()["kept"] == address,
        timeout_s=60,
        what=lambda: f"{pods.addresses()}, not {address}",
    )


def test_a_node_is_unready_without_ovn_controller_and_ready_when_it_is_back(lab: Lab) -> None:
    node = lab.layout.nodes[0]
    ovn = f"{node.name}-ovn-controller"
    lab.processes.signal(ovn, signal.SIGSTOP)
    try:
        eventually(lambda: not node_is_ready(lab, node), timeout_s=60, what=lambda: "the node is still ready")
    finally:
        lab.processes.signal(ovn, signal.SIGCONT)
    eventually(lambda: node_is_ready(lab, node), timeout_s=60, what=lambda: "the node is not ready again")
