"""Pods that nobody touches, and what they saw: every ping answered, the same sandboxes and containers to the end."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kuryr.lab.kubernetes import kubectl
from kuryr.lab.lab import Lab
from kuryr.lab.processes import run
from kuryr.lab.snapshots import take_api, take_machine

from ..conftest import Pods

PING_EVERY_S = 0.2


@contextmanager
def untouched(lab: Lab, pods: Pods, folder: Path) -> Iterator[None]:
    """Two pods on each node. On each node one pings the other, and one pings across. At the end no ping on a node is
    lost, across nodes never more than two in a row, and each pod is what it was. What ping says is in the folder.

    Across nodes OVS's userspace tunnels drop a packet now and then while links of a node come and go, whoever makes
    them: see docs/designs/0003.
    """
    here, there = lab.layout.nodes
    nodes = {"here-1": here, "here-2": here, "there-1": there, "there-2": there}
    for name, node in nodes.items():
        pods.create(name, node=node.name)
    pods.wait_ready(*nodes)
    before, addresses = identities(lab, tuple(nodes)), pods.addresses()
    with ExitStack() as stack:
        for source, target in (("here-1", "here-2"), ("there-1", "there-2"), ("here-1", "there-1")):
            namespace = netns(lab, source)
            # OVS drops the first packet into a tunnel whose other end it does not know since the switch has started
            run(["nsenter", f"--net={namespace}", "ping", "-c", "2", "-W", "5", addresses[target]])
            stack.enter_context(pinging(namespace, addresses[target], folder / f"{source} {target}"))
        yield
        assert identities(lab, tuple(nodes)) == before
    beside = {name: lost((folder / name).read_text()) for name in ("here-1 here-2", "there-1 there-2")}
    assert not any(beside.values()), f"no answer to these pings: {beside}"
    across = lost((folder / "here-1 there-1").read_text())
    in_a_row = [one for one in across if {one + 1, one + 2} <= {*across}]
    assert not in_a_row, f"no answer to these pings across nodes: {across}"


def netns(lab: Lab, pod: str) -> str:
    """The path of the network namespace of a pod's sandbox."""
    records = [one.record for node in lab.layout.nodes for one in take_machine(lab.layout, node).interfaces]
    (found,) = (record.netns for record in records if record is not None and record.pod_name == pod)
    return found


@contextmanager
def pinging(namespace: str, address: str, output: Path) -> Iterator[None]:
    """From within the pod's network, but no process of the pod's."""
    argv = ["nsenter", f"--net={namespace}", "ping", "-D", "-i", str(PING_EVERY_S), address]
    with output.open("w") as file, subprocess.Popen(argv, stdout=file, stderr=file) as ping:
        try:
            yield
        finally:
            ping.send_signal(signal.SIGINT)


@dataclass(frozen=True)
class Identity:
    """What changes when a pod is wired or started again."""

    uid: str
    containers: tuple[str, ...]
    port: str
    sandbox: str


def identities(lab: Lab, names: tuple[str, ...]) -> dict[str, Identity]:
    """Of pods in the default namespace; one that restarted has other containers."""
    claims = {claim.key.name: claim for claim in take_api(lab.layout).claims}
    pods = json.loads(kubectl(lab.layout, "get", "pods", *names, "-o", "json"))["items"]
    return {
        (name := pod["metadata"]["name"]): Identity(
            pod["metadata"]["uid"],
            tuple(one["containerID"] for one in pod["status"]["containerStatuses"]),
            claims[name].spec.interfaces[0].port_id,
            claims[name].status.sandbox,
        )
        for pod in pods
    }


def lost(text: str) -> list[int]:
    """Numbers of requests without an answer, by the output of ping(8), which numbers from 1; the last one may still
    have been under way when ping was ended.
    """
    answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", text)}
    (sent,) = re.findall(r"(\d+) packets transmitted", text)
    return sorted(set(range(1, int(sent))) - answered)
