"""The node reaches its pods: kubelet's probes, pods on the host's network, and hostPort."""

import json
import signal
from collections.abc import Callable

import pytest

from kuryr.lab.demo import eventually
from kuryr.lab.kubernetes import kubectl
from kuryr.lab.kuryr_processes import daemon_name
from kuryr.lab.lab import Lab
from kuryr.lab.layout import POD_IMAGE, LabError, NodeSpec
from kuryr.lab.processes import run

from .conftest import Pods

pytestmark = pytest.mark.lab

WEB = ("/agnhost", "netexec", "--http-port=8080")
HOST_PORT = 18080


def probed_deployment() -> dict[str, object]:
    """Two replicas on two nodes, whose probes are of every kind."""
    image = {"image": POD_IMAGE, "imagePullPolicy": "Never"}
    often = {"periodSeconds": 1, "failureThreshold": 3}
    http = {"httpGet": {"path": "/healthz", "port": 8080}, **often}
    tcp = {"tcpSocket": {"port": 8080}, **often}
    command = {"exec": {"command": ["ls", "/bin"]}, **often, "timeoutSeconds": 5}
    containers = [
        {"name": "web", **image, "command": [*WEB], "readinessProbe": http, "livenessProbe": tcp},
        {"name": "other", **image, "command": ["/agnhost", "pause"], "readinessProbe": command, "livenessProbe": http},
    ]
    labels = {"app": "probed"}
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
    spec = {
        "terminationGracePeriodSeconds": 1,
        "containers": containers,
        "topologySpreadConstraints": [{**spread, "labelSelector": {"matchLabels": labels}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "probed"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def probes(lab: Lab, node: NodeSpec, result: str) -> int:
    """How many probes of our Deployment's pods kubelet has made with that result."""
    text = run(["curl", "-fsSk", "--max-time", "5", f"https://{node.underlay_ip}:10250/metrics/probes"])
    lines = [line for line in text.splitlines() if line.startswith("prober_probe_total{")]
    ours = [line for line in lines if 'pod="probed-' in line and f'result="{result}"' in line]
    return sum(int(float(line.rpartition(" ")[2])) for line in ours)


def restarts(lab: Lab) -> list[int]:
    pods = json.loads(kubectl(lab.layout, "get", "pods", "-o", "json"))["items"]
    return [one["restartCount"] for pod in pods for one in pod["status"]["containerStatuses"]]


def test_a_deployment_with_probes_of_every_kind_is_ready_on_both_nodes_and_stays_so_without_daemons(
    lab: Lab, pods: Pods
) -> None:
    kubectl(lab.layout, "apply", "-f", "-", stdin=json.dumps(probed_deployment()))
    kubectl(lab.layout, "rollout", "status", "deployment/probed", "--timeout=90s", timeout_s=100)
    assert set(pods.nodes().values()) == {node.name for node in lab.layout.nodes}

    def all_probed(more: int) -> bool:
        return all(probes(lab, node, "successful") >= before[node] + more for node in lab.layout.nodes)

    for node in lab.layout.nodes:
        lab.processes.signal(daemon_name(node), signal.SIGKILL)
        lab.processes.stop(daemon_name(node))
    try:
        before = {node: probes(lab, node, "successful") for node in lab.layout.nodes}
        failed = {node: probes(lab, node, "failed") for node in lab.layout.nodes}
        eventually(lambda: all_probed(16), timeout_s=60, what=lambda: f"no probes after {before}")
    finally:
        for node in lab.layout.nodes:
            lab.kuryr.start_daemon(node)
    assert {node: probes(lab, node, "failed") for node in lab.layout.nodes} == failed
    assert restarts(lab) == [0, 0, 0, 0]


def eventually_answers(name: str, fetch: Callable[[], str]) -> None:
    """A container that is Ready may not listen yet."""
    eventually(lambda: fetch().strip() == name, timeout_s=30, what=lambda: f"{name} answers {fetch()!r}")


def curl(address: str, port: int) -> list[str]:
    return ["curl", "-sS", "--max-time", "2", f"http://{address}:{port}/hostname"]


def test_a_pod_on_the_hosts_network_reaches_pods_here_and_on_the_other_node(lab: Lab, pods: Pods) -> None:
    here, there = lab.layout.nodes
    pods.create("web-here", node=here.name, command=WEB)
    pods.create("web-there", node=there.name, command=WEB)
    pods.create("on-host", node=here.name, host_network=True)
    pods.wait_ready("web-here", "web-there", "on-host")
    addresses = pods.addresses()
    assert addresses["on-host"] == here.underlay_ip
    inside = ("exec", "on-host", "--")
    for name in ("web-here", "web-there"):
        fetch = curl(addresses[name], 8080)
        eventually_answers(name, lambda fetch=fetch: kubectl(lab.layout, *inside, *fetch, check=False))


def test_a_host_port_leads_to_its_pod_until_the_pod_goes(lab: Lab, pods: Pods) -> None:
    here, there = lab.layout.nodes
    pods.create("published", node=here.name, command=WEB, host_port=(HOST_PORT, 8080))
    pods.wait_ready("published")
    fetch = curl(here.underlay_ip, HOST_PORT)
    eventually_answers("published", lambda: run(fetch, netns=there.netns, check=False))
    pods.delete("published")
    eventually(lambda: not pods.uids(), timeout_s=60, what=lambda: "the pod hangs in its deletion")
    with pytest.raises(LabError, match="curl"):
        run(fetch, netns=there.netns)


def test_the_nodes_port_is_made_again_when_somebody_deletes_it(lab: Lab, pods: Pods) -> None:
    node = lab.layout.nodes[1]
    pods.create("web", node=node.name, command=WEB)
    pods.wait_ready("web")
    fetch = curl(pods.addresses()["web"], 8080)
    eventually_answers("web", lambda: run(fetch, netns=node.netns, check=False))
    vsctl = [lab.layout.ovs_bin / "ovs-vsctl", "--timeout=10", f"--db=unix:{lab.layout.ovsdb(node)}"]
    run([*vsctl, "del-port", "br-int", "kuryr0"])
    eventually_answers("web", lambda: run(fetch, netns=node.netns, check=False))
