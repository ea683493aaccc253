"""The lab, up for the whole run; it is left as it was found: up if it was up."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kuryr.lab.demo import eventually, leftovers
from kuryr.lab.kubernetes import kubectl
from kuryr.lab.lab import Lab
from kuryr.lab.layout import POD_IMAGE, Layout, NodeSpec
from kuryr.lab.processes import run


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
    kubectl(running_lab.layout, "delete", "deployments,jobs,pods", "--all", "--now", "--wait=false")
    eventually(lambda: not leftovers(running_lab), timeout_s=120, what=lambda: f"left over: {leftovers(running_lab)}")


class Pods:
    """Pods for tests, and what must agree about them."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def create(
        self,
        *names: str,
        node: str = "",
        command: tuple[str, ...] = ("/agnhost", "pause"),
        host_network: bool = False,
        host_port: tuple[int, int] | None = None,
        restart_policy: str = "Never",
    ) -> None:
        """`host_port`: the node's port, and the container's that it leads to."""
        ports = [{"hostPort": host_port[0], "containerPort": host_port[1]}] if host_port else []
        container = {
            "name": "main",
            "image": POD_IMAGE,
            "imagePullPolicy": "Never",
            "command": list(command),
            "ports": ports,
        }
        spec = {
            "terminationGracePeriodSeconds": 1,
            "restartPolicy": restart_policy,
            "containers": [container],
            "hostNetwork": host_network,
            **({"nodeName": node} if node else {}),
        }
        pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec} for name in names]
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
        return {
            pod["metadata"]["uid"] for pod in self._items() if pod["status"].get("phase") not in ("Succeeded", "Failed")
        }

    def is_ready(self, name: str) -> bool:
        status = next(pod for pod in self._items() if pod["metadata"]["name"] == name)["status"]
        return any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", []))

    def failed(self) -> list[str]:
        """Names of those that failed as wholes, or of which a container was started again, but for pods that go."""
        return [
            pod["metadata"]["name"]
            for pod in self._items()
            if "deletionTimestamp" not in pod["metadata"]
            and (
                pod["status"].get("phase") == "Failed"
                or any(one["restartCount"] for one in pod["status"].get("containerStatuses", []))
            )
        ]

    def nodes(self) -> dict[str, str]:
        """Name -> node, of those that are scheduled."""
        return {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in self._items() if "nodeName" in pod["spec"]}

    def addresses(self) -> dict[str, str]:
        """Name -> address, of those that have one."""
        return {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in self._items() if "podIP" in pod["status"]}

    def _items(self) -> list[dict[str, Any]]:
        return list(json.loads(kubectl(self._lab.layout, "get", "pods", "-o", "json"))["items"])

    def claims(self) -> dict[str, str]:
        """Pod UID -> Neutron port, of the KuryrPorts."""
        items = json.loads(kubectl(self._lab.layout, "get", "kuryrports", "-o", "json"))["items"]
        return {one["spec"]["podUID"]: one["spec"]["interfaces"][0]["portID"] for one in items}


@pytest.fixture
def pods(lab: Lab) -> Pods:
    return Pods(lab)


def cni_status(lab: Lab, node: NodeSpec) -> None:
    """What the runtime asks before it calls its network ready. Raises `LabError` with the answer when it is not."""
    home = lab.layout.node_state(node)
    (path,) = (home / "cni/net.d").glob("*.conflist")
    configuration = json.loads(path.read_text())
    first = {"name": configuration["name"], "cniVersion": configuration["cniVersion"], **configuration["plugins"][0]}
    plugin = home / "cni/bin" / first["type"]
    env = {"CNI_COMMAND": "STATUS", "CNI_PATH": str(plugin.parent)}
    run([plugin], netns=node.netns, env=env, stdin=json.dumps(first))
