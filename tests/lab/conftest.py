"""The lab, up for the whole run; it is left as it was found: up if it was up."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kuryr.lab.demo import eventually, leftovers
from kuryr.lab.kubernetes import kubectl
from kuryr.lab.lab import Lab
from kuryr.lab.layout import POD_IMAGE, Layout


@pytest.fixture(scope="session")
def running_lab() -> Iterator[Lab]:
    if os.geteuid() != 0 or not Path("/etc/debian_version").exists():
        reason = "the lab needs root on Debian"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    lab = Lab(Layout.of(os.environ))
    was_up = bool(lab.processes.all())
    lab.up()
    yield lab
    if not was_up:
        lab.down()


@pytest.fixture
def lab(running_lab: Lab) -> Iterator[Lab]:
    """The lab without pods, before and after."""
    yield running_lab
    kubectl(running_lab.layout, "delete", "pods,jobs", "--all", "--now", "--wait=false")
    eventually(lambda: not leftovers(running_lab), timeout_s=120, what=lambda: f"left over: {leftovers(running_lab)}")


class Pods:
    """Pods for tests, and what must agree about them."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def create(self, *names: str, node: str = "", command: tuple[str, ...] = ("/agnhost", "pause")) -> None:
        pods = [_manifest(name, node, command) for name in names]
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
        kubectl(self._lab.layout, "create", "-f", "-", stdin=manifest)

    def delete(self, *names: str, force: bool = False) -> None:
        options = ["--force", "--grace-period=0"] if force else ["--grace-period=1"]
        kubectl(self._lab.layout, "delete", "pod", *names, "--wait=false", *options)

    def wait_ready(self, *names: str, timeout_s: int = 90) -> None:
        named = [f"pod/{name}" for name in names]
        wait = ["wait", "--for=condition=Ready", f"--timeout={timeout_s}s"]
        kubectl(self._lab.layout, *wait, *named, timeout_s=timeout_s + 10)

    def uids(self) -> set[str]:
        """Of the pods that are there and have not finished."""
        items = json.loads(kubectl(self._lab.layout, "get", "pods", "-o", "json"))["items"]
        return {pod["metadata"]["uid"] for pod in items if pod["status"].get("phase") not in ("Succeeded", "Failed")}

    def claims(self) -> dict[str, str]:
        """Pod UID -> Neutron port, of the KuryrPorts."""
        items = json.loads(kubectl(self._lab.layout, "get", "kuryrports", "-o", "json"))["items"]
        return {one["spec"]["podUID"]: one["spec"]["interfaces"][0]["portID"] for one in items}


def _manifest(name: str, node: str, command: tuple[str, ...]) -> dict[str, object]:
    container = {"name": "main", "image": POD_IMAGE, "imagePullPolicy": "Never", "command": list(command)}
    spec: dict[str, object] = {"terminationGracePeriodSeconds": 1, "restartPolicy": "Never", "containers": [container]}
    if node:
        spec["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def pods(lab: Lab) -> Pods:
    return Pods(lab)
