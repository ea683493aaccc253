"""Last in the folder: the lab goes, whatever state it was in, and comes back."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from kuryr.lab.demo import eventually
from kuryr.lab.kubernetes import kubectl
from kuryr.lab.lab import Lab
from kuryr.lab.layout import LabError

from .conftest import Pods

pytestmark = pytest.mark.lab


def pod_namespaces(lab: Lab) -> set[str]:
    """net:[inode] of the namespaces that containerd holds by mounts."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {line.split()[3] for line in lines if str(lab.layout.state) in line and " nsfs " in line}


@contextmanager
def held(namespaces: set[str]) -> Iterator[None]:
    """Keeps them alive, so that no new namespace of another test gets one of their numbers."""
    with ExitStack() as stack:
        for entry in Path("/proc").glob("[0-9]*/ns/net"):
            with suppress(OSError):  # it has ended meanwhile
                if os.readlink(entry) in namespaces:
                    stack.enter_context(entry.open())
        yield


def namespaces_in_use() -> set[str]:
    found = {line.split()[3] for line in Path("/proc/self/mountinfo").read_text().splitlines() if " nsfs " in line}
    for entry in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(os.readlink(entry))
        except OSError:
            continue  # it has ended meanwhile
    return found


def left_of(lab: Lab) -> dict[str, object]:
    root = Path("/sys/fs/cgroup")
    cgroups = [str(path) for pattern in ("*/kuryr-lab-*", "*/k8s.io/*/") for path in root.glob(pattern)]
    everything = {
        "state": lab.layout.state.exists(),
        "processes": lab.processes.marked(),
        "namespaces": [path.name for path in Path("/run/netns").glob("kuryr-*")],
        "links": [name for name in os.listdir("/sys/class/net") if name.startswith("kuryr")],
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if str(lab.layout.state) in line],
        "cgroups": cgroups,
    }
    return {kind: found for kind, found in everything.items() if found}


def test_down_leaves_nothing_of_a_lab_whose_processes_were_all_killed(running_lab: Lab) -> None:
    lab = running_lab
    pods = Pods(lab)
    pods.create("left-1", "left-2")
    pods.wait_ready("left-1", "left-2")
    sandboxes = pod_namespaces(lab)
    assert len(sandboxes) >= 2
    with held(sandboxes):
        for record in lab.processes.all():
            lab.processes.signal(record.name, signal.SIGKILL)
        lab.down()
        assert left_of(lab) == {}
        assert not sandboxes & namespaces_in_use()


def test_down_leaves_nothing_of_a_containerd_killed_in_the_middle_of_sandboxes(running_lab: Lab) -> None:
    lab = running_lab
    lab.up()
    pods = Pods(lab)
    pods.create(*(f"half-{number}" for number in range(6)), node="node1")
    eventually(lambda: bool(pod_namespaces(lab)), timeout_s=30, what=lambda: "no sandbox began")
    lab.processes.signal("node1-containerd", signal.SIGKILL)
    sandboxes = pod_namespaces(lab)
    with held(sandboxes):
        lab.down()
        assert left_of(lab) == {}
        assert not sandboxes & namespaces_in_use()


def test_down_leaves_nothing_of_a_half_finished_up_and_up_works_after_it(running_lab: Lab) -> None:
    lab = running_lab
    failed: list[Exception] = []

    def start() -> None:
        try:
            lab.up()
        except LabError as error:
            failed.append(error)

    starting = threading.Thread(target=start)
    starting.start()
    # etcd is gone before the API server is ready, so that up cannot finish
    eventually(lambda: lab.processes.alive("kube-apiserver"), timeout_s=60, what=lambda: "up does not begin")
    lab.processes.signal("etcd", signal.SIGKILL)
    lab.processes.signal("kube-apiserver", signal.SIGKILL)
    starting.join(timeout=180)
    assert failed
    lab.down()
    assert left_of(lab) == {}
    lab.up()
    assert "node1" in kubectl(lab.layout, "get", "nodes", "-o", "name")
