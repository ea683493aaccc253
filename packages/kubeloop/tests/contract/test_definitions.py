"""Custom resource definitions: how a kind comes to be served, changes, and ends."""

import asyncio
import itertools
from typing import Any

import pytest

from .api import APPLY, JSON_PATCH, MERGE, Answer, Api, Body

GROUPS = (f"group{number}.contract.kubeloop.dev" for number in itertools.count())
PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SPEC = {"type": "object", "properties": {"size": {"type": "integer", "default": 1}}}


def version(name: str = "v1", *, storage: bool = True, **more: Any) -> Body:
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC}}}
    return {"name": name, "served": True, "storage": storage, "schema": schema, **more}


def definition(group: str, *versions: Body, **names: Any) -> Body:
    names = {"plural": "things", "kind": "Thing", **names}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": list(versions) or [version()]},
    }


class Things:
    """The kind that one test defines."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.group = next(GROUPS)
        self.definition = f"{PATH}/things.{self.group}"

    def path(self, name: str = "", *, version: str = "v1") -> str:
        root = f"/apis/{self.group}/{version}/namespaces/{self.api.namespace}/things"
        return f"{root}/{name}" if name else root

    async def define(self, *versions: Body) -> Answer:
        """Until it is served."""
        made = await self.api.call("POST", PATH, definition(self.group, *versions))
        assert made.status == 201, made.body
        await eventually(self.api, self.path(), 200)
        return made

    async def create(self, name: str, *, version: str = "v1", **meta: Any) -> Answer:
        body = {
            "apiVersion": f"{self.group}/{version}",
            "kind": "Thing",
            "metadata": {"name": name, **meta},
            "spec": {},
        }
        made = await self.api.call("POST", self.path(version=version), body)
        assert made.status == 201, made.body
        return made


async def eventually(api: Api, path: str, status: int) -> Answer:
    for _ in range(100):
        answer = await api.get(path)
        if answer.status == status:
            return answer
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{path} is answered with {answer.status}, not {status}")


async def conditions(api: Api, path: str, wanted: str) -> dict[str, str]:
    """Status of each condition, once there is the one that is wanted."""
    for _ in range(100):
        found = (await api.get(path)).body["status"]["conditions"] or []
        states = {one["type"]: one["status"] for one in found}
        if wanted in states:
            return states
        await asyncio.sleep(0.1)
    raise TimeoutError(f"no condition {wanted}")


@pytest.fixture
def things(api: Api) -> Things:
    return Things(api)


async def test_a_new_definition_has_no_conditions_yet_and_is_established_soon(things: Things) -> None:
    made = await things.define()
    assert made.body["status"]["conditions"] is None
    assert made.body["spec"]["names"]["listKind"] == "ThingList"
    assert await conditions(things.api, things.definition, "Established") == {
        "NamesAccepted": "True",
        "Established": "True",
    }
    status = (await things.api.get(things.definition)).body["status"]
    assert (status["storedVersions"], status["acceptedNames"]["plural"]) == (["v1"], "things")


async def test_names_that_are_taken_are_not_accepted(things: Things) -> None:
    await things.define()
    other = definition(things.group, plural="others")
    assert (await things.api.call("POST", PATH, other)).status == 201
    path = f"{PATH}/others.{things.group}"
    assert await conditions(things.api, path, "NamesAccepted") == {"NamesAccepted": "False", "Established": "False"}


async def test_the_name_of_a_definition_is_that_of_its_resource(things: Things) -> None:
    body = definition(things.group)
    body["metadata"]["name"] = "things"
    refused = await things.api.call("POST", PATH, body)
    assert refused.status == 422
    assert ("FieldValueInvalid", "metadata.name") in refused.causes


async def test_exactly_one_version_is_stored(things: Things) -> None:
    body = definition(things.group, version("v1"), version("v2"))
    refused = await things.api.call("POST", PATH, body)
    assert refused.status == 422
    assert ("FieldValueInvalid", "spec.versions") in refused.causes


async def test_every_version_serves_the_same_objects(things: Things) -> None:
    await things.define(version("v1"), version("v2", storage=False, deprecated=True))
    await eventually(things.api, things.path(version="v2"), 200)
    made = await things.create("a", version="v2")
    assert "is deprecated" in made.headers["warning"]
    first = await things.api.get(things.path("a"))
    second = await things.api.get(things.path("a", version="v2"))
    assert (first.body["apiVersion"], second.body["apiVersion"]) == (f"{things.group}/v1", f"{things.group}/v2")
    assert first.meta["uid"] == second.meta["uid"]
    assert first.version == second.version


def of_fields(name: str, *fields: str, storage: bool) -> Body:
    found = version(name, storage=storage)
    spec = {"type": "object", "properties": {field: {"type": "integer"} for field in fields}}
    found["schema"] = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return found


async def test_a_version_shows_no_fields_of_another_and_the_storage_keeps_its_own_alone(things: Things) -> None:
    await things.define(of_fields("v1", "size", "width", storage=True), of_fields("v2", "size", "depth", storage=False))
    await eventually(things.api, things.path(version="v2"), 200)
    head = {"kind": "Thing", "metadata": {"name": "a"}}
    body = {**head, "apiVersion": f"{things.group}/v1", "spec": {"size": 1, "width": 2}}
    assert (await things.api.call("POST", things.path(), body)).body["spec"] == {"size": 1, "width": 2}
    assert (await things.api.get(things.path("a", version="v2"))).body["spec"] == {"size": 1}
    [item] = (await things.api.get(things.path(version="v2"))).body["items"]
    assert item["spec"] == {"size": 1}
    body = {**head, "apiVersion": f"{things.group}/v2", "metadata": {"name": "b"}, "spec": {"size": 1, "depth": 3}}
    assert (await things.api.call("POST", things.path(version="v2"), body)).body["spec"] == {"size": 1}


async def test_what_was_stored_in_another_version_is_shown_in_that_which_is_asked_for(things: Things) -> None:
    await things.define(version(), version("v2", storage=False))
    await eventually(things.api, things.path(version="v2"), 200)
    await things.create("a")
    patch = [{"op": "replace", "path": f"/spec/versions/{at}/storage", "value": bool(at)} for at in (0, 1)]
    changed = await things.api.call("PATCH", things.definition, patch, content_type=JSON_PATCH)
    assert changed.status == 200, changed.body
    for name in ("v1", "v2"):
        found = await things.api.get(things.path("a", version=name))
        assert found.body["apiVersion"] == f"{things.group}/{name}"


async def test_a_changed_schema_holds_for_what_is_written_next(things: Things) -> None:
    await things.define()
    await things.create("a")
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {**SPEC, "required": ["owner"]}}}}
    schema["openAPIV3Schema"]["properties"]["spec"]["properties"] = {**SPEC["properties"], "owner": {"type": "string"}}
    change = {"spec": {"versions": [{**version(), "schema": schema}]}}
    assert (await things.api.call("PATCH", things.definition, change, content_type=MERGE)).status == 200
    for _ in range(100):
        body = {"apiVersion": f"{things.group}/v1", "kind": "Thing", "metadata": {"name": "b"}, "spec": {}}
        answer = await things.api.call("POST", things.path(), body, dryRun="All")
        if answer.status == 422:
            break
        await asyncio.sleep(0.1)
    assert answer.causes == [("FieldValueRequired", "spec.owner")]
    assert (await things.api.get(things.path("a"))).body["spec"] == {"size": 1}


async def test_what_was_stored_before_is_read_by_the_changed_schema_and_watches_end(things: Things) -> None:
    await things.define(of_fields("v1", "size", "width", storage=True))
    body = {"apiVersion": f"{things.group}/v1", "kind": "Thing", "metadata": {"name": "a"}}
    made = await things.api.call("POST", things.path(), {**body, "spec": {"size": 1, "width": 2}})
    assert made.status == 201, made.body
    changed = of_fields("v1", "size", "depth", storage=True)
    changed["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["depth"]["default"] = 3
    async with things.api.watch(things.path(), resourceVersion=made.version) as events:
        patch = {"spec": {"versions": [changed]}}
        assert (await things.api.call("PATCH", things.definition, patch, content_type=MERGE)).status == 200
        assert await events.rest() == []
    async with asyncio.timeout(10):
        while "depth" not in (found := await things.api.get(things.path("a"))).body["spec"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert (found.body["spec"], found.version) == ({"size": 1, "depth": 3}, made.version)


async def test_a_watch_ends_with_the_definition(things: Things) -> None:
    await things.define()
    await things.create("a")
    async with things.api.watch(things.path(), resourceVersion="0") as events:
        assert (await things.api.call("DELETE", things.definition)).status == 200
        assert [event["type"] for event in await events.rest()] == ["ADDED", "DELETED"]


async def test_with_a_definition_go_its_objects(things: Things) -> None:
    await things.define()
    await things.create("a")
    deleted = await things.api.call("DELETE", things.definition)
    assert deleted.meta["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    await eventually(things.api, things.definition, 404)
    await eventually(things.api, things.path(), 404)


async def test_a_definition_stays_until_the_last_of_its_objects_is_gone(things: Things) -> None:
    await things.define()
    await things.create("a", finalizers=["a.b/c"])
    await things.api.call("DELETE", things.definition)
    assert (await conditions(things.api, things.definition, "Terminating"))["Terminating"] == "True"
    for _ in range(100):
        held = await things.api.get(things.path("a"))
        if "deletionTimestamp" in held.meta:
            break
        await asyncio.sleep(0.1)
    body = {"apiVersion": f"{things.group}/v1", "kind": "Thing", "metadata": {"name": "b"}}
    refused = await things.api.call("POST", things.path(), body)
    assert (refused.status, refused.body["reason"]) == (403, "Forbidden")
    await things.api.call("PATCH", things.path("a"), {"metadata": {"finalizers": None}}, content_type=MERGE)
    await eventually(things.api, things.definition, 404)


async def test_a_definition_that_is_applied_again_is_no_change(things: Things) -> None:
    body, options = definition(things.group), {"fieldManager": "one"}
    first = await things.api.call("PATCH", things.definition, body, content_type=APPLY, **options)
    assert first.status == 201
    await conditions(things.api, things.definition, "Established")
    await eventually(things.api, things.path(), 200)
    before = await things.api.get(things.definition)
    again = await things.api.call("PATCH", things.definition, body, content_type=APPLY, **options)
    assert (again.status, again.version) == (200, before.version)
