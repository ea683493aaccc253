"""Last in the folder: the lab goes, and comes back."""

import os
import signal
from pathlib import Path

import pytest

from kuryr.lab.kubernetes import kubectl
from kuryr.lab.lab import Lab

from .conftest import Pods

pytestmark = pytest.mark.lab


def _namespaces() -> set[str]:
    return {path.name for path in Path("/run/netns").glob("*")}


def _cgroups() -> set[str]:
    root = Path("/sys/fs/cgroup")
    return {str(path) for pattern in ("*/*/", "*/k8s.io/*/") for path in root.glob(pattern)}


def test_down_after_a_crash_leaves_nothing_and_up_works_again(running_lab: Lab) -> None:
    lab = running_lab
    pods = Pods(lab)
    pods.create("left-1", "left-2")
    pods.wait_ready("left-1", "left-2")
    sandboxes = lab.nodes.sandbox_namespaces()
    assert len(sandboxes) >= 2
    for name in ("node1-containerd", "kube-apiserver", "node2-vswitchd"):
        lab.processes.signal(name, signal.SIGKILL)
    lab.down()
    assert not lab.layout.state.exists()
    assert not lab.processes.marked()
    assert not {name for name in _namespaces() if name.startswith("kuryr-")} | (_namespaces() & sandboxes)
    assert not [name for name in os.listdir("/sys/class/net") if name.startswith("kuryr")]
    assert not [line for line in Path("/proc/mounts").read_text().splitlines() if "kuryr-lab" in line]
    assert not [path for path in _cgroups() if "kuryr-lab" in path or "k8s.io" in path]
    lab.up()
    assert "node1" in kubectl(lab.layout, "get", "nodes", "-o", "name")
