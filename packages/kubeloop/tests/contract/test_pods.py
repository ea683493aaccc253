"""Pods: their node is given once, they go with grace, and a disruption budget may keep them from eviction."""

from typing import Any

import pytest

from kubeloop.model.core import Pod

from .api import MERGE, Answer, Api, Body, told

CONTAINER = {"name": "c", "image": "example.com/i:1"}


def pod(name: str, **spec: Any) -> Body:
    return {"metadata": {"name": name, "labels": {"app": "a"}}, "spec": {"containers": [CONTAINER], **spec}}


async def act(api: Api, name: str, action: str, body: Body) -> Answer:
    """A subresource that does something: binding, eviction."""
    return await api.call("POST", api.path(Pod, name, action), {"metadata": {"name": name}, **body})


async def bind(api: Api, name: str, node: str) -> Answer:
    return await act(api, name, "binding", {"target": {"kind": "Node", "name": node}})


async def evict(api: Api, name: str, **options: Any) -> Answer:
    return await act(api, name, "eviction", options)


async def running(api: Api, name: str, *, ready: bool = True) -> None:
    """A pod; if it is ready, a disruption budget protects it."""
    await api.made(pod(name, nodeName="n1"), Pod)
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    assert (await api.merge(name, {"status": status}, kind=Pod, subresource="status")).status == 200


async def budget(api: Api, *, allowed: int, observed: int = 1) -> str:
    """A disruption budget for all of the namespace's pods; gives its path."""
    path = f"/apis/policy/v1/namespaces/{api.namespace}/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}
    made = await api.call("POST", path, {"metadata": {"name": "b"}, "spec": spec})
    assert made.status == 201, made.body
    status = {"observedGeneration": observed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}
    status["disruptionsAllowed"] = allowed
    await api.call("PATCH", f"{path}/b/status", {"status": status}, content_type=MERGE)
    return f"{path}/b"


async def test_a_new_pod_is_pending_with_its_defaults(api: Api) -> None:
    made = (await api.made(pod("a"), Pod)).body
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    spec = made["spec"]
    assert (spec["restartPolicy"], spec["terminationGracePeriodSeconds"], spec["dnsPolicy"]) == (
        "Always",
        30,
        "ClusterFirst",
    )
    assert spec["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert made["metadata"]["generation"] == 1


async def test_a_pod_without_containers_is_refused(api: Api) -> None:
    refused = await api.create({"metadata": {"name": "a"}, "spec": {"containers": []}}, Pod)
    assert (refused.status, refused.causes) == (422, [("FieldValueRequired", "spec.containers")])
    refused = await api.create({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}]}}, Pod)
    assert refused.causes == [("FieldValueRequired", "spec.containers[0].image")]


async def test_a_value_of_another_type_cannot_be_read(api: Api) -> None:
    refused = await api.create(pod("a", terminationGracePeriodSeconds="soon"), Pod)
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")


async def test_binding_puts_a_pod_on_a_node_once(api: Api) -> None:
    await api.made(pod("a"), Pod)
    bound = await bind(api, "a", "n1")
    assert (bound.status, bound.body["status"]) == (201, "Success")
    found = (await api.get(api.path(Pod, "a"))).body
    assert found["spec"]["nodeName"] == "n1"
    assert [(one["type"], one["status"]) for one in found["status"]["conditions"]] == [("PodScheduled", "True")]
    refused = await bind(api, "a", "n2")
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")
    assert (await api.get(api.path(Pod, "a"))).body["spec"]["nodeName"] == "n1"


async def test_a_binding_names_its_pod(api: Api) -> None:
    await api.made(pod("a"), Pod)
    assert (await bind(api, "b", "n1")).status == 404
    body = {"metadata": {"name": "b"}, "target": {"kind": "Node", "name": "n1"}}
    assert (await api.call("POST", api.path(Pod, "a", "binding"), body)).status == 400


async def test_a_pod_that_is_going_is_not_bound(api: Api) -> None:
    held = pod("a")
    held["metadata"]["finalizers"] = ["a.b/c"]
    await api.made(held, Pod)
    await api.delete("a", kind=Pod)
    assert (await bind(api, "a", "n1")).status == 409


async def test_the_node_of_a_pod_is_not_patched(api: Api) -> None:
    await api.made(pod("a"), Pod)
    refused = await api.merge("a", {"spec": {"nodeName": "n1"}}, kind=Pod)
    assert (refused.status, refused.causes) == (422, [("FieldValueForbidden", "spec")])


async def test_a_write_of_the_status_takes_labels_too_but_no_spec(api: Api) -> None:
    """Unlike that of a custom kind."""
    made = await api.made(pod("a"), Pod)
    change = {"metadata": {"labels": {"team": "red"}}, "spec": {"activeDeadlineSeconds": 5}, "status": {"message": "m"}}
    merged = await api.merge("a", change, kind=Pod, subresource="status")
    assert (merged.meta["labels"], merged.body["status"]["message"]) == ({"app": "a", "team": "red"}, "m")
    assert merged.body["spec"] == made.body["spec"]


async def test_the_image_of_a_container_can_change(api: Api) -> None:
    await api.made(pod("a"), Pod)
    changed = await api.merge("a", {"spec": {"containers": [{**CONTAINER, "image": "example.com/i:2"}]}}, kind=Pod)
    assert (changed.status, changed.meta["generation"]) == (200, 2)


async def test_pods_are_selected_by_their_node_and_phase(api: Api) -> None:
    await api.made(pod("a"), Pod)
    await running(api, "b")
    for selector, names in {
        "spec.nodeName=n1": ["b"],
        "spec.nodeName=": ["a"],
        "status.phase=Pending": ["a"],
        "status.phase!=Pending": ["b"],
    }.items():
        assert await api.names(api.path(Pod), fieldSelector=selector) == names, selector


async def test_a_pod_that_says_nothing_of_the_hosts_network_is_selected_as_not_on_it(api: Api) -> None:
    await api.made(pod("a"), Pod)
    await api.made(pod("b", hostNetwork=True), Pod)
    for value, names in {"false": ["a"], "true": ["b"], "": []}.items():
        assert await api.names(api.path(Pod), fieldSelector=f"spec.hostNetwork={value}") == names, value


async def test_a_pod_that_goes_at_once_is_told_as_going_first(api: Api) -> None:
    made = await api.made(pod("a"), Pod)
    async with api.watch(api.path(Pod), resourceVersion=made.version) as events:
        answer = await api.delete("a", kind=Pod)
        found = await events.take(2)
    assert told(found) == [("MODIFIED", "a"), ("DELETED", "a")]
    assert (answer.body["kind"], answer.meta["deletionGracePeriodSeconds"]) == ("Pod", 0)
    assert answer.meta == found[1]["object"]["metadata"]


async def test_a_pod_that_ended_has_no_grace(api: Api) -> None:
    await api.made(pod("a", nodeName="n1"), Pod)
    await api.merge("a", {"status": {"phase": "Succeeded"}}, kind=Pod, subresource="status")
    await api.delete("a", kind=Pod)
    assert (await api.get(api.path(Pod, "a"))).status == 404


async def test_grace_grows_no_longer_by_asking_again(api: Api) -> None:
    await api.made(pod("a", nodeName="n1"), Pod)
    first = await api.delete("a", {"gracePeriodSeconds": 5}, kind=Pod)
    second = await api.delete("a", {"gracePeriodSeconds": 60}, kind=Pod)
    assert (second.status, second.version) == (200, first.version)


async def test_a_pod_that_lost_its_last_finalizer_waits_for_its_grace(api: Api) -> None:
    held = pod("a", nodeName="n1")
    held["metadata"]["finalizers"] = ["a.b/c"]
    await api.made(held, Pod)
    await api.delete("a", kind=Pod)
    await api.merge("a", {"metadata": {"finalizers": None}}, kind=Pod)
    assert (await api.get(api.path(Pod, "a"))).meta["deletionGracePeriodSeconds"] == 30


async def test_an_eviction_deletes_and_says_why(api: Api) -> None:
    await running(api, "a")
    done = await evict(api, "a")
    assert (done.status, done.body["status"]) == (201, "Success")
    found = (await api.get(api.path(Pod, "a"))).body
    assert found["metadata"]["deletionTimestamp"]
    assert found["status"]["conditions"][-1]["reason"] == "EvictionByEvictionAPI"
    assert (await evict(api, "b")).status == 404


async def test_an_eviction_that_the_budget_allows_is_counted(api: Api) -> None:
    await running(api, "a")
    path = await budget(api, allowed=1)
    assert (await evict(api, "a")).status == 201
    status = (await api.get(path)).body["status"]
    assert (status["disruptionsAllowed"], list(status["disruptedPods"])) == (0, ["a"])


@pytest.mark.parametrize(("observed", "after_s"), [(1, None), (0, "10")])
async def test_an_eviction_that_the_budget_forbids_is_too_many(api: Api, observed: int, after_s: str | None) -> None:
    await running(api, "a")
    await budget(api, allowed=0, observed=observed)
    refused = await evict(api, "a")
    assert (refused.status, refused.body["reason"]) == (429, "TooManyRequests")
    assert refused.body["details"]["causes"][0]["reason"] == "DisruptionBudget"
    assert refused.headers.get("retry-after") == after_s
    assert "deletionTimestamp" not in (await api.get(api.path(Pod, "a"))).meta


async def test_a_pod_that_is_not_ready_is_evicted_while_the_others_are_enough(api: Api) -> None:
    await running(api, "a", ready=False)
    await budget(api, allowed=0)
    assert (await evict(api, "a")).status == 201


async def test_an_eviction_of_another_uid_conflicts(api: Api) -> None:
    await running(api, "a")
    refused = await evict(api, "a", deleteOptions={"preconditions": {"uid": "no-such"}})
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")


async def test_a_dry_run_of_an_eviction_leaves_the_pod(api: Api) -> None:
    await running(api, "a")
    assert (await evict(api, "a", deleteOptions={"dryRun": ["All"]})).status == 201
    assert "deletionTimestamp" not in (await api.get(api.path(Pod, "a"))).meta
