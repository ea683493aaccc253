"""A Deployment goes down and up again while the leading controller and a daemon are killed in turn. Afterwards the API
server, Neutron and the nodes agree exactly, and a pod that nobody touched has lost no packet.
"""

import itertools
import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kuryr.lab.demo import eventually
from kuryr.lab.kubernetes import kubectl
from kuryr.lab.kuryr_processes import daemon_name
from kuryr.lab.lab import Lab
from kuryr.lab.layout import POD_IMAGE
from kuryr.lab.snapshots import find_disagreements

from ..conftest import Pods
from .witness import untouched

pytestmark = pytest.mark.lab


@dataclass(frozen=True)
class Size:
    """`kills` in each direction of each round."""

    most: int
    least: int
    rounds: int
    kills: int
    kill_every_s: float


FULL = Size(most=100, least=20, rounds=5, kills=3, kill_every_s=15)
SHORT = Size(most=16, least=4, rounds=1, kills=2, kill_every_s=4)


class Crowd:
    """The Deployment."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        labels = {"app": "crowd"}
        container = {"name": "main", "image": POD_IMAGE, "imagePullPolicy": "Never", "command": ["/agnhost", "pause"]}
        spec = {"terminationGracePeriodSeconds": 1, "containers": [container]}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "crowd"},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }
        kubectl(lab.layout, "create", "-f", "-", stdin=json.dumps(deployment))

    def scale(self, replicas: int) -> None:
        kubectl(self._lab.layout, "scale", "deployment/crowd", f"--replicas={replicas}")

    def wait(self, replicas: int, timeout_s: float) -> None:
        eventually(
            lambda: self._ready() == (replicas, replicas),
            timeout_s=timeout_s,
            what=lambda: f"of {replicas} pods there are, and are ready: {self._ready()}",
        )

    def _ready(self) -> tuple[int, int]:
        """Pods, those that are going included, and those that are ready."""
        pods = json.loads(kubectl(self._lab.layout, "get", "pods", "-l", "app=crowd", "-o", "json"))["items"]
        conditions = [one for pod in pods for one in pod["status"].get("conditions", [])]
        return len(pods), sum(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def killings(lab: Lab) -> Iterator[Callable[[], None]]:
    """In turn the leader, when there is one, and the second node's daemon; each is started again at once."""
    daemon = lab.layout.nodes[1]

    def kill(name: str) -> None:
        lab.processes.signal(name, signal.SIGKILL)
        lab.processes.stop(name)

    def kill_leader() -> None:
        eventually(lambda: bool(lab.kuryr.leader()), timeout_s=60, what=lambda: "nobody leads")
        kill(lab.kuryr.leader())
        lab.kuryr.start_controllers()

    def kill_daemon() -> None:
        kill(daemon_name(daemon))
        lab.kuryr.start_daemon(daemon)

    return itertools.cycle((kill_leader, kill_daemon))


def test_a_deployment_goes_down_and_up_while_controller_and_daemon_are_killed(
    lab: Lab, pods: Pods, tmp_path: Path, full: bool
) -> None:
    size = FULL if full else SHORT
    crowd, kills = Crowd(lab), killings(lab)
    with untouched(lab, pods, tmp_path):
        crowd.scale(size.most)
        crowd.wait(size.most, timeout_s=600)
        for _ in range(size.rounds):
            for replicas in (size.least, size.most):
                crowd.scale(replicas)
                for kill in itertools.islice(kills, size.kills):
                    time.sleep(size.kill_every_s)
                    kill()
                crowd.wait(replicas, timeout_s=600)
        eventually(
            lambda: not find_disagreements(lab.layout),
            timeout_s=180,
            what=lambda: "\n".join(find_disagreements(lab.layout)),
        )
