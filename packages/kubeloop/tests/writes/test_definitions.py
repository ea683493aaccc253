"""Definitions on a real API server: what our types say is what it enforces."""

from typing import Annotated, Any, ClassVar

import pytest
from msgspec import Meta

from kubeloop.client import errors
from kubeloop.client.client import ApplyPatch, Client, MergePatch
from kubeloop.client.definitions import CustomResourceDefinition, DefinitionRefused, ensure_definitions
from kubeloop.model.base import KubeObject, KubeStruct, ObjectMeta, Resource

from ..gadgets import Gadget, GadgetAlpha, GadgetSpec

NAME = "gadgets.tests.kubeloop.dev"


async def test_applying_what_is_there_changes_nothing(client: Client) -> None:
    before = await client.get(CustomResourceDefinition, NAME)
    await ensure_definitions(client, (Gadget, GadgetAlpha))
    assert await client.get(CustomResourceDefinition, NAME) == before


async def test_both_versions_serve_the_same_object(client: Client, namespace: str) -> None:
    meta = ObjectMeta(name="g", namespace=namespace)
    stable = await client.create(Gadget(metadata=meta, spec=GadgetSpec(model="m")))
    alpha = await client.get(GadgetAlpha, "g", namespace=namespace)
    assert (alpha.metadata, alpha.spec) == (stable.metadata, stable.spec)


@pytest.mark.parametrize(
    "spec",
    [
        {"model": "other"},
        {"owner": "me"},
        {"namespace": "else"},
        {"min": 13, "max": 20},
        {"min": 7},
        {"parts": [{"name": "a"}, {"name": "a"}]},
        {"tags": ["a", "a"]},
        {"colour": "green"},
        {"level": 4},
        {"memory": "lots"},
        {"share": 0},
        {"since": "yesterday"},
        {"seal": "not base64"},
        {"port": True},
        {"limits": {"a": "b"}},
    ],
    ids=",".join,
)
async def test_the_server_refuses_what_the_types_forbid(client: Client, namespace: str, spec: dict[str, Any]) -> None:
    meta = ObjectMeta(name="g", namespace=namespace)
    await client.create(Gadget(metadata=meta, spec=GadgetSpec(model="m")))
    with pytest.raises(errors.Invalid):
        await client.patch(Gadget, "g", MergePatch({"spec": spec}), namespace=namespace)


async def test_an_optional_immutable_field_neither_comes_nor_goes(client: Client, namespace: str) -> None:
    for name, spec in (("without", {"model": "m"}), ("with", {"model": "m", "owner": "me"})):
        await client.patch(Gadget, name, ApplyPatch({"spec": spec}), namespace=namespace)
    for name, owner in (("without", "me"), ("with", None)):
        with pytest.raises(errors.Invalid, match="owner is immutable"):
            await client.patch(Gadget, name, MergePatch({"spec": {"owner": owner}}), namespace=namespace)


async def test_the_server_keeps_what_the_types_allow(client: Client, namespace: str) -> None:
    meta = ObjectMeta(name="g", namespace=namespace)
    await client.create(Gadget(metadata=meta, spec=GadgetSpec(model="m")))
    spec = {
        "port": "http",
        "memory": "1.5Gi",
        "since": "2026-01-01T00:00:00Z",
        "seal": "YQ==",
        "parts": [{"name": "a", "weight": 2}],
        "settings": {"any": [1, {"thing": True}]},
        "extra": [1, "two"],
    }
    gadget = await client.patch(Gadget, "g", MergePatch({"spec": spec}), namespace=namespace)
    assert (gadget.spec.port, gadget.spec.memory, gadget.spec.seal) == ("http", "1.5Gi", b"a")
    assert gadget.spec.settings == {"any": [1, {"thing": True}]}
    assert gadget.spec.extra == [1, "two"]


class _BoxSpec(KubeStruct, frozen=True, kw_only=True):
    size: int = 1
    colour: str = "red"


class _Box(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("tests.kubeloop.dev", "v1", "boxes", "Box")

    spec: _BoxSpec


class _SmallBoxSpec(KubeStruct, frozen=True, kw_only=True):
    size: Annotated[int, Meta(le=9)] = 1


class _SmallBox(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = _Box.resource

    spec: _SmallBoxSpec


async def test_a_breaking_change_is_refused_before_any_write_unless_overridden(client: Client) -> None:
    await ensure_definitions(client, (_Box,))
    name = "boxes.tests.kubeloop.dev"
    before = await client.get(CustomResourceDefinition, name)
    with pytest.raises(DefinitionRefused) as caught:
        await ensure_definitions(client, (_SmallBox,))
    assert set(caught.value.problems) == {"v1: .spec.size: maximum is 9 now", "v1: .spec.colour: is removed"}
    assert await client.get(CustomResourceDefinition, name) == before
    await ensure_definitions(client, (_SmallBox,), allow_breaking=True)
    await ensure_definitions(client, (_Box,), allow_breaking=True)


class _Impostor(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("tests.kubeloop.dev", "v1", "impostors", "Gadget")

    spec: _BoxSpec


async def test_names_that_belong_to_another_definition_are_told(client: Client) -> None:
    with pytest.raises(DefinitionRefused, match="already in use"):
        await ensure_definitions(client, (_Impostor,))
    await client.delete(CustomResourceDefinition, "impostors.tests.kubeloop.dev")
