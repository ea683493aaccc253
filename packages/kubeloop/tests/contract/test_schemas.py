"""What the schema of a kind does: validation, defaults, pruning, nulls, rules."""

import itertools
from typing import Any

import pytest

from kubeloop.model.base import KubeObject

from .api import Api, Body, config_map, gadget
from .kinds import ConfigMap, Gadget, Seal

SEALS = itertools.count()  # cluster-scoped: no namespace keeps the tests' apart


@pytest.mark.parametrize(
    ("spec", "reason", "field"),
    [
        ({"owner": ...}, "FieldValueRequired", "spec.owner"),
        ({"size": 101}, "FieldValueInvalid", "spec.size"),
        ({"size": -1}, "FieldValueInvalid", "spec.size"),
        ({"colour": "pink"}, "FieldValueNotSupported", "spec.colour"),
        ({"size": "big"}, "FieldValueTypeInvalid", "spec.size"),
        ({"parts": [1]}, "FieldValueTypeInvalid", "spec.parts[0]"),
        ({"prices": {"x": "1"}}, "FieldValueTypeInvalid", "spec.prices.x"),
        ({"owner": "x" * 21}, "FieldValueTooLong", "spec.owner"),
    ],
)
async def test_what_the_schema_forbids_is_refused_with_the_field(api: Api, spec: Body, reason: str, field: str) -> None:
    refused = await api.create(gadget("a", spec=spec))
    assert (refused.status, refused.body["reason"]) == (422, "Invalid")
    assert (reason, field) in refused.causes
    assert refused.body["details"]["kind"] == "Gadget"


async def test_every_problem_is_named_at_once(api: Api) -> None:
    refused = await api.create(gadget("a", spec={"owner": ..., "size": 101}))
    assert {field for _, field in refused.causes} == {"spec.owner", "spec.size"}


async def test_a_patch_is_held_to_the_schema_too_also_of_the_status(api: Api) -> None:
    await api.made(gadget("a"))
    refused = await api.merge("a", {"spec": {"size": 101}})
    assert (refused.status, refused.causes) == (422, [("FieldValueInvalid", "spec.size")])
    refused = await api.merge("a", {"status": {"count": -1}}, subresource="status")
    assert (refused.status, refused.causes) == (422, [("FieldValueInvalid", "status.count")])


async def test_defaults_are_filled_in_and_empty_ones_are_not(api: Api) -> None:
    made = await api.made(gadget("a"))
    assert made.body["spec"] == {"owner": "me", "size": 10, "colour": "red"}


async def test_null_for_a_field_with_a_default_is_the_default(api: Api) -> None:
    assert (await api.made(gadget("a", spec={"size": None}))).body["spec"]["size"] == 10


async def test_null_for_any_other_field_is_pruned(api: Api) -> None:
    assert "node" not in (await api.made(gadget("a", spec={"node": None}))).body["spec"]


async def test_null_stays_where_the_schema_allows_it(api: Api) -> None:
    assert (await api.made(gadget("a", spec={"note": None}))).body["spec"]["note"] is None


async def test_a_merge_patch_with_null_removes_the_field(api: Api) -> None:
    await api.made(gadget("a", spec={"node": "n1", "size": 5}))
    merged = await api.merge("a", {"spec": {"node": None, "size": None}})
    assert merged.body["spec"] == {"owner": "me", "size": 10, "colour": "red"}


async def test_null_in_core_kinds_is_absence(api: Api) -> None:
    made = await api.made({"metadata": {"name": "a", "labels": None}, "data": None}, ConfigMap)
    assert "data" not in made.body
    assert "labels" not in made.meta


@pytest.mark.parametrize("validation", ["", "Warn", "Ignore"])
async def test_unknown_fields_are_pruned_with_a_warning_unless_ignored(api: Api, validation: str) -> None:
    query = {"fieldValidation": validation} if validation else {}
    made = await api.create(gadget("a", spec={"nonsense": 1}), **query)
    assert "nonsense" not in made.body["spec"]
    assert ("warning" in made.headers) == (validation != "Ignore")


async def test_unknown_fields_are_refused_when_validation_is_strict(api: Api) -> None:
    refused = await api.create(gadget("a", spec={"nonsense": 1}), fieldValidation="Strict")
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")
    assert 'unknown field "spec.nonsense"' in refused.body["message"]
    refused = await api.create({**config_map("a"), "nonsense": 1}, ConfigMap, fieldValidation="Strict")
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize("kind", [Gadget, ConfigMap])
async def test_a_patch_that_leads_to_unknown_fields_is_invalid_when_validation_is_strict(
    api: Api, kind: type[KubeObject]
) -> None:
    await api.made(gadget("a") if kind is Gadget else config_map("a"), kind)
    refused = await api.merge("a", {"nonsense": 1}, kind=kind, fieldValidation="Strict")
    assert (refused.status, refused.body["reason"]) == (422, "Invalid")
    assert refused.causes == [("FieldValueInvalid", "patch")]
    assert refused.body["message"].endswith('strict decoding error: unknown field "nonsense"')


async def test_an_unknown_way_of_validation_is_refused(api: Api) -> None:
    refused = await api.create(gadget("a"), fieldValidation="Loose")
    assert (refused.status, refused.causes) == (422, [("FieldValueNotSupported", "fieldValidation")])


async def test_an_immutable_spec_refuses_change_in_the_words_of_its_rule(api: Api) -> None:
    name = f"seal-{next(SEALS)}"
    body: dict[str, Any] = {"apiVersion": "contract.kubeloop.dev/v1", "kind": "Seal"}
    await api.made({**body, "metadata": {"name": name}, "spec": {"text": "x"}}, Seal)
    refused = await api.merge(name, {"spec": {"text": "y"}}, kind=Seal)
    assert (refused.status, refused.causes) == (422, [("FieldValueInvalid", "spec")])
    assert "spec is immutable: delete the object and create it anew" in refused.body["message"]
    assert (await api.merge(name, {"metadata": {"labels": {"x": "y"}}}, kind=Seal)).status == 200


async def test_a_kind_without_a_namespace_refuses_one(api: Api) -> None:
    answer = await api.get(f"/apis/contract.kubeloop.dev/v1/namespaces/{api.namespace}/seals")
    assert answer.status == 404


async def test_an_object_of_another_kind_is_refused(api: Api) -> None:
    refused = await api.create({**gadget("a"), "kind": "Widget"})
    assert (refused.status, refused.causes) == (422, [("FieldValueInvalid", "kind")])
    refused = await api.create({**gadget("a"), "apiVersion": "contract.kubeloop.dev/v2"})
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")


async def test_labels_and_names_have_their_own_rules(api: Api) -> None:
    refused = await api.create(gadget("Not_A_Name"))
    assert (refused.status, refused.causes) == (422, [("FieldValueInvalid", "metadata.name")])
    refused = await api.create(gadget("a", meta={"labels": {"x": "no spaces"}}))
    assert (refused.status, refused.causes) == (422, [("FieldValueInvalid", "metadata.labels")])
    refused = await api.create(gadget("a", meta={"finalizers": ["unqualified name"]}))
    assert refused.status == 422


async def test_the_stored_object_is_the_answer(api: Api) -> None:
    made = await api.made(gadget("a", spec={"nonsense": 1, "size": None}))
    assert (await api.get(api.path(Gadget, "a"))).body == made.body


async def test_what_is_created_with_a_status_of_another_type_is_nobodys(api: Api) -> None:
    made = await api.made({**gadget("a"), "status": {"count": "many"}})
    assert "status" not in made.body
    assert "managedFields" not in made.meta


async def test_another_kind_is_invalid_but_to_the_status(api: Api) -> None:
    made = await api.made(gadget("a"))
    refused = await api.put({**made.body, "kind": "Seal"})
    assert (refused.status, refused.causes) == (422, [("FieldValueInvalid", "kind")])
    answer = await api.put({**made.body, "kind": "Seal", "status": {"count": 1}}, subresource="status")
    assert (answer.status, answer.body["kind"], answer.body["status"]) == (200, "Gadget", {"count": 1})


async def test_an_empty_map_of_a_core_kind_is_forgotten(api: Api) -> None:
    made = await api.made({**config_map("a"), "binaryData": {}}, ConfigMap)
    assert not made.body.keys() & {"data", "binaryData"}


async def test_the_keys_of_a_config_map_are_names_of_files(api: Api) -> None:
    refused = await api.create(config_map("a", **{"not/right": "x"}), ConfigMap)
    assert (refused.status, refused.causes) == (422, [("FieldValueInvalid", "data[not/right]")])


async def test_a_patch_of_a_core_kind_that_cannot_be_read_is_invalid(api: Api) -> None:
    await api.made(config_map("a"), ConfigMap)
    refused = await api.merge("a", {"data": {"x": 1}}, kind=ConfigMap)
    assert (refused.status, refused.causes) == (422, [("FieldValueInvalid", "patch")])
    refused = await api.merge("a", {"unknown": 1}, kind=ConfigMap, fieldValidation="Strict")
    assert (refused.status, refused.causes) == (422, [("FieldValueInvalid", "patch")])


@pytest.mark.parametrize(
    ("patch", "status", "fields"),
    [
        ({"apiVersion": "other.dev/v1"}, 422, ["apiVersion"]),
        ({"kind": None}, 422, ["patch"]),
        ({"apiVersion": None}, 500, [""]),
    ],
    ids=str,
)
async def test_a_patch_leaves_the_type_alone(api: Api, patch: Body, status: int, fields: list[str]) -> None:
    await api.made(gadget("a"))
    refused = await api.merge("a", patch)
    assert (refused.status, [field for _, field in refused.causes]) == (status, fields)


@pytest.mark.parametrize("patch", [{"metadata": None}, {"metadata": {"name": None}}], ids=str)
async def test_a_patch_leaves_the_name_alone(api: Api, patch: Body) -> None:
    await api.made(gadget("a"))
    refused = await api.merge("a", patch)
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")


async def test_a_strategic_merge_patch_may_say_any_type(api: Api) -> None:
    await api.made(config_map("a"), ConfigMap)
    content_type = "application/strategic-merge-patch+json"
    body = {"apiVersion": "other.dev/v1", "kind": "Other", "data": {"x": "1"}}
    answer = await api.call("PATCH", api.path(ConfigMap, "a"), body, content_type=content_type)
    assert (answer.status, answer.body["kind"], answer.body["data"]) == (200, "ConfigMap", {"x": "1"})
