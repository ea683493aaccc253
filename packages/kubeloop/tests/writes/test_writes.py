"""Writes on a real API server."""

from typing import Any

import msgspec
import pytest

from kubeloop.client import errors
from kubeloop.client.client import ApplyPatch, Client, JsonPatch, MergePatch, Patch
from kubeloop.client.writes import noted
from kubeloop.model.base import KubeStruct, ObjectMeta
from kubeloop.model.conditions import condition, set_condition
from kubeloop.model.core import Namespace, ServiceAccount, TokenRequest, TokenRequestSpec

from ..gadgets import Gadget, GadgetSpec, GadgetStatus, Part


def _gadget(namespace: str, name: str = "g", **spec: Any) -> Gadget:
    return Gadget(metadata=ObjectMeta(name=name, namespace=namespace), spec=GadgetSpec(model="m", **spec))


async def test_a_generated_name_is_the_answers(client: Client, namespace: str) -> None:
    meta = ObjectMeta(generate_name="g-", namespace=namespace)
    created = await client.create(Gadget(metadata=meta, spec=GadgetSpec(model="m")))
    assert created.metadata.name.startswith("g-")
    assert await client.get(Gadget, created.metadata.name, namespace=namespace) == created


async def test_what_equals_our_default_is_written_and_not_left_to_the_servers(client: Client, namespace: str) -> None:
    spec = {"max": 0, "tags": (), "level": 1}
    created = await client.create(_gadget(namespace, **spec))
    assert (created.spec.max, created.spec.tags, created.spec.level) == (0, (), 1)
    replaced = await client.replace(msgspec.structs.replace(created, spec=GadgetSpec(model="m")))
    assert (replaced.spec.max, replaced.spec.tags, replaced.spec.level) == (5, ("new",), 2)


async def test_a_dry_run_of_each_write_changes_nothing(client: Client, namespace: str) -> None:
    await client.create(_gadget(namespace, "other"), dry_run=True)
    with pytest.raises(errors.NotFound):
        await client.get(Gadget, "other", namespace=namespace)
    before = await client.create(_gadget(namespace))
    changed = msgspec.structs.replace(before, spec=GadgetSpec(model="m", replicas=3))
    assert (await client.replace(changed, dry_run=True)).spec.replicas == 3
    patch = MergePatch({"spec": {"replicas": 4}})
    assert (await client.patch(Gadget, "g", patch, namespace=namespace, dry_run=True)).spec.replicas == 4
    await client.delete(Gadget, "g", namespace=namespace, dry_run=True)
    await client.delete_collection(Gadget, namespace=namespace, dry_run=True)
    assert await client.get(Gadget, "g", namespace=namespace) == before


async def test_a_replace_of_what_has_changed_is_a_conflict_and_loses_nothing(client: Client, namespace: str) -> None:
    before = await client.create(_gadget(namespace))
    await client.patch(Gadget, "g", MergePatch({"spec": {"max": 9}}), namespace=namespace)
    with pytest.raises(errors.Conflict):
        await client.replace(before)
    assert (await client.get(Gadget, "g", namespace=namespace)).spec.max == 9


PATCHES: list[Patch] = [
    MergePatch({"spec": {"max": 7}}),
    JsonPatch([{"op": "replace", "path": "/spec/max", "value": 7}]),
    ApplyPatch({"spec": {"model": "m", "max": 7}}, force=True),
]


@pytest.mark.parametrize("patch", PATCHES, ids=["merge", "json", "apply"])
async def test_a_patch_takes_effect_only_on_the_uid_and_version_it_names(
    client: Client, namespace: str, patch: Patch
) -> None:
    meta = (await client.create(_gadget(namespace))).metadata
    wrong = [{"uid": "another"}, {"resource_version": "1"}, {"uid": meta.uid, "resource_version": "1"}]
    for expected in wrong:
        with pytest.raises(errors.Conflict):
            await client.patch(Gadget, "g", patch, namespace=namespace, **expected)
    assert (await client.get(Gadget, "g", namespace=namespace)).spec.max == 5
    right = {"uid": meta.uid, "resource_version": meta.resource_version}
    assert (await client.patch(Gadget, "g", patch, namespace=namespace, **right)).spec.max == 7


async def test_what_is_invalid_stays_invalid_with_preconditions_and_names_its_field(
    client: Client, namespace: str
) -> None:
    meta = (await client.create(_gadget(namespace))).metadata
    with pytest.raises(errors.Invalid) as caught:
        await client.patch(Gadget, "g", MergePatch({"spec": {"min": 9}}), namespace=namespace, uid=meta.uid)
    assert [(cause.field, "min is at most max" in cause.message) for cause in caught.value.causes] == [
        ("spec.min", True)
    ]


async def test_an_apply_creates_owns_and_meets_other_managers(client: Client, namespace: str) -> None:
    body = {"spec": {"model": "m", "max": 6}}
    assert (await client.patch(Gadget, "g", ApplyPatch(body), namespace=namespace)).spec.max == 6
    other = client.with_field_manager("other")
    taken = {"spec": {"max": 8}}
    with pytest.raises(errors.Conflict) as caught:
        await other.patch(Gadget, "g", ApplyPatch(taken), namespace=namespace)
    assert [(cause.reason, cause.field) for cause in caught.value.causes] == [("FieldManagerConflict", ".spec.max")]
    forced = await other.patch(Gadget, "g", ApplyPatch(taken, force=True), namespace=namespace)
    assert forced.spec.max == 8
    again = await other.patch(Gadget, "g", ApplyPatch(taken, force=True), namespace=namespace)
    assert again.metadata.resource_version == forced.metadata.resource_version


async def test_status_and_spec_are_written_apart(client: Client, namespace: str) -> None:
    before = await client.create(_gadget(namespace))
    conditions = set_condition((), condition("Ready", True, reason="AllWell"), "2026-01-01T00:00:00Z")
    both = msgspec.structs.replace(
        before, spec=GadgetSpec(model="m", replicas=3), status=GadgetStatus(replicas=3, conditions=conditions)
    )
    written = await client.replace(both, subresource="status")
    assert (written.spec.replicas, written.status.replicas, written.status.conditions) == (1, 3, conditions)


class _ScaleSpec(KubeStruct, frozen=True, kw_only=True):
    replicas: int


class _Scale(KubeStruct, frozen=True, kw_only=True):
    spec: _ScaleSpec


async def test_scale_is_read_and_patched(client: Client, namespace: str) -> None:
    await client.create(_gadget(namespace))
    assert (await client.get_subresource(Gadget, "g", "scale", _Scale, namespace=namespace)).spec.replicas == 1
    patch = MergePatch({"spec": {"replicas": 4}})
    assert (await client.patch_subresource(Gadget, "g", "scale", patch, _Scale, namespace=namespace)).spec.replicas == 4
    assert (await client.get(Gadget, "g", namespace=namespace)).spec.replicas == 4


async def test_a_token_is_asked_of_a_service_account(client: Client, namespace: str) -> None:
    await client.create(ServiceAccount(metadata=ObjectMeta(name="robot", namespace=namespace)))
    asked = TokenRequest(spec=TokenRequestSpec(expiration_seconds=600))
    answer = await client.create_subresource(ServiceAccount, "robot", "token", asked, TokenRequest, namespace=namespace)
    assert answer.status.token.count(".") == 2


async def test_a_delete_holds_only_for_the_uid_and_version_it_names(client: Client, namespace: str) -> None:
    meta = (await client.create(_gadget(namespace))).metadata
    for expected in ({"uid": "another"}, {"uid": meta.uid, "resource_version": "1"}):
        with pytest.raises(errors.Conflict):
            await client.delete(Gadget, "g", namespace=namespace, **expected)
    token = noted.set([])
    assert await client.delete(Gadget, "g", namespace=namespace, uid=meta.uid) is None
    (write,) = noted.get() or []
    noted.reset(token)
    assert (write.uid, write.version, write.deleted) == (meta.uid, "", True)
    with pytest.raises(errors.NotFound):
        await client.delete(Gadget, "g", namespace=namespace)


async def test_a_collection_is_deleted_as_far_as_it_is_selected(client: Client, namespace: str) -> None:
    for name in ("a", "b"):
        meta = ObjectMeta(name=name, namespace=namespace, labels={"name": name, "run": namespace})
        await client.create(Gadget(metadata=meta, spec=GadgetSpec(model="m", parts=(Part(name="p"),))))
    await client.delete_collection(Gadget, namespace=namespace, label_selector="name=a")
    assert [one.metadata.name for one in (await client.list_all(Gadget, namespace=namespace)).items] == ["b"]
    await client.delete_collection(Gadget, all_namespaces=True, label_selector=f"run={namespace}")
    assert (await client.list_all(Gadget, namespace=namespace)).items == ()


async def test_a_create_in_a_namespace_that_is_terminating_says_so(client: Client, namespace: str) -> None:
    going = await client.delete(Namespace, namespace)
    assert going is not None
    assert going.metadata.deleting
    with pytest.raises(errors.Forbidden) as caught:
        await client.create(_gadget(namespace))
    assert caught.value.namespace_terminating


async def test_pages_show_one_moment(client: Client, namespace: str) -> None:
    for name in ("a", "b", "c"):
        await client.create(_gadget(namespace, name))
    seen = []
    async for page in client.pages(Gadget, namespace=namespace, limit=2):
        seen += [one.metadata.name for one in page.items]
        if len(seen) == 2:
            await client.delete(Gadget, "c", namespace=namespace)
    assert seen == ["a", "b", "c"]


async def test_a_watch_begins_with_what_is_there(client: Client, namespace: str) -> None:
    await client.create(_gadget(namespace))
    async with client.watch(Gadget, resource_version="", namespace=namespace, send_initial_events=True) as events:
        first, end = await anext(events), await anext(events)
    assert (first.type, first.initial_events_end) == ("ADDED", False)
    assert (end.type, end.initial_events_end) == ("BOOKMARK", True)
