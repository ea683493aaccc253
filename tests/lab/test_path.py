"""The path and the faults it survives, on the real thing.

After each: one port per living pod, none for dead ones, no tap left.
"""

import json
import signal

import pytest

from kuryr.lab.demo import demo, eventually, leftovers, neutron_ports, taps
from kuryr.lab.kubernetes import kubectl
from kuryr.lab.kuryr_processes import CONTROLLERS, daemon_name
from kuryr.lab.lab import Lab
from kuryr.lab.snapshots import find_disagreements

from .conftest import Pods

pytestmark = pytest.mark.lab


def check_agreement(lab: Lab, pods: Pods) -> None:
    """API, Neutron and OVS say the same: exactly one port for each living pod."""

    def problem() -> str:
        claims = pods.claims()
        if set(claims) != pods.uids():
            return f"claims of {set(claims)} but pods {pods.uids()}"
        return "; ".join(find_disagreements(lab.layout))

    eventually(lambda: not problem(), timeout_s=90, what=problem)


def test_the_demo_of_the_readme_passes(lab: Lab) -> None:
    demo(lab)


def test_a_pod_is_wired_by_two_kubernetes_writes_and_one_neutron_write(lab: Lab, pods: Pods) -> None:
    audit = lab.layout.kubernetes / "audit.log"
    neutron = lab.layout.state / "logs/neutron.log"
    before, before_neutron = audit.stat().st_size, neutron.stat().st_size
    pods.create("counted")
    pods.wait_ready("counted")
    check_agreement(lab, pods)

    def calls() -> list[tuple[str, str, str]]:
        with audit.open() as log:
            log.seek(before)
            events = [json.loads(line) for line in log if line.endswith("\n")]
        return sorted(
            (event["userAgent"].split("/")[0], event["verb"], event["objectRef"]["resource"])
            for event in events
            if event["userAgent"].startswith("kuryr-")
            and event["objectRef"].get("name", "counted") == "counted"
            and event["verb"] not in ("watch", "list")
        )

    expected = [("kuryr-controller", "create", "kuryrports"), ("kuryr-daemon", "patch", "kuryrports")]
    eventually(lambda: calls() == expected, timeout_s=20, what=lambda: f"calls: {calls()}")
    with neutron.open() as log:
        log.seek(before_neutron)
        writes = [line.split()[:2] for line in log if "kuryr-controller" in line and not line.startswith("GET")]
    assert writes == [["POST", "/v2.0/ports"]]


def test_a_controller_killed_between_port_and_claim_leaves_no_port_behind(lab: Lab, pods: Pods) -> None:
    role = ["patch", "clusterrole", "kuryr-controller", "--type=json"]
    rules = json.loads(kubectl(lab.layout, "get", "clusterrole", "kuryr-controller", "-o", "json"))["rules"]
    index = next(number for number, rule in enumerate(rules) if rule["resources"] == ["kuryrports"])
    without = json.dumps([{"op": "replace", "path": f"/rules/{index}/verbs", "value": ["list", "watch", "delete"]}])
    kubectl(lab.layout, *role, "-p", without)
    try:
        pods.create("orphan")
        eventually(lambda: bool(neutron_ports(lab)), timeout_s=30, what=lambda: "no port was made")
        leader = lab.kuryr.leader()
        lab.processes.signal(leader, signal.SIGKILL)
        lab.processes.stop(leader)
    finally:
        restored = json.dumps([{"op": "replace", "path": f"/rules/{index}/verbs", "value": rules[index]["verbs"]}])
        kubectl(lab.layout, *role, "-p", restored)
    lab.kuryr.start_controllers()
    pods.wait_ready("orphan")
    check_agreement(lab, pods)


def test_a_daemon_killed_in_the_middle_of_an_add_leaves_no_tap_and_the_pod_starts(lab: Lab, pods: Pods) -> None:
    node = lab.layout.nodes[0]
    ovn = f"{node.name}-ovn-controller"
    lab.processes.signal(ovn, signal.SIGSTOP)  # the ADD waits for flows that do not come
    try:
        pods.create("interrupted", node=node.name)
        eventually(lambda: bool(taps(lab)), timeout_s=30, what=lambda: "no ADD began")
        lab.processes.signal(daemon_name(node), signal.SIGKILL)
        lab.processes.stop(daemon_name(node))
    finally:
        lab.processes.signal(ovn, signal.SIGCONT)
    lab.kuryr.start_daemon(node)
    pods.wait_ready("interrupted")
    check_agreement(lab, pods)


def test_a_pod_deleted_before_its_port_exists_goes_and_leaves_nothing(lab: Lab, pods: Pods) -> None:
    node = lab.layout.nodes[0]
    lab.processes.stop(daemon_name(node))
    lab.kuryr.start_daemon(node, add_timeout_s=10.0)
    lab.processes.stop(*CONTROLLERS)
    try:
        pods.create("early", node=node.name)
        pods.delete("early")
        # kubelet does not cancel an ADD that runs already: such a pod goes when the ADD gives up
        eventually(lambda: not pods.uids(), timeout_s=60, what=lambda: "the pod hangs in its deletion")
    finally:
        lab.kuryr.start_controllers()
        lab.processes.stop(daemon_name(node))
        lab.kuryr.start_daemon(node)
    check_agreement(lab, pods)


def test_a_pod_force_deleted_during_its_add_leaves_nothing(lab: Lab, pods: Pods) -> None:
    node = lab.layout.nodes[1]
    ovn = f"{node.name}-ovn-controller"
    lab.processes.signal(ovn, signal.SIGSTOP)
    try:
        pods.create("forced", node=node.name)
        eventually(lambda: bool(taps(lab)), timeout_s=30, what=lambda: "no ADD began")
        pods.delete("forced", force=True)
    finally:
        lab.processes.signal(ovn, signal.SIGCONT)
    eventually(lambda: not leftovers(lab), timeout_s=90, what=lambda: f"left over: {leftovers(lab)}")


def test_a_pod_created_again_under_its_name_gets_a_claim_of_its_own(lab: Lab, pods: Pods) -> None:
    pods.create("again")
    pods.wait_ready("again")
    before = pods.uids()
    pods.delete("again", force=True)
    pods.create("again")
    pods.wait_ready("again")
    assert pods.uids() != before
    check_agreement(lab, pods)


def test_a_finished_pod_loses_its_port(lab: Lab, pods: Pods) -> None:
    pods.create("job", command=("/bin/sh", "-c", "ip address show eth0"))
    kubectl(lab.layout, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/job", "--timeout=60s", timeout_s=70)
    eventually(lambda: not leftovers(lab), timeout_s=90, what=lambda: f"left over: {leftovers(lab)}")
    assert "job" in kubectl(lab.layout, "get", "pods", "-o", "name")


def test_sixty_pods_at_once_leave_nothing(lab: Lab, pods: Pods) -> None:
    names = [f"many-{index}" for index in range(60)]
    pods.create(*names)
    pods.wait_ready(*names, timeout_s=240)
    check_agreement(lab, pods)
    kubectl(lab.layout, "delete", "pods", "--all", "--now", "--wait=false")
    eventually(lambda: not leftovers(lab), timeout_s=240, what=lambda: f"left over: {leftovers(lab)}")
