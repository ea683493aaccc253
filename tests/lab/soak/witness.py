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
    """Two pods on the first node and one on the second; pings go from the first to both others. At the end none is
    lost, and each pod is what it was. What ping says is written into the folder.
    """
    here, there = lab.layout.nodes
    names = ("still-1", "still-2", "still-3")
    for name, node in zip(names, (here, here, there), strict=True):
        pods.create(name, node=node.name)
    pods.wait_ready(*names)
    addresses, namespace = pods.addresses(), netns(lab, "still-1")
    before = identities(lab, names)
    outputs = [folder / f"ping-{name}" for name in names[1:]]
    with ExitStack() as stack:
        for name, output in zip(names[1:], outputs, strict=True):
            # OVS drops the first packet into a tunnel whose other end it does not know since the switch has started
            run(["nsenter", f"--net={namespace}", "ping", "-c", "2", "-W", "5", addresses[name]])
            stack.enter_context(pinging(namespace, addresses[name], output))
        yield
        assert identities(lab, names) == before
    assert {output.name: lost(output.read_text()) for output in outputs} == {output.name: [] for output in outputs}


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
