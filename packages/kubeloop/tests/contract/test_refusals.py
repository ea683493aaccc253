"""Refusals: a Status whose reason and details programs may rely on; and writes that leave nothing behind."""

import re

import pytest

from kubeloop.client import errors
from kubeloop.client.client import Client, JsonPatch

from .api import JSON_PATCH, MERGE, Answer, Api, config_map, gadget
from .kinds import ConfigMap, Gadget


def check(answer: Answer, status: int, reason: str) -> None:
    body = answer.body
    assert (body["kind"], body["apiVersion"], body["status"]) == ("Status", "v1", "Failure")
    assert (answer.status, body["code"], body["reason"]) == (status, status, reason)
    assert body["message"]


async def test_an_object_that_is_not_there_is_named(api: Api) -> None:
    for method in ("GET", "DELETE"):
        refused = await api.call(method, api.path(Gadget, "a"))
        check(refused, 404, "NotFound")
        assert refused.body["message"] == 'gadgets.contract.kubeloop.dev "a" not found'
        assert refused.body["details"] == {"name": "a", "group": "contract.kubeloop.dev", "kind": "gadgets"}
    refused = await api.get(api.path(ConfigMap, "a"))
    assert refused.body["details"] == {"name": "a", "kind": "configmaps"}


async def test_a_patch_of_what_is_not_there_is_not_found(api: Api) -> None:
    check(await api.merge("a", {"spec": {}}), 404, "NotFound")


async def test_a_resource_that_is_not_served_is_not_found_in_plain_text(api: Api) -> None:
    answer = await api.get("/apis/contract.kubeloop.dev/v1/nonsense")
    assert (answer.status, str(answer.body).strip()) == (404, "404 page not found")


async def test_a_name_that_is_taken_already_exists(api: Api) -> None:
    await api.made(gadget("a"))
    refused = await api.create(gadget("a"))
    check(refused, 409, "AlreadyExists")
    assert refused.body["details"]["name"] == "a"


async def test_a_body_that_is_no_json_is_a_bad_request(api: Api) -> None:
    check(await api.call("POST", api.path(), b"{nonsense"), 400, "BadRequest")
    check(await api.call("PATCH", api.path(Gadget, "a"), b"{nonsense", content_type=MERGE), 400, "BadRequest")


async def test_a_name_or_namespace_that_differs_from_the_path_is_a_bad_request(api: Api) -> None:
    check(await api.create(gadget("a", meta={"namespace": "elsewhere"})), 400, "BadRequest")
    made = await api.made(gadget("a"))
    refused = await api.call("PUT", api.path(Gadget, "b"), made.body)
    check(refused, 400, "BadRequest")


async def test_a_create_without_any_name_is_refused(api: Api) -> None:
    body = gadget("a")
    del body["metadata"]["name"]
    check(await api.create(body), 422, "Invalid")


async def test_a_method_that_a_path_does_not_have_is_not_allowed(api: Api) -> None:
    check(await api.call("POST", api.path(ConfigMap, "a"), config_map("a")), 405, "MethodNotAllowed")


async def test_a_patch_of_no_known_kind_is_an_unsupported_media_type(api: Api) -> None:
    await api.made(gadget("a"))
    refused = await api.call("PATCH", api.path(Gadget, "a"), {}, content_type="application/json")
    check(refused, 415, "UnsupportedMediaType")
    strategic = "application/strategic-merge-patch+json"
    check(await api.call("PATCH", api.path(Gadget, "a"), {}, content_type=strategic), 415, "UnsupportedMediaType")


async def test_core_kinds_know_the_strategic_merge_patch(api: Api) -> None:
    await api.made(config_map("a", x="1"), ConfigMap)
    strategic = "application/strategic-merge-patch+json"
    merged = await api.call("PATCH", api.path(ConfigMap, "a"), {"data": {"y": "2"}}, content_type=strategic)
    assert merged.body["data"] == {"x": "1", "y": "2"}


async def test_a_json_patch_is_all_or_nothing(api: Api) -> None:
    await api.made(gadget("a"))
    operations = [
        {"op": "replace", "path": "/spec/size", "value": 1},
        {"op": "test", "path": "/spec/owner", "value": "nobody"},
    ]
    refused = await api.call("PATCH", api.path(Gadget, "a"), operations, content_type=JSON_PATCH)
    check(refused, 422, "Invalid")
    assert (await api.get(api.path(Gadget, "a"))).body["spec"]["size"] == 10
    done = await api.call("PATCH", api.path(Gadget, "a"), operations[:1], content_type=JSON_PATCH)
    assert done.body["spec"]["size"] == 1


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/metadata/uid", "value": "another"},
        {"op": "test", "path": "/metadata/finalizers/0", "value": "none"},
        {"op": "remove", "path": "/spec/nonsense"},
        {"op": "add", "path": "/metadata/labels/x", "value": "its parent is not there"},
    ],
)
async def test_a_json_patch_that_does_not_hold_is_invalid_in_kubeloops_words(
    api: Api, client: Client, operation: dict[str, object]
) -> None:
    await api.made(gadget("a"))
    with pytest.raises(errors.Invalid):
        await client.patch(Gadget, "a", JsonPatch([operation]), namespace=api.namespace)


async def test_a_json_patch_that_replaces_a_field_that_is_not_there_adds_it(api: Api) -> None:
    await api.made(gadget("a"))
    operations = [
        {"op": "replace", "path": "/spec/node", "value": "n1"}
    ]  # RFC 6902 wants an error: the server is milder
    done = await api.call("PATCH", api.path(Gadget, "a"), operations, content_type=JSON_PATCH)
    assert (done.status, done.body["spec"]["node"]) == (200, "n1")


async def test_a_json_patch_that_is_none_is_a_bad_request(api: Api) -> None:
    await api.made(gadget("a"))
    refused = await api.call("PATCH", api.path(Gadget, "a"), {"not": "a list"}, content_type=JSON_PATCH)
    check(refused, 400, "BadRequest")


async def test_a_config_map_holds_a_mebibyte_at_most(api: Api) -> None:
    limit = 1024 * 1024
    refused = await api.create(config_map("a", x="y" * (limit + 1)), ConfigMap)
    check(refused, 422, "Invalid")
    assert refused.causes == [("FieldValueTooLong", "[]")]
    await api.made(config_map("a", x="y" * limit), ConfigMap)


async def test_a_dry_run_answers_as_if_and_leaves_nothing(api: Api) -> None:
    made = await api.create(gadget("a"), dryRun="All")
    assert (made.status, made.body["spec"]["size"]) == (201, 10)
    assert made.meta["uid"]
    assert (await api.get(api.path(Gadget, "a"))).status == 404
    real = await api.made(gadget("a"))
    merged = await api.merge("a", {"spec": {"size": 1}}, dryRun="All")
    assert merged.body["spec"]["size"] == 1
    deleted = await api.call("DELETE", api.path(Gadget, "a"), dryRun="All")
    assert deleted.status == 200
    assert (await api.get(api.path(Gadget, "a"))).body == real.body


async def test_a_dry_run_is_held_to_the_schema(api: Api) -> None:
    check(await api.create(gadget("a", spec={"size": 101}), dryRun="All"), 422, "Invalid")


async def test_an_unknown_dry_run_is_refused(api: Api) -> None:
    assert (await api.create(gadget("a"), dryRun="Perhaps")).status == 422


async def test_a_generated_name_is_the_prefix_and_five_characters(api: Api) -> None:
    body = gadget("", meta={"generateName": "gadget-"})
    names = {(await api.made(body)).meta["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch(r"gadget-[a-z0-9]{5}", name) for name in names)


async def test_a_name_given_wins_over_one_to_generate(api: Api) -> None:
    assert (await api.made(gadget("a", meta={"generateName": "gadget-"}))).meta["name"] == "a"


async def test_a_create_that_names_a_version_is_refused(api: Api) -> None:
    refused = await api.create(gadget("a", meta={"resourceVersion": "1"}))
    assert refused.status in (400, 500)


async def test_a_list_limit_that_is_no_number_is_a_bad_request(api: Api) -> None:
    check(await api.get(api.path(), limit="many"), 400, "BadRequest")


async def test_refusals_are_typed_in_kubeloops_words(api: Api, client: Client) -> None:
    with pytest.raises(errors.NotFound) as refused:
        await client.get(Gadget, "a", namespace=api.namespace)
    assert (refused.value.status, refused.value.reason) == (404, "NotFound")
