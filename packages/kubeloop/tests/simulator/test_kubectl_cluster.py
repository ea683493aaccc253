"""A simulated cluster that lives: what a person sees of its controllers."""

from typing import Any

from .kubectl import WIDGETS, Kubectl
from .test_kubectl_reads import widget
from .test_kubectl_writes import apply


def phases(kubectl: Kubectl) -> list[str]:
    return sorted(line[2] for line in kubectl.lines("get", "pods", "--no-headers"))


def test_a_deployment_rolls_out_scales_and_rolls_over(living_kubectl: Kubectl) -> None:
    kubectl = living_kubectl.inside("rollout")
    kubectl.run("create", "namespace", "rollout")
    kubectl.run("create", "deployment", "web", "--image=image:1", "--replicas=3")
    assert "successfully rolled out" in kubectl.run("rollout", "status", "deployment/web", "--timeout=20s")
    assert kubectl.lines("get", "deployment", "web")[1][:4] == ["web", "3/3", "3", "3"]
    assert phases(kubectl) == ["Running"] * 3
    nodes = {line[6] for line in kubectl.lines("get", "pods", "-o", "wide", "--no-headers")}
    assert nodes == {"node-1", "node-2"}
    kubectl.run("set", "image", "deployment/web", "image=image:2")
    assert "successfully rolled out" in kubectl.run("rollout", "status", "deployment/web", "--timeout=20s")
    images = kubectl.run("get", "pods", "-o", "jsonpath={.items[*].spec.containers[*].image}")
    assert "image:2" in images.split()
    kubectl.run("scale", "deployment/web", "--replicas=1")
    kubectl.run("wait", "deployment/web", "--for=jsonpath={.status.replicas}=1", "--timeout=20s")
    kubectl.run("rollout", "restart", "deployment/web")
    kubectl.run("rollout", "status", "deployment/web", "--timeout=20s")
    kubectl.run("delete", "deployment", "web", "--cascade=foreground", "--timeout=20s")
    assert kubectl.run("get", "pods,replicasets", "-o", "name") == ""


def test_a_pod_runs_and_is_gone_when_it_is_deleted(living_kubectl: Kubectl) -> None:
    kubectl = living_kubectl.inside("default")
    kubectl.run("run", "a", "--image=image:1")
    kubectl.run("wait", "pod/a", "--for=condition=Ready", "--timeout=20s")
    assert kubectl.lines("get", "pod", "a")[1][:3] == ["a", "1/1", "Running"]
    kubectl.run("delete", "pod", "a", "--timeout=20s")
    assert "not found" in kubectl.refusal("get", "pod", "a")


def test_a_node_is_drained_of_its_pods(living_kubectl: Kubectl) -> None:
    kubectl = living_kubectl.inside("drained")
    kubectl.run("create", "namespace", "drained")
    kubectl.run("create", "deployment", "web", "--image=image:1", "--replicas=4")
    kubectl.run("rollout", "status", "deployment/web", "--timeout=20s")
    kubectl.run("drain", "node-1", "--ignore-daemonsets", "--timeout=20s")
    kubectl.run("rollout", "status", "deployment/web", "--timeout=20s")
    nodes = {line[6] for line in kubectl.lines("get", "pods", "-o", "wide", "--no-headers")}
    assert nodes == {"node-2"}
    kubectl.run("uncordon", "node-1")


def test_what_belongs_to_something_goes_with_it(living_kubectl: Kubectl) -> None:
    kubectl = living_kubectl.inside("default")
    kubectl.run("create", "configmap", "owner", "--from-literal=a=b")
    uid = kubectl.json("get", "cm", "owner")["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    owned: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "owned", "ownerReferences": [reference]},
    }
    kubectl.run("create", "-f", "-", stdin=owned)
    kubectl.run("delete", "cm", "owner")
    kubectl.run("wait", "cm/owned", "--for=delete", "--timeout=20s")


def test_a_namespace_and_a_definition_go_with_all_that_is_in_them(living_kubectl: Kubectl) -> None:
    kubectl = living_kubectl.inside("doomed")
    kubectl.run("create", "namespace", "doomed")
    kubectl.run("apply", "--server-side", "-f", WIDGETS)
    apply(kubectl, widget("a"))
    kubectl.run("run", "a", "--image=image:1")
    kubectl.run("delete", "namespace", "doomed", "--timeout=20s")
    assert 'namespaces "doomed" not found' in kubectl.refusal("get", "namespace", "doomed")
    apply(kubectl.inside("default"), widget("b"))
    kubectl.run("delete", "crd", "widgets.kubectl.kubeloop.dev", "--timeout=20s")
    assert "customresourcedefinition" not in kubectl.run("get", "crds", "-o", "name")
