"""Deletion: finalizers, preconditions, options, and namespaces that end."""

from typing import Any

import pytest

from kubeloop.client import errors
from kubeloop.client.client import Client
from kubeloop.model.base import ObjectMeta
from kubeloop.model.core import Namespace, Pod

from .api import Api, Body, config_map, gadget, told
from .kinds import ConfigMap, Gadget, GadgetSpec

HELD = {"finalizers": ["contract.kubeloop.dev/held"]}


async def test_without_finalizers_a_deleted_object_is_gone_at_once(api: Api) -> None:
    made = await api.made(gadget("a"))
    answer = await api.delete("a")
    assert (answer.status, answer.body["kind"], answer.body["status"]) == (200, "Status", "Success")
    details = {"name": "a", "group": "contract.kubeloop.dev", "kind": "gadgets", "uid": made.meta["uid"]}
    assert answer.body["details"] == details
    assert (await api.get(api.path(Gadget, "a"))).status == 404


async def test_a_finalizer_keeps_the_object_which_is_marked_as_deleting(api: Api) -> None:
    made = await api.made(gadget("a", meta=HELD))
    answer = await api.delete("a")
    assert (answer.status, answer.body["kind"]) == (200, "Gadget")
    assert (await api.get(api.path(Gadget, "a"))).meta["deletionTimestamp"]
    assert answer.meta["deletionGracePeriodSeconds"] == 0
    assert answer.meta["generation"] == made.meta["generation"] + 1
    assert answer.version > made.version


async def test_the_object_goes_with_its_last_finalizer(api: Api) -> None:
    await api.made(gadget("a", meta={"finalizers": ["a.b/one", "a.b/two"]}))
    async with api.watch(api.path(), resourceVersion=(await api.get(api.path())).version) as events:
        await api.delete("a")
        await api.merge("a", {"metadata": {"finalizers": ["a.b/two"]}})
        last = await api.merge("a", {"metadata": {"finalizers": None}})
        assert last.status == 200
        assert told(await events.take(3)) == [("MODIFIED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert (await api.get(api.path(Gadget, "a"))).status == 404


async def test_deleting_again_changes_nothing(api: Api) -> None:
    await api.made(gadget("a", meta=HELD))
    first = await api.delete("a")
    second = await api.delete("a")
    assert (second.status, second.version) == (200, first.version)


async def test_no_finalizer_is_added_to_what_is_deleting(api: Api) -> None:
    await api.made(gadget("a", meta=HELD))
    await api.delete("a")
    refused = await api.merge("a", {"metadata": {"finalizers": [*HELD["finalizers"], "a.b/late"]}})
    assert (refused.status, refused.causes) == (422, [("FieldValueForbidden", "metadata.finalizers")])


async def test_other_fields_of_what_is_deleting_can_change(api: Api) -> None:
    await api.made(gadget("a", meta=HELD))
    await api.delete("a")
    assert (await api.merge("a", {"spec": {"size": 1}})).body["spec"]["size"] == 1


async def test_the_name_is_taken_while_the_old_object_is_deleting(api: Api, client: Client) -> None:
    await api.made(gadget("a", meta=HELD))
    await api.delete("a")
    again = Gadget(metadata=ObjectMeta(name="a", namespace=api.namespace), spec=GadgetSpec(owner="me"))
    with pytest.raises(errors.AlreadyExists):
        await client.create(again)


async def test_deletion_is_not_for_the_creator_to_say(api: Api) -> None:
    made = await api.made(gadget("a", meta={**HELD, "deletionTimestamp": "2020-01-01T00:00:00Z"}))
    assert "deletionTimestamp" not in made.meta


@pytest.mark.parametrize("precondition", [{"uid": "no-such"}, {"resourceVersion": "1"}])
async def test_a_delete_whose_precondition_fails_conflicts(api: Api, precondition: Body) -> None:
    await api.made(gadget("a"))
    refused = await api.delete("a", {"preconditions": precondition})
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")
    assert refused.body["details"] == {"name": "a", "group": "contract.kubeloop.dev", "kind": "Gadget"}
    assert (await api.get(api.path(Gadget, "a"))).status == 200


async def test_a_delete_whose_preconditions_hold_is_done(api: Api, client: Client) -> None:
    meta = (await api.made(gadget("a"))).meta
    await client.delete(Gadget, "a", namespace=api.namespace, uid=meta["uid"], resource_version=meta["resourceVersion"])
    assert (await api.get(api.path(Gadget, "a"))).status == 404


@pytest.mark.parametrize(
    ("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan"), ("Background", None)]
)
async def test_the_propagation_policy_is_a_finalizer_for_the_collector(
    api: Api, policy: str, finalizer: str | None
) -> None:
    await api.made(gadget("a", meta=HELD))
    answer = await api.delete("a", {"propagationPolicy": policy})
    assert answer.meta["finalizers"] == [*HELD["finalizers"], *([finalizer] if finalizer else [])]


async def test_an_unknown_propagation_policy_is_refused(api: Api) -> None:
    await api.made(gadget("a"))
    refused = await api.delete("a", {"propagationPolicy": "Sideways"})
    assert (refused.status, refused.body["reason"]) == (422, "Invalid")


async def test_a_pod_on_a_node_has_its_grace_and_goes_at_once_without(api: Api) -> None:
    spec: dict[str, Any] = {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}
    await api.made({"metadata": {"name": "a"}, "spec": spec}, Pod)
    assert (await api.delete("a", kind=Pod)).meta["deletionGracePeriodSeconds"] == 30
    shorter = await api.delete("a", {"gracePeriodSeconds": 5}, kind=Pod)
    assert shorter.meta["deletionGracePeriodSeconds"] == 5
    assert (await api.get(api.path(Pod, "a"))).status == 200
    await api.delete("a", {"gracePeriodSeconds": 0}, kind=Pod)
    assert (await api.get(api.path(Pod, "a"))).status == 404


async def test_a_pod_on_no_node_has_no_grace(api: Api) -> None:
    await api.made({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}, Pod)
    await api.delete("a", kind=Pod)
    assert (await api.get(api.path(Pod, "a"))).status == 404


async def test_a_collection_is_deleted_as_far_as_it_is_selected(api: Api) -> None:
    for name, team in (("a", "red"), ("b", "red"), ("c", "blue")):
        await api.made(gadget(name, meta={"labels": {"team": team}}))
    answer = await api.call("DELETE", api.path(), labelSelector="team=red")
    assert answer.status == 200
    assert await api.names(api.path()) == ["c"]


async def test_a_collection_is_answered_as_it_was_and_may_be_deleted_in_pages(api: Api) -> None:
    for name in ("a", "b"):
        await api.made(gadget(name, meta=HELD))
    first = await api.call("DELETE", api.path(), limit=1)
    [item] = first.body["items"]
    assert (item["metadata"]["name"], "deletionTimestamp" in item["metadata"]) == ("a", False)
    assert first.meta["remainingItemCount"] == 1
    deleting = {name: "deletionTimestamp" in (await api.get(api.path(Gadget, name))).meta for name in ("a", "b")}
    assert deleting == {"a": True, "b": False}


async def test_a_dry_run_of_a_collections_deletion_leaves_it(api: Api) -> None:
    await api.made(gadget("a"))
    answer = await api.call("DELETE", api.path(), dryRun="All")
    assert (answer.status, len(answer.body["items"])) == (200, 1)
    assert await api.names(api.path()) == ["a"]


async def terminate(api: Api) -> None:
    answer = await api.call("DELETE", Namespace.resource.path(name=api.namespace))
    assert answer.body["status"]["phase"] == "Terminating"


async def test_nothing_is_created_in_a_namespace_that_is_terminating(api: Api) -> None:
    await terminate(api)
    for kind, body in ((Gadget, gadget("a")), (ConfigMap, config_map("a"))):
        refused = await api.create(body, kind)
        assert (refused.status, refused.body["reason"]) == (403, "Forbidden")
        assert refused.body["details"]["causes"][-1]["reason"] == "NamespaceTerminating"
        assert refused.body["details"]["causes"][-1]["field"] == "metadata.namespace"


async def test_kubeloop_tells_a_terminating_namespace_from_a_missing_right(api: Api, client: Client) -> None:
    await terminate(api)
    with pytest.raises(errors.Forbidden) as refused:
        await client.create(ConfigMap(metadata=ObjectMeta(name="a", namespace=api.namespace)))
    assert refused.value.namespace_terminating


async def test_what_is_in_a_terminating_namespace_can_change_and_go(api: Api) -> None:
    await api.made(gadget("a"))
    await terminate(api)
    assert (await api.merge("a", {"spec": {"size": 1}})).status == 200
    assert (await api.delete("a")).status == 200


async def test_a_namespace_goes_when_it_is_finalized(api: Api) -> None:
    await terminate(api)
    path = Namespace.resource.path(name=api.namespace)
    found = await api.get(path)
    assert found.body["spec"]["finalizers"] == ["kubernetes"]
    assert (await api.call("PUT", f"{path}/finalize", {**found.body, "spec": {}})).status == 200
    assert (await api.get(path)).status == 404


async def test_a_namespace_that_is_not_there_is_not_found(api: Api) -> None:
    refused = await api.call("POST", Gadget.resource.path(namespace="no-such"), gadget("a"))
    assert (refused.status, refused.body["details"]["kind"]) == (404, "namespaces")


async def test_a_name_whose_object_is_being_deleted_is_taken_and_it_is_said_why(api: Api) -> None:
    await api.made(gadget("a", meta=HELD))
    await api.delete("a")
    refused = await api.create(gadget("a"))
    assert (refused.status, refused.body["reason"]) == (409, "AlreadyExists")
    assert refused.body["message"].startswith("object is being deleted: ")


@pytest.mark.parametrize(
    "meta", [{"deletionTimestamp": "2026-01-01T00:00:00Z"}, {"deletionGracePeriodSeconds": 5}], ids=str
)
@pytest.mark.parametrize("kind", [Gadget, ConfigMap])
async def test_nobody_but_a_delete_says_that_an_object_is_being_deleted(
    api: Api, kind: type[Gadget | ConfigMap], meta: Body
) -> None:
    await api.made(gadget("a") if kind is Gadget else config_map("a"), kind)
    refused = await api.merge("a", {"metadata": meta}, kind=kind)
    assert (refused.status, refused.causes) == (422, [("FieldValueInvalid", f"metadata.{name}") for name in meta])
