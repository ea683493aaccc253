"""Versions, conflicts, generations, and what a subresource keeps apart."""

from kubeloop.model.core import Node

from .api import Api, config_map, gadget
from .kinds import ConfigMap, Gadget, Lease


async def test_a_created_object_has_identity_version_generation_and_managed_fields(api: Api) -> None:
    made = await api.made(gadget("a"))
    assert {"uid", "creationTimestamp", "resourceVersion", "managedFields"} <= made.meta.keys()
    assert (made.meta["generation"], made.meta["namespace"]) == (1, api.namespace)


async def test_config_maps_and_nodes_have_no_generation(api: Api) -> None:
    assert "generation" not in (await api.made(config_map("a"), ConfigMap)).meta
    node = {"metadata": {"name": api.namespace}, "spec": {"unschedulable": True}}
    made = await api.call("POST", Node.resource.path(), node)
    assert made.status == 201
    assert "generation" not in made.meta
    await api.call("DELETE", Node.resource.path(name=api.namespace))


async def test_each_write_of_a_kind_has_a_greater_version(api: Api) -> None:
    versions = [(await api.made(gadget(f"g{number}"))).version for number in range(3)]
    versions.append((await api.merge("g0", {"spec": {"size": 1}})).version)
    versions.append((await api.merge("g0", {"status": {"ready": True}}, subresource="status")).version)
    assert versions == sorted(set(versions))


async def test_a_write_that_changes_nothing_keeps_the_version(api: Api) -> None:
    made = await api.made(gadget("a"))
    assert (await api.merge("a", {"spec": {"owner": "me"}})).version == made.version
    assert (await api.put(made.body)).version == made.version


async def test_a_replace_of_an_old_version_conflicts(api: Api) -> None:
    made = await api.made(gadget("a"))
    await api.merge("a", {"spec": {"size": 1}})
    refused = await api.put(made.body)
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")
    assert refused.body["details"] == {"name": "a", "group": "contract.kubeloop.dev", "kind": "gadgets"}


async def test_a_replace_without_a_version_is_refused_for_custom_kinds(api: Api) -> None:
    await api.made(gadget("a"))
    refused = await api.put(gadget("a", spec={"size": 2}))
    assert (refused.status, refused.body["reason"]) == (422, "Invalid")
    assert refused.causes == [("FieldValueInvalid", "metadata.resourceVersion")]


async def test_a_replace_without_a_version_overwrites_a_config_map(api: Api) -> None:
    await api.made(config_map("a", key="old"), ConfigMap)
    replaced = await api.put(config_map("a", key="new"), kind=ConfigMap)
    assert (replaced.status, replaced.body["data"]) == (200, {"key": "new"})


async def test_a_replace_of_what_is_not_there_is_not_found_but_creates_a_lease(api: Api) -> None:
    assert (await api.put(gadget("a", meta={"resourceVersion": "1"}))).status == 404
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}, "spec": {}}
    assert (await api.put(lease, kind=Lease)).status == 201


async def test_a_patch_that_names_an_old_version_conflicts(api: Api) -> None:
    made = await api.made(gadget("a"))
    await api.merge("a", {"spec": {"size": 1}})
    refused = await api.merge("a", {"metadata": {"resourceVersion": str(made.version)}, "spec": {"size": 2}})
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")


async def test_a_patch_without_a_version_never_conflicts(api: Api) -> None:
    await api.made(gadget("a"))
    await api.merge("a", {"spec": {"size": 1}})
    assert (await api.merge("a", {"spec": {"size": 2}})).body["spec"]["size"] == 2


async def test_a_write_to_another_uid_conflicts(api: Api) -> None:
    made = await api.made(gadget("a"))
    other = "11111111-1111-1111-1111-111111111111"
    refused = await api.put({**made.body, "metadata": {**made.meta, "uid": other}})
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")


async def test_the_uid_cannot_be_patched(api: Api) -> None:
    await api.made(gadget("a"))
    refused = await api.merge("a", {"metadata": {"uid": "11111111-1111-1111-1111-111111111111"}})
    assert (refused.status, refused.causes) == (422, [("FieldValueInvalid", "metadata.uid")])


async def test_the_generation_grows_with_the_spec_alone(api: Api) -> None:
    await api.made(gadget("a"))
    labelled = await api.merge("a", {"metadata": {"labels": {"x": "y"}}})
    status = await api.merge("a", {"status": {"count": 3}}, subresource="status")
    assert (labelled.meta["generation"], status.meta["generation"]) == (1, 1)
    assert (await api.merge("a", {"spec": {"size": 1}})).meta["generation"] == 2


async def test_a_write_of_the_object_leaves_its_status(api: Api) -> None:
    made = await api.made({**gadget("a"), "status": {"ready": True}})
    assert "status" not in made.body
    await api.merge("a", {"status": {"count": 3}}, subresource="status")
    merged = await api.merge("a", {"spec": {"size": 1}, "status": {"count": 9}})
    assert merged.body["status"] == {"count": 3}
    replaced = await api.put({**merged.body, "status": {"count": 9}})
    assert replaced.body["status"] == {"count": 3}


async def test_a_write_of_the_status_leaves_spec_and_metadata(api: Api) -> None:
    await api.made(gadget("a"))
    change = {"metadata": {"labels": {"x": "y"}, "finalizers": ["a.b/c"]}, "spec": {"size": 1}, "status": {"count": 3}}
    merged = await api.merge("a", change, subresource="status")
    assert (merged.body["spec"]["size"], merged.body["status"]) == (10, {"count": 3})
    assert not {"labels", "finalizers"} & merged.meta.keys()


async def test_a_status_replace_of_an_old_version_conflicts(api: Api) -> None:
    made = await api.made(gadget("a"))
    await api.merge("a", {"spec": {"size": 1}})
    refused = await api.put({**made.body, "status": {"count": 1}}, subresource="status")
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")


async def test_the_status_of_an_object_can_be_read_through_its_subresource(api: Api) -> None:
    made = await api.made(gadget("a"))
    assert (await api.get(api.path(Gadget, "a", "status"))).body == (await api.get(api.path(Gadget, "a"))).body
    assert (await api.get(api.path(Gadget, "a"))).version == made.version


async def test_a_kind_without_a_status_has_no_such_subresource(api: Api) -> None:
    await api.made(config_map("a"), ConfigMap)
    assert (await api.get(api.path(ConfigMap, "a", "status"))).status == 404


async def test_the_defaults_of_what_was_created_belong_to_its_creator(api: Api) -> None:
    made = await api.create(gadget("a"), fieldManager="maker")
    [entry] = made.meta["managedFields"]
    assert entry["fieldsV1"]["f:spec"].keys() == {".", "f:owner", "f:size", "f:colour"}


async def test_managed_fields_say_who_wrote_what_by_which_subresource(api: Api) -> None:
    await api.create(gadget("a"), fieldManager="maker")
    done = await api.merge("a", {"status": {"count": 3}}, subresource="status", fieldManager="worker")
    entries = {(one["manager"], one["operation"], one.get("subresource", "")) for one in done.meta["managedFields"]}
    assert entries == {("maker", "Update", ""), ("worker", "Update", "status")}
    status = next(one for one in done.meta["managedFields"] if one["manager"] == "worker")
    assert status["fieldsV1"] == {"f:status": {".": {}, "f:count": {}}}
