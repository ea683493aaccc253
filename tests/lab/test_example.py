"""kubeloop's example, as its reader would run it, against the lab's Kubernetes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from kuryr.lab.demo import eventually
from kuryr.lab.kubernetes import kubectl
from kuryr.lab.lab import Lab
from kuryr.lab.layout import repository

pytestmark = pytest.mark.lab

EXAMPLE = repository() / "packages/kubeloop/examples/shared_config.py"
NAMESPACES = ("team-a", "team-b")


@pytest.fixture
def example(running_lab: Lab) -> Iterator[subprocess.Popen[str]]:
    layout = running_lab.layout
    environ = {**os.environ, "KUBECONFIG": str(layout.kubeconfig())}
    process = subprocess.Popen([sys.executable, EXAMPLE], env=environ, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()
    kubectl(layout, "delete", "namespace", *NAMESPACES, "--ignore-not-found", "--wait=false")
    kubectl(layout, "delete", "crd", "sharedconfigs.example.kubeloop.dev", "--ignore-not-found", timeout_s=90)


def copies(lab: Lab) -> dict[str, dict[str, str]]:
    selector = "--selector=example.kubeloop.dev/shared-config=greeting"
    items = json.loads(kubectl(lab.layout, "get", "configmaps", "-A", selector, "-o", "json"))["items"]
    return {one["metadata"]["namespace"]: one["data"] for one in items}


def test_the_example_controller_keeps_its_copies_right_and_stops_when_asked(
    running_lab: Lab, example: subprocess.Popen[str]
) -> None:
    lab, greeting = running_lab, {"hello": "world"}

    def eventually_copied(expected: dict[str, dict[str, str]]) -> None:
        eventually(lambda: copies(lab) == expected, timeout_s=30, what=lambda: f"copies: {copies(lab)}")

    crd = "crd/sharedconfigs.example.kubeloop.dev"
    eventually(
        lambda: crd[4:] in kubectl(lab.layout, "get", "crd", "-o", "name"), timeout_s=30, what=lambda: "no definition"
    )
    kubectl(lab.layout, "wait", "--for=condition=Established", crd, "--timeout=30s")
    shared = {
        "apiVersion": "example.kubeloop.dev/v1",
        "kind": "SharedConfig",
        "metadata": {"name": "greeting"},
        "spec": {"data": greeting, "namespaceLabels": {"greet": "yes"}},
    }
    kubectl(lab.layout, "create", "-f", "-", stdin=json.dumps(shared))
    for name in NAMESPACES:
        kubectl(lab.layout, "create", "namespace", name)
    kubectl(lab.layout, "label", "namespace", "team-a", "greet=yes")
    eventually_copied({"team-a": greeting})
    kubectl(lab.layout, "label", "namespace", "team-b", "greet=yes")
    eventually_copied({"team-a": greeting, "team-b": greeting})
    kubectl(
        lab.layout, "patch", "configmap", "greeting", "-n", "team-a", "--type=merge", "-p", '{"data":{"hello":"x"}}'
    )
    eventually_copied({"team-a": greeting, "team-b": greeting})
    kubectl(lab.layout, "label", "namespace", "team-a", "greet-")
    eventually_copied({"team-b": greeting})
    count = "jsonpath={.status.copies}"
    assert kubectl(lab.layout, "get", "sharedconfig", "greeting", "-o", count) == "1"
    kubectl(lab.layout, "delete", "sharedconfig", "greeting")
    eventually_copied({})
    example.terminate()
    _, log = example.communicate(timeout=30)
    assert example.returncode == 0, log
    assert "Traceback" not in log
