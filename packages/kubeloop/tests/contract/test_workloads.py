"""Built-in kinds that controllers act on: defaults, what never changes, generations, and scale."""

from typing import Any, ClassVar

import pytest

from kubeloop.model.base import KubeObject, Resource

from .api import MERGE, Answer, Api, Body
from .kinds import Lease


class Deployment(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("apps", "v1", "deployments", "Deployment")


class Job(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("batch", "v1", "jobs", "Job")


class Service(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("", "v1", "services", "Service")


class Secret(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("", "v1", "secrets", "Secret")


class EndpointSlice(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")


class CoreEvent(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("", "v1", "events", "Event")


class Event(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("events.k8s.io", "v1", "events", "Event")


POD = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def deployment(name: str = "d", **spec: Any) -> Body:
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": POD, **spec}}


async def test_a_deployment_is_filled_in(api: Api) -> None:
    made = (await api.made(deployment(), Deployment)).body
    spec = made["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (1, 10, 600)
    rolling = {"maxSurge": "25%", "maxUnavailable": "25%"}
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    assert spec["template"]["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert (made["metadata"]["generation"], made["status"]) == (1, {})


async def test_the_fields_of_a_deployment_are_owned_one_by_one(api: Api) -> None:
    made = await api.create(deployment(), Deployment, fieldManager="maker")
    [entry] = made.meta["managedFields"]
    spec = entry["fieldsV1"]["f:spec"]
    assert spec["f:selector"] == {}
    assert spec["f:template"]["f:metadata"] == {"f:labels": {".": {}, "f:app": {}}}
    assert list(spec["f:template"]["f:spec"]["f:containers"]) == ['k:{"name":"c"}']


async def test_containers_are_merged_by_their_name(api: Api) -> None:
    await api.made(deployment(), Deployment)
    body = deployment()
    body["spec"]["template"] = {**POD, "spec": {"containers": [{"name": "side", "image": "s"}]}}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", **body}
    applied = await api.apply(body, "two", kind=Deployment)
    assert applied.status == 200, applied.body
    assert [one["name"] for one in applied.body["spec"]["template"]["spec"]["containers"]] == ["c", "side"]
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "j"}]}}}}
    path = api.path(Deployment, "d")
    patched = await api.call("PATCH", path, patch, content_type="application/strategic-merge-patch+json")
    images = {one["name"]: one["image"] for one in patched.body["spec"]["template"]["spec"]["containers"]}
    assert images == {"c": "j", "side": "s"}


async def test_the_selector_of_a_deployment_selects_its_template_and_never_changes(api: Api) -> None:
    other = {"matchLabels": {"app": "b"}}
    refused = await api.create(deployment(selector=other), Deployment)
    assert (refused.status, refused.causes) == (422, [("FieldValueInvalid", "spec.template.metadata.labels")])
    await api.made(deployment(), Deployment)
    labels = {"metadata": {"labels": {"app": "b"}}}
    refused = await api.merge("d", {"spec": {"selector": other, "template": labels}}, kind=Deployment)
    assert (refused.status, refused.causes) == (422, [("FieldValueInvalid", "spec.selector")])


async def test_the_generation_of_a_deployment_grows_with_spec_and_annotations(api: Api) -> None:
    async def generation(change: Body, subresource: str = "") -> int:
        answer = await api.merge("d", change, kind=Deployment, subresource=subresource)
        return int(answer.meta["generation"])

    await api.made(deployment(), Deployment)
    assert await generation({"metadata": {"labels": {"x": "y"}}}) == 1
    assert await generation({"metadata": {"annotations": {"x": "y"}}}) == 2
    assert await generation({"spec": {"replicas": 2}}) == 3
    assert await generation({"status": {"replicas": 2}}, "status") == 3


async def scale(api: Api, method: str, body: Body | None = None) -> Answer:
    return await api.call(method, api.path(Deployment, "d", "scale"), body, content_type=MERGE)


async def test_scale_shows_and_sets_the_number_of_replicas(api: Api) -> None:
    made = await api.made(deployment(), Deployment)
    found = (await scale(api, "GET")).body
    assert (found["kind"], found["apiVersion"], found["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 1})
    assert found["status"] == {"replicas": 0, "selector": "app=a"}
    assert found["metadata"]["resourceVersion"] == made.meta["resourceVersion"]
    assert (await scale(api, "PATCH", {"spec": {"replicas": 3}})).body["spec"] == {"replicas": 3}
    after = await api.get(api.path(Deployment, "d"))
    assert (after.body["spec"]["replicas"], after.meta["generation"]) == (3, 2)


async def test_a_scale_below_nothing_or_of_an_old_version_is_refused(api: Api) -> None:
    await api.made(deployment(), Deployment)
    refused = await scale(api, "PATCH", {"spec": {"replicas": -1}})
    assert (refused.status, refused.causes) == (422, [("FieldValueInvalid", "spec.replicas")])
    refused = await scale(api, "PATCH", {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 2}})
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")


async def test_a_job_selects_its_pods_by_its_uid_and_leaves_them_behind(api: Api) -> None:
    template = {"spec": {**POD["spec"], "restartPolicy": "Never"}}
    made = (await api.made({"metadata": {"name": "j"}, "spec": {"template": template}}, Job)).body
    uid = {"batch.kubernetes.io/controller-uid": made["metadata"]["uid"]}
    assert made["spec"]["selector"] == {"matchLabels": uid}
    assert uid.items() <= made["spec"]["template"]["metadata"]["labels"].items()
    assert (made["spec"]["completions"], made["spec"]["parallelism"]) == (1, 1)
    assert (await api.delete("j", kind=Job)).meta["finalizers"] == ["orphan"]
    await api.merge("j", {"metadata": {"finalizers": None}}, kind=Job)
    assert (await api.get(api.path(Job, "j"))).status == 404


async def test_a_service_keeps_the_address_that_it_is_given(api: Api) -> None:
    made = await api.made({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}, Service)
    spec = made.body["spec"]
    assert spec["clusterIP"] == spec["clusterIPs"][0] != ""
    assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    replaced = await api.put({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 81}]}}, kind=Service)
    assert replaced.body["spec"]["clusterIP"] == spec["clusterIP"]
    refused = await api.merge("s", {"spec": {"clusterIP": "10.0.0.250", "clusterIPs": None}}, kind=Service)
    assert refused.status == 422
    headless = {"metadata": {"name": "h"}, "spec": {"clusterIP": "None", "selector": {"app": "a"}}}
    assert (await api.made(headless, Service)).body["spec"]["clusterIP"] == "None"


async def test_text_of_a_secret_becomes_data(api: Api) -> None:
    made = await api.made({"metadata": {"name": "s"}, "stringData": {"a": "b"}}, Secret)
    assert (made.body["data"], made.body["type"], "stringData" in made.body) == ({"a": "Yg=="}, "Opaque", False)


async def test_the_generation_of_an_endpoint_slice_grows_with_its_labels_too(api: Api) -> None:
    body = {"metadata": {"name": "e"}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.1.1.1"]}]}
    assert (await api.made(body, EndpointSlice)).meta["generation"] == 1
    changed = await api.merge("e", {"metadata": {"labels": {"x": "y"}}}, kind=EndpointSlice)
    assert changed.meta["generation"] == 2


async def test_a_lease_cannot_be_replaced_blindly(api: Api) -> None:
    await api.made({"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}, Lease)
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}}
    refused = await api.put(body, kind=Lease)
    assert (refused.status, refused.causes) == (422, [("FieldValueInvalid", "metadata.resourceVersion")])


async def test_events_of_both_groups_are_the_same_objects(api: Api) -> None:
    about = {"kind": "Pod", "name": "p", "namespace": api.namespace}
    event = {
        "metadata": {"name": "e"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "a.b/c",
        "reportingInstance": "i",
        "action": "Acted",
        "reason": "Because",
        "note": "a note",
        "type": "Normal",
        "regarding": about,
    }
    made = await api.made(event, Event)
    old = await api.get(api.path(CoreEvent, "e"))
    assert old.meta["uid"] == made.meta["uid"]
    assert (old.body["message"], old.body["involvedObject"], old.body["reportingComponent"]) == (
        "a note",
        about,
        "a.b/c",
    )
    assert await api.names(api.path(CoreEvent), fieldSelector="involvedObject.name=p,type=Normal") == ["e"]
    assert await api.names(api.path(Event), fieldSelector="regarding.name=p") == ["e"]


@pytest.mark.parametrize("subresource", ["status", "scale", "nonsense"])
async def test_a_subresource_that_a_kind_does_not_have_is_not_found(api: Api, subresource: str) -> None:
    await api.made({"metadata": {"name": "s"}}, Secret)
    assert (await api.get(api.path(Secret, "s", subresource))).status == 404
