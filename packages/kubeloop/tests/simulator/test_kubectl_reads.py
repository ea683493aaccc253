"""What kubectl shows: tables, objects, watches, descriptions, and what the server says of itself."""

import json
import re
from typing import Any

import pytest

from .kubectl import Kubectl

GROUP = "kubectl.kubeloop.dev"


def widget(name: str, size: int = 1, **meta: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": name, **meta}, "spec": {"size": size}}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "main", "image": "image:1"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def three(kubectl: Kubectl) -> Kubectl:
    """A namespace with three widgets."""
    items = [widget("a", 1, labels={"team": "red"}), widget("b", 2, labels={"team": "blue"}), widget("c", 3)]
    kubectl.run("create", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": items})
    return kubectl


def names(lines: list[list[str]]) -> list[str]:
    return [line[0] for line in lines[1:]]


def test_a_custom_kind_is_shown_in_the_columns_of_its_definition(three: Kubectl) -> None:
    head, first, *_ = three.lines("get", "widgets")
    assert head == ["NAME", "SIZE", "READY", "AGE"]
    assert first[:2] == ["a", "1"]
    assert re.fullmatch(r"\d+s", first[-1])


def test_wide_shows_more_columns(three: Kubectl) -> None:
    three.run("patch", "wd", "a", "--type=merge", "-p", '{"spec":{"parts":["x","y"]}}')
    head, first, *_ = three.lines("get", "wd", "-o", "wide")
    assert head == ["NAME", "SIZE", "READY", "PARTS", "AGE"]
    assert '["x","y"]' in first


def test_kinds_are_found_by_short_name_singular_and_category(three: Kubectl) -> None:
    for name in ("wd", "widget", "widgets.kubectl.kubeloop.dev", "things", "widgets.v1.kubectl.kubeloop.dev"):
        assert names(three.lines("get", name)) == ["a", "b", "c"]


def test_selectors_select(three: Kubectl) -> None:
    assert names(three.lines("get", "wd", "-l", "team=red")) == ["a"]
    assert names(three.lines("get", "wd", "-l", "team in (red,blue),team!=red")) == ["b"]
    assert names(three.lines("get", "wd", "-l", "!team")) == ["c"]
    assert names(three.lines("get", "wd", "--field-selector", "metadata.name=b")) == ["b"]
    assert "field label not supported" in three.refusal("get", "wd", "--field-selector", "spec.size=1")


def test_labels_are_shown_when_asked_for(three: Kubectl) -> None:
    assert three.lines("get", "wd", "a", "--show-labels")[1][-1] == "team=red"
    assert three.lines("get", "wd", "-L", "team")[0][-1] == "TEAM"


def test_objects_come_as_yaml_json_name_and_path(three: Kubectl) -> None:
    assert json.loads(three.run("get", "wd", "a", "-o", "json"))["spec"] == {"size": 1, "colour": "red"}
    assert "\n  colour: red\n  size: 1\n" in three.run("get", "wd", "a", "-o", "yaml")
    assert three.run("get", "wd", "-o", "name").split() == [f"widget.{GROUP}/{name}" for name in "abc"]
    assert three.run("get", "wd", "-o", "jsonpath={.items[*].spec.size}") == "1 2 3"
    assert three.json("get", "wd", "-l", "team=red")["items"][0]["metadata"]["name"] == "a"
    columns = three.lines("get", "wd", "-o", "custom-columns=N:.metadata.name,S:.spec.size")
    assert columns == [["N", "S"], ["a", "1"], ["b", "2"], ["c", "3"]]
    assert three.run("get", "wd", "--sort-by=.metadata.name", "-o", "name").split()[0].endswith("/a")


def test_pages_make_the_whole_list(three: Kubectl) -> None:
    assert names(three.lines("get", "wd", "--chunk-size=1")) == ["a", "b", "c"]


def test_all_namespaces_are_shown_with_their_names(three: Kubectl) -> None:
    lines = three.lines("get", "wd", "--all-namespaces")
    assert lines[0][0] == "NAMESPACE"
    assert [three.namespace, "a"] in [line[:2] for line in lines]


def test_several_kinds_are_shown_one_after_the_other(three: Kubectl) -> None:
    three.run("create", "configmap", "settings", "--from-literal=a=b")
    found = three.run("get", "wd,cm", "-o", "name").split()
    assert found[0] == f"widget.{GROUP}/a"
    assert "configmap/settings" in found


def test_what_is_not_there_is_said(three: Kubectl) -> None:
    assert f'widgets.{GROUP} "z" not found' in three.refusal("get", "wd", "z")
    assert three.run("get", "wd", "z", "--ignore-not-found") == ""
    assert 'the server doesn\'t have a resource type "gizmos"' in three.refusal("get", "gizmos")


def test_a_watch_shows_what_changes(three: Kubectl) -> None:
    with three.started("get", "wd", "--watch") as watch:
        assert watch.line() == ["NAME", "SIZE", "READY", "AGE"]
        assert [watch.line()[0] for _ in range(3)] == ["a", "b", "c"]
        three.run("patch", "wd", "b", "--type=merge", "-p", '{"spec":{"size":7}}')
        assert watch.line()[:2] == ["b", "7"]
        three.run("delete", "wd", "c")
        assert watch.line()[0] == "c"


def test_a_watch_of_one_object_as_json_tells_its_events(three: Kubectl) -> None:
    arguments = (
        "get",
        "wd",
        "a",
        "--watch",
        "--output-watch-events",
        "-o",
        "jsonpath={.type} {.object.spec.size}{'\\n'}",
    )
    with three.started(*arguments) as watch:
        assert watch.line() == ["ADDED", "1"]
        three.run("patch", "wd", "b", "--type=merge", "-p", '{"spec":{"size":8}}')
        three.run("patch", "wd", "a", "--type=merge", "-p", '{"spec":{"size":9}}')
        assert watch.line() == ["MODIFIED", "9"]
        three.run("delete", "wd", "a")
        assert watch.line() == ["DELETED", "9"]


def test_pods_are_shown_by_their_state(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=pod("a", nodeName="n1"))
    status = {
        "phase": "Running",
        "podIPs": [{"ip": "10.0.0.1"}],
        "podIP": "10.0.0.1",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {"name": "main", "ready": True, "restartCount": 2, "image": "i", "imageID": "", "state": {"running": {}}}
        ],
    }
    patch = json.dumps({"status": status})
    kubectl.run("patch", "pod", "a", "--subresource=status", "--type=merge", "-p", patch)
    head, row = kubectl.lines("get", "pods", "-o", "wide")
    assert head[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert row[:4] == ["a", "1/1", "Running", "2"]
    assert row[5:7] == ["10.0.0.1", "n1"]
    assert names(kubectl.lines("get", "po", "--sort-by=.metadata.name")) == ["a"]
    assert names(kubectl.lines("get", "po", "--field-selector", "spec.nodeName=n1,status.phase=Running")) == ["a"]


def test_a_description_ends_with_the_events(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=widget("a", labels={"team": "red"}))
    made = kubectl.json("get", "wd", "a")
    about = {name: made["metadata"][name] for name in ("name", "namespace", "uid")}
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "a.1", "namespace": kubectl.namespace},
        "involvedObject": {"apiVersion": made["apiVersion"], "kind": "Widget", **about},
        "type": "Warning",
        "reason": "Broken",
        "message": "It broke",
        "source": {"component": "breaker"},
        "firstTimestamp": "2020-01-01T00:00:00Z",
        "lastTimestamp": "2020-01-01T00:00:00Z",
        "count": 1,
    }
    kubectl.run("create", "-f", "-", stdin=event)
    described = kubectl.run("describe", "wd", "a")
    assert re.search(r"Name:\s+a\n", described)
    assert re.search(r"Labels:\s+team=red\n", described)
    assert re.search(r"Colour:\s+red\n", described)
    assert re.search(r"Warning\s+Broken\s+\S+\s+breaker\s+It broke", described)
    lines = kubectl.lines("get", "events")
    assert len(lines) == 2, lines
    [head, row] = lines
    assert head == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert row[1:] == ["Warning", "Broken", "widget/a", "It", "broke"]
    assert "It broke" in kubectl.run("events", "--for", "widget/a")


@pytest.mark.parametrize("kind", ["namespace", "node", "pod", "configmap", "service", "deployment", "lease"])
def test_core_kinds_are_described(kubectl: Kubectl, kind: str) -> None:
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"{kubectl.namespace}-node"}}
    made = {
        "node": body,
        "pod": pod("a"),
        "lease": {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}},
    }
    name = {"namespace": kubectl.namespace, "node": body["metadata"]["name"]}.get(kind, "a")  # type: ignore[index]
    if kind in made:
        kubectl.run("create", "-f", "-", stdin=made[kind])
    elif kind == "configmap":
        kubectl.run("create", "configmap", "a", "--from-literal=x=y")
    elif kind == "service":
        kubectl.run("create", "service", "clusterip", "a", "--clusterip=None")
    elif kind == "deployment":
        kubectl.run("create", "deployment", "a", "--image=image:1")
    assert re.search(rf"Name:\s+{name}\n", kubectl.run("describe", kind, name))
    assert kubectl.lines("get", kind, name)[1][0] == name


def test_resources_are_listed_with_verbs_and_short_names(kubectl: Kubectl) -> None:
    listed = {line[0]: line for line in kubectl.lines("api-resources", "--api-group", GROUP, "-o", "wide")}
    verbs = "create,delete,deletecollection,get,list,patch,update,watch"
    row = listed["widgets"]
    assert row[1:5] == ["wd", f"{GROUP}/v1", "true", "Widget"]
    assert sorted(row[5].split(",")) == verbs.split(",")
    assert row[6] == "things"
    core = {line[0]: line[1:-1] for line in kubectl.lines("api-resources", "--api-group", "") if len(line) == 5}
    assert core["pods"] == ["po", "v1", "true"]
    assert core["nodes"] == ["no", "v1", "false"]
    assert f"{GROUP}/v1" in kubectl.run("api-versions").split()


def test_a_custom_kind_is_explained_by_its_schema(kubectl: Kubectl) -> None:
    explained = kubectl.run("explain", "widgets")
    assert "KIND:       Widget" in explained
    assert "A widget is a thing." in explained
    assert re.search(r"spec\t<Object> -required-\n\s+What it should be\.", explained)
    assert re.search(r"size\t<integer> -required-\n\s+How big it is\.", kubectl.run("explain", "wd.spec"))
    assert "How big it is." in kubectl.run("explain", "wd.spec.size")
    assert "ownerReferences\t<[]OwnerReference>" in kubectl.run("explain", "wd", "--recursive")
    assert 'field "nonsense" does not exist' in kubectl.refusal("explain", "wd.spec.nonsense")


def test_the_server_says_its_version(kubectl: Kubectl) -> None:
    said = kubectl.json("version")["serverVersion"]
    assert (said["major"], said["minor"]) == ("1", "37")
    assert kubectl.run("get", "--raw", "/readyz") == "ok"


def test_who_may_do_everything_is_told_so(kubectl: Kubectl) -> None:
    assert kubectl.run("auth", "can-i", "delete", "widgets").strip() == "yes"
