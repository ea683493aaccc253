"""Server-side apply: https://kubernetes.io/docs/reference/using-api/server-side-apply/."""

from typing import Any

import pytest

from kubeloop.client import errors
from kubeloop.client.client import ApplyPatch, Client

from .api import Answer, Api, Body, config_map, gadget
from .kinds import ConfigMap, Gadget

BASE = {"apiVersion": "contract.kubeloop.dev/v1", "kind": "Gadget"}


def part(spec: Body | None = None, **meta: Any) -> Body:
    """A part of the gadget `a`, as one manager wants it."""
    return {**BASE, "metadata": {"name": "a", **meta}, **({"spec": spec} if spec else {})}


def owned(answer: Answer, manager: str) -> Any:
    """The fields of the spec that a manager owns."""
    entries = [one for one in answer.meta["managedFields"] if one["manager"] == manager]
    fields = [name for one in entries for name in one["fieldsV1"].get("f:spec", {})]
    return sorted(name.removeprefix("f:") for name in fields if name != ".")


async def test_the_first_apply_creates_and_the_second_updates(api: Api) -> None:
    first = await api.apply(part({"owner": "me"}), "one")
    second = await api.apply(part({"owner": "me", "size": 5}), "one")
    assert (first.status, second.status) == (201, 200)
    assert (first.meta["uid"], second.body["spec"]["size"]) == (second.meta["uid"], 5)


async def test_an_apply_that_changes_nothing_keeps_the_version(api: Api) -> None:
    first = await api.apply(part({"owner": "me"}), "one")
    assert (await api.apply(part({"owner": "me"}), "one")).version == first.version


@pytest.mark.parametrize(
    "empty", [{"labels": {}}, {"annotations": None}, {"finalizers": []}, {"ownerReferences": []}], ids=str
)
async def test_an_apply_that_names_an_empty_map_or_list_of_the_metadata_writes_each_time(api: Api, empty: Body) -> None:
    await api.apply(part({"owner": "me"}), "one")
    first = await api.apply(part({"owner": "me"}, **empty), "one")
    second = await api.apply(part({"owner": "me"}, **empty), "one")
    assert second.version > first.version
    assert not second.meta.keys() & empty.keys()


async def test_what_was_applied_is_owned_and_defaults_are_nobodys(api: Api) -> None:
    answer = await api.apply(part({"owner": "me", "size": 5}), "one")
    assert owned(answer, "one") == ["owner", "size"]
    assert answer.meta["managedFields"][0]["operation"] == "Apply"
    assert answer.body["spec"]["colour"] == "red"


async def test_a_field_left_out_of_the_next_apply_is_removed(api: Api) -> None:
    await api.apply(part({"owner": "me", "node": "n1", "prices": {"x": 1, "y": 2}}, labels={"l": "1"}), "one")
    answer = await api.apply(part({"owner": "me", "prices": {"y": 2}}), "one")
    assert "node" not in answer.body["spec"]
    assert answer.body["spec"]["prices"] == {"y": 2}
    assert "labels" not in answer.meta


async def test_a_field_left_out_falls_back_to_its_default(api: Api) -> None:
    await api.apply(part({"owner": "me", "size": 5}), "one")
    assert (await api.apply(part({"owner": "me"}), "one")).body["spec"]["size"] == 10


async def test_another_managers_value_conflicts_and_names_field_and_manager(api: Api) -> None:
    await api.apply(part({"owner": "me", "size": 5}), "one")
    refused = await api.apply(part({"size": 6, "node": "n1"}), "two")
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")
    assert refused.causes == [("FieldManagerConflict", ".spec.size")]
    assert 'conflict with "one"' in refused.body["details"]["causes"][0]["message"]
    assert "node" not in (await api.get(api.path(Gadget, "a"))).body["spec"]


async def test_an_apply_conflict_is_a_conflict_in_kubeloops_words(api: Api, client: Client) -> None:
    await api.apply(part({"owner": "me", "size": 5}), "one")
    with pytest.raises(errors.Conflict):
        await client.patch(Gadget, "a", ApplyPatch(part({"size": 6})), namespace=api.namespace)
    taken = await client.patch(Gadget, "a", ApplyPatch(part({"size": 6}), force=True), namespace=api.namespace)
    assert taken.spec.size == 6


async def test_force_takes_the_field_and_its_ownership(api: Api) -> None:
    await api.apply(part({"owner": "me", "size": 5}), "one")
    taken = await api.apply(part({"size": 6}), "two", force=True)
    assert (taken.body["spec"]["size"], owned(taken, "one"), owned(taken, "two")) == (6, ["owner"], ["size"])
    without = await api.apply(part({"owner": "me"}), "one")
    assert without.body["spec"]["size"] == 6


async def test_the_same_value_is_owned_by_both_and_stays_until_both_leave_it(api: Api) -> None:
    await api.apply(part({"owner": "me", "node": "n1"}), "one")
    both = await api.apply(part({"node": "n1"}), "two")
    assert (both.status, owned(both, "one"), owned(both, "two")) == (200, ["node", "owner"], ["node"])
    assert (await api.apply(part({"owner": "me"}), "one")).body["spec"]["node"] == "n1"
    assert "node" not in (await api.apply(part(), "two")).body.get("spec", {})


async def test_an_update_takes_what_it_changes_without_conflict(api: Api) -> None:
    await api.apply(part({"owner": "me", "size": 5}), "one")
    merged = await api.merge("a", {"spec": {"size": 6}}, fieldManager="two")
    assert (merged.status, owned(merged, "one"), owned(merged, "two")) == (200, ["owner"], ["size"])
    refused = await api.apply(part({"owner": "me", "size": 5}), "one")
    assert refused.causes == [("FieldManagerConflict", ".spec.size")]


async def test_keys_of_a_map_are_owned_one_by_one_a_list_as_a_whole(api: Api) -> None:
    await api.apply(part({"owner": "me", "prices": {"x": 1}, "parts": ["p"]}), "one")
    merged = await api.apply(part({"prices": {"y": 2}}), "two")
    assert merged.body["spec"]["prices"] == {"x": 1, "y": 2}
    refused = await api.apply(part({"prices": {"y": 2}, "parts": ["q"]}), "two")
    assert refused.causes == [("FieldManagerConflict", ".spec.parts")]


async def test_finalizers_are_a_set_that_managers_share(api: Api) -> None:
    await api.apply(part({"owner": "me"}, finalizers=["a.b/one"]), "one")
    both = await api.apply(part(finalizers=["a.b/two"]), "two")
    assert sorted(both.meta["finalizers"]) == ["a.b/one", "a.b/two"]
    assert (await api.apply(part({"owner": "me"}), "one")).meta["finalizers"] == ["a.b/two"]


async def test_owner_references_are_told_apart_by_their_uid(api: Api) -> None:
    owners = [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": name} for name in ("p", "q")]
    await api.apply(part({"owner": "me"}, ownerReferences=owners[:1]), "one")
    both = await api.apply(part(ownerReferences=owners[1:]), "two")
    assert [owner["uid"] for owner in both.meta["ownerReferences"]] == ["p", "q"]


async def test_the_status_is_applied_through_its_subresource_alone(api: Api) -> None:
    await api.made(gadget("a"))
    ignored = await api.apply({**part(), "status": {"count": 1}}, "one")
    assert "status" not in ignored.body
    applied = await api.apply({**part(), "status": {"count": 1}}, "one", subresource="status")
    assert applied.body["status"] == {"count": 1}
    assert [one["subresource"] for one in applied.meta["managedFields"] if "subresource" in one] == ["status"]


async def test_an_apply_to_the_status_of_what_is_not_there_is_not_found(api: Api) -> None:
    assert (await api.apply({**part(), "status": {"count": 1}}, "one", subresource="status")).status == 404


async def test_an_apply_of_an_old_version_conflicts(api: Api) -> None:
    first = await api.apply(part({"owner": "me"}), "one")
    await api.merge("a", {"spec": {"size": 1}})
    refused = await api.apply(part({"owner": "you"}, resourceVersion=str(first.version)), "one")
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")


async def test_an_apply_with_the_uid_of_a_former_object_conflicts(api: Api) -> None:
    refused = await api.apply(part({"owner": "me"}, uid="11111111-1111-1111-1111-111111111111"), "one")
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")


async def test_an_apply_needs_a_manager(api: Api) -> None:
    body = part({"owner": "me"})
    refused = await api.call("PATCH", api.path(Gadget, "a"), body, content_type="application/apply-patch+yaml")
    assert (refused.status, refused.causes) == (422, [("FieldValueRequired", "fieldManager")])


async def test_an_apply_does_not_say_managed_fields(api: Api) -> None:
    first = await api.apply(part({"owner": "me"}), "one")
    refused = await api.apply(part({"owner": "me"}, managedFields=first.meta["managedFields"]), "one")
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")


async def test_an_applied_null_is_owned_where_null_may_be(api: Api) -> None:
    answer = await api.apply(part({"owner": "me", "note": None}), "one")
    assert answer.body["spec"]["note"] is None
    assert owned(answer, "one") == ["note", "owner"]


async def test_a_config_maps_keys_are_owned_one_by_one(api: Api) -> None:
    await api.apply(config_map("c", x="1"), "one", kind=ConfigMap)
    both = await api.apply(config_map("c", y="2"), "two", kind=ConfigMap)
    assert both.body["data"] == {"x": "1", "y": "2"}
    assert (await api.apply(config_map("c"), "one", kind=ConfigMap)).body["data"] == {"y": "2"}


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"size": "big"}, ".spec.size: expected numeric (int or float), got string"),
        ({"owner": 1}, ".spec.owner: expected string, got &value.valueUnstructured{Value:1}"),
        ({"parts": "p"}, ".spec.parts: expected list, got &{p}"),
        ({"colours": 1}, ".spec.colours: field not declared in schema"),
    ],
)
async def test_an_apply_that_does_not_fit_the_schema_is_an_internal_error(api: Api, spec: Body, why: str) -> None:
    refused = await api.apply(part({"owner": "me", **spec}), "one")
    assert (refused.status, refused.body["code"]) == (500, 500)
    assert refused.body["message"].endswith(why)


async def test_an_applied_status_that_is_empty_when_it_was_not_is_refused_as_null(api: Api) -> None:
    await api.made(gadget("a"))
    await api.apply({**part(), "status": {"count": 1}}, "one", subresource="status")
    refused = await api.apply({**part(), "status": {}}, "one", subresource="status")
    assert (refused.status, refused.causes) == (422, [("FieldValueTypeInvalid", "status")])


async def test_an_apply_is_of_the_kind_and_version_of_its_path(api: Api) -> None:
    refused = await api.apply({**part(), "kind": "Seal"}, "one")
    assert (refused.status, refused.body["message"]) == (
        400,
        "invalid object type: contract.kubeloop.dev/v1, Kind=Seal",
    )


async def test_an_apply_to_what_nobody_owns_finds_it_owned_by_who_was_before(api: Api) -> None:
    await api.made(gadget("a"))
    await api.merge("a", {"metadata": {"managedFields": [{}]}})
    answer = await api.apply(part({"owner": "you"}), "one")
    assert [(cause["message"], cause["field"]) for cause in answer.body["details"]["causes"]] == [
        ('conflict with "before-first-apply" using contract.kubeloop.dev/v1', ".spec.owner")
    ]


async def test_of_more_than_ten_updaters_the_oldest_lose_their_names(api: Api) -> None:
    await api.create(gadget("a"), fieldManager="maker")
    for number in range(11):
        answer = await api.merge("a", {"metadata": {"labels": {f"l{number}": "x"}}}, fieldManager=f"m{number}")
    managers = [entry["manager"] for entry in answer.meta["managedFields"]]
    assert len(managers) == 10
    assert "ancient-changes" in managers


async def test_an_applied_owner_without_a_uid_is_invalid(api: Api) -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p"}
    refused = await api.apply(part({"owner": "me"}, ownerReferences=[owner]), "one")
    assert (refused.status, refused.causes) == (422, [("FieldValueRequired", "metadata.ownerReferences[0].uid")])
