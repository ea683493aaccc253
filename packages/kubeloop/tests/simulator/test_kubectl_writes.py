"""What kubectl does: create, apply, patch, delete, wait, and the conflicts that it meets."""

import json
import threading
from typing import Any

import pytest

from .kubectl import Kubectl
from .test_kubectl_reads import widget


def spec_of(kubectl: Kubectl, name: str = "a") -> Any:
    return kubectl.json("get", "wd", name)["spec"]


def apply(kubectl: Kubectl, body: Any, *more: str) -> str:
    return kubectl.run("apply", "--server-side", "-f", "-", *more, stdin=body)


def test_what_is_there_is_not_created_again(kubectl: Kubectl) -> None:
    assert kubectl.run("create", "-f", "-", stdin=widget("a")) == "widget.kubectl.kubeloop.dev/a created\n"
    assert "AlreadyExists" in kubectl.refusal("create", "-f", "-", stdin=widget("a"))


def test_a_config_map_is_created_of_literals(kubectl: Kubectl) -> None:
    kubectl.run("create", "configmap", "settings", "--from-literal=a=1", "--from-literal=b=2")
    assert kubectl.json("get", "cm", "settings")["data"] == {"a": "1", "b": "2"}
    assert kubectl.lines("get", "cm", "settings")[1][:2] == ["settings", "2"]


def test_a_generated_name_is_told(kubectl: Kubectl) -> None:
    body = widget("")
    body["metadata"] = {"generateName": "made-"}
    name = kubectl.run("create", "-f", "-", "-o", "name", stdin=body).strip().rpartition("/")[2]
    assert kubectl.json("get", "wd", name)["metadata"]["generateName"] == "made-"


def test_a_body_that_breaks_the_schema_is_refused_with_its_field(kubectl: Kubectl) -> None:
    assert "spec.size: Invalid value: -1" in kubectl.refusal("create", "-f", "-", stdin=widget("a", -1))
    body = widget("a")
    body["spec"]["nonsense"] = True
    assert 'unknown field "spec.nonsense"' in kubectl.refusal("create", "-f", "-", stdin=body)
    kubectl.run("create", "--validate=false", "-f", "-", stdin=body)
    assert "nonsense" not in spec_of(kubectl)


def test_a_dry_run_changes_nothing(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", "--dry-run=server", stdin=widget("a"))
    assert "not found" in kubectl.refusal("get", "wd", "a")


def test_apply_creates_then_changes_then_leaves(kubectl: Kubectl) -> None:
    said = "widget.kubectl.kubeloop.dev/a serverside-applied\n"
    assert apply(kubectl, widget("a", 1)) == said
    version = kubectl.json("get", "wd", "a")["metadata"]["resourceVersion"]
    assert apply(kubectl, widget("a", 1)) == said
    assert kubectl.json("get", "wd", "a")["metadata"]["resourceVersion"] == version
    apply(kubectl, widget("a", 2))
    assert spec_of(kubectl)["size"] == 2


def test_a_field_that_is_no_longer_applied_is_gone(kubectl: Kubectl) -> None:
    body = widget("a")
    apply(kubectl, {**body, "spec": {"size": 1, "parts": ["x"]}})
    apply(kubectl, body)
    assert "parts" not in spec_of(kubectl)


def test_two_managers_conflict_until_one_is_forced(kubectl: Kubectl) -> None:
    apply(kubectl, widget("a", 1), "--field-manager=first")
    refused = kubectl.refusal("apply", "--server-side", "--field-manager=second", "-f", "-", stdin=widget("a", 2))
    assert 'conflict with "first": .spec.size' in refused
    assert spec_of(kubectl)["size"] == 1
    apply(kubectl, widget("a", 2), "--field-manager=second", "--force-conflicts")
    assert spec_of(kubectl)["size"] == 2
    managed = kubectl.json("get", "wd", "a", "--show-managed-fields")["metadata"]["managedFields"]
    assert {entry["manager"]: "f:size" in entry["fieldsV1"].get("f:spec", {}) for entry in managed}["second"]


def test_apply_on_the_clients_side_merges_three_ways(kubectl: Kubectl) -> None:
    body = widget("a")
    body["spec"]["parts"] = ["x"]
    kubectl.run("apply", "-f", "-", stdin=body)
    kubectl.run("patch", "wd", "a", "--type=merge", "-p", '{"spec":{"replicas":3}}')
    del body["spec"]["parts"]
    assert kubectl.run("apply", "-f", "-", stdin=body) == "widget.kubectl.kubeloop.dev/a configured\n"
    assert spec_of(kubectl) == {"size": 1, "colour": "red", "replicas": 3}
    assert kubectl.run("apply", "-f", "-", stdin=body) == "widget.kubectl.kubeloop.dev/a unchanged\n"
    body["spec"]["size"] = 9
    assert "+  size: 9" in kubectl.refusal("diff", "-f", "-", stdin=body)


def test_a_core_kind_is_applied_on_the_clients_side(kubectl: Kubectl) -> None:
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}
    kubectl.run("apply", "-f", "-", stdin=body)
    body["data"] = {"y": "2"}
    kubectl.run("apply", "-f", "-", stdin=body)
    assert kubectl.json("get", "cm", "a")["data"] == {"y": "2"}


def test_a_deployments_container_is_changed_by_its_name(kubectl: Kubectl) -> None:
    kubectl.run("create", "deployment", "web", "--image=first:1")
    kubectl.run("set", "image", "deployment/web", "first=second:2")
    kubectl.run("set", "env", "deployment/web", "A=b")
    patch = json.dumps({"spec": {"template": {"spec": {"containers": [{"name": "more", "image": "third:3"}]}}}})
    kubectl.run("patch", "deployment", "web", "-p", patch)
    containers = kubectl.json("get", "deploy", "web")["spec"]["template"]["spec"]["containers"]
    found = {one["name"]: one["image"] for one in containers}
    assert found == {"first": "second:2", "more": "third:3"}
    assert [one.get("env") for one in containers if one["name"] == "first"] == [[{"name": "A", "value": "b"}]]


def test_patches_of_each_type(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=widget("a"))
    kubectl.run("patch", "wd", "a", "--type=merge", "-p", '{"spec":{"size":2,"colour":null}}')
    assert spec_of(kubectl) == {"size": 2, "colour": "red"}
    operations = [
        {"op": "test", "path": "/spec/size", "value": 2},
        {"op": "add", "path": "/spec/parts", "value": ["x"]},
    ]
    kubectl.run("patch", "wd", "a", "--type=json", "-p", json.dumps(operations))
    assert spec_of(kubectl)["parts"] == ["x"]
    assert "strategic-merge-patch+json is not supported" in kubectl.refusal(
        "patch", "wd", "a", "-p", '{"spec":{"size":3}}'
    )
    kubectl.run("patch", "wd", "a", "--subresource=status", "--type=merge", "-p", '{"status":{"replicas":3}}')
    assert kubectl.json("get", "wd", "a")["status"] == {"replicas": 3}


def test_labels_and_annotations_are_set_and_removed(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=widget("a"))
    kubectl.run("label", "wd", "a", "team=red", "x=y")
    kubectl.run("annotate", "wd", "a", "note=text")
    kubectl.run("label", "wd", "a", "x-")
    meta = kubectl.json("get", "wd", "a")["metadata"]
    assert (meta["labels"], meta["annotations"]) == ({"team": "red"}, {"note": "text"})


def test_an_old_version_is_not_replaced(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=widget("a"))
    old = kubectl.json("get", "wd", "a")
    kubectl.run("replace", "-f", "-", stdin={**old, "spec": {"size": 2}})
    assert "the object has been modified" in kubectl.refusal("replace", "-f", "-", stdin={**old, "spec": {"size": 3}})


def test_delete_waits_for_finalizers(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=widget("a", finalizers=["kubeloop.dev/hold"]))
    with kubectl.started("delete", "wd", "a", "--wait") as deletion:
        kubectl.run("wait", "wd/a", "--for=jsonpath={.metadata.deletionTimestamp}", "--timeout=10s")
        kubectl.run("patch", "wd", "a", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        assert deletion.end() == 0
    assert "not found" in kubectl.refusal("get", "wd", "a")


def test_all_of_a_kind_are_deleted_by_label(kubectl: Kubectl) -> None:
    for name, team in (("a", "red"), ("b", "red"), ("c", "blue")):
        kubectl.run("create", "-f", "-", stdin=widget(name, labels={"team": team}))
    kubectl.run("delete", "wd", "-l", "team=red")
    assert kubectl.run("get", "wd", "-o", "name").split() == ["widget.kubectl.kubeloop.dev/c"]
    kubectl.run("delete", "wd", "--all")
    assert kubectl.run("get", "wd", "-o", "name") == ""


def test_a_pod_is_deleted_at_once_or_with_grace(kubectl: Kubectl) -> None:
    kubectl.run("run", "a", "--image=image:1")
    kubectl.run("run", "b", "--image=image:1")
    kubectl.run("delete", "pod", "a", "--timeout=20s")
    kubectl.run("delete", "pod", "b", "--force", "--grace-period=0")
    assert kubectl.run("get", "pods", "-o", "name") == ""


@pytest.mark.parametrize(
    ("condition", "patch"),
    [
        ("condition=Ready", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
        ("jsonpath={.status.replicas}=4", {"status": {"replicas": 4}}),
    ],
)
def test_wait_ends_when_it_is_so(kubectl: Kubectl, condition: str, patch: Any) -> None:
    kubectl.run("create", "-f", "-", stdin=widget("a"))
    assert "timed out" in kubectl.refusal("wait", "wd/a", f"--for={condition}", "--timeout=0.3s")
    arguments = ("patch", "wd", "a", "--subresource=status", "--type=merge", "-p", json.dumps(patch))
    later = threading.Timer(0.5, lambda: kubectl.run(*arguments))
    later.start()
    assert "condition met" in kubectl.run("wait", "wd/a", f"--for={condition}", "--timeout=20s")
    later.join()


def test_wait_for_a_deletion(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=widget("a"))
    with kubectl.started("wait", "wd/a", "--for=delete", "--timeout=20s") as waiting:
        kubectl.run("delete", "wd", "a")
        assert waiting.end() == 0


def test_a_custom_kind_and_a_deployment_are_scaled(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=widget("a"))
    kubectl.run("create", "deployment", "web", "--image=image:1")
    kubectl.run("scale", "wd/a", "--replicas=5")
    kubectl.run("scale", "deployment/web", "--replicas=4", "--current-replicas=1")
    assert spec_of(kubectl)["replicas"] == 5
    assert kubectl.lines("get", "deployment", "web")[1][1] == "0/4"
    assert kubectl.lines("get", "wd", "a", "--subresource=scale")[0] == ["NAME", "DESIRED", "AVAILABLE", "AGE"]
    scale = kubectl.json("get", "wd", "a", "--subresource=scale")
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 5})


def test_a_node_is_cordoned_and_tainted_and_drained(kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-node"
    kubectl.run("create", "-f", "-", stdin={"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    kubectl.run("cordon", name)
    assert kubectl.lines("get", "node", name)[1][1] == "Unknown,SchedulingDisabled"
    kubectl.run("uncordon", name)
    kubectl.run("taint", "node", name, "dedicated=team:NoSchedule")
    spec = kubectl.json("get", "node", name)["spec"]
    assert "unschedulable" not in spec
    assert {"key": "dedicated", "value": "team", "effect": "NoSchedule"} in spec["taints"]
    assert f"node/{name} drained" in kubectl.run("drain", name)


def test_what_others_depend_on_is_replaced_by_force(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=widget("a", 1))
    uid = kubectl.json("get", "wd", "a")["metadata"]["uid"]
    kubectl.run("replace", "--force", "-f", "-", stdin=widget("a", 2))
    replaced = kubectl.json("get", "wd", "a")
    assert replaced["spec"]["size"] == 2
    assert replaced["metadata"]["uid"] != uid


def test_services_and_deployments_come_of_generators(kubectl: Kubectl) -> None:
    kubectl.run("create", "deployment", "web", "--image=image:1", "--replicas=2", "--port=80", "--", "serve", "--fast")
    [container] = kubectl.json("get", "deployment", "web")["spec"]["template"]["spec"]["containers"]
    assert (container["command"], container["ports"]) == (
        ["serve", "--fast"],
        [{"containerPort": 80, "protocol": "TCP"}],
    )
    kubectl.run("expose", "deployment", "web", "--port=80", "--target-port=http", "--cluster-ip=None")
    kubectl.run("create", "service", "externalname", "far", "--external-name=example.com")
    kubectl.run("create", "secret", "generic", "keys", "--from-literal=a=b")
    kubectl.run("create", "serviceaccount", "robot")
    assert kubectl.lines("get", "deploy", "web", "-o", "wide")[1][1:4] == ["0/2", "0", "0"]
    assert kubectl.lines("get", "svc", "web", "-o", "wide")[1][1:5] == ["ClusterIP", "None", "<none>", "80/TCP"]
    assert kubectl.lines("get", "svc", "far")[1][1:4] == ["ExternalName", "<none>", "example.com"]
    assert kubectl.json("get", "secret", "keys")["data"] == {"a": "Yg=="}
    assert kubectl.lines("get", "sa", "robot")[1][0] == "robot"
