"""Finalizers on a real API server."""

import pytest

from kubeloop.client import errors
from kubeloop.client.client import Client, MergePatch
from kubeloop.client.writes import noted
from kubeloop.controller.finalizers import add_finalizer, remove_finalizer
from kubeloop.model.base import ObjectMeta

from ..gadgets import Gadget, GadgetSpec

OURS, THEIRS, LATER = "tests.kubeloop.dev/ours", "tests.kubeloop.dev/theirs", "tests.kubeloop.dev/later"


async def _create(client: Client, namespace: str, *finalizers: str) -> Gadget:
    meta = ObjectMeta(name="g", namespace=namespace, finalizers=finalizers)
    return await client.create(Gadget(metadata=meta, spec=GadgetSpec(model="m")))


async def _look(client: Client, namespace: str) -> Gadget:
    return await client.get(Gadget, "g", namespace=namespace)


async def _set(client: Client, namespace: str, *finalizers: str) -> None:
    await client.patch(Gadget, "g", MergePatch({"metadata": {"finalizers": finalizers}}), namespace=namespace)


async def test_ours_is_added_beside_those_of_others_and_once_only(client: Client, namespace: str) -> None:
    gadget = await _create(client, namespace)
    assert await add_finalizer(client, gadget, OURS)
    gadget = await _look(client, namespace)
    assert await add_finalizer(client, gadget, THEIRS)
    gadget = await _look(client, namespace)
    assert gadget.metadata.finalizers == (OURS, THEIRS)
    assert await add_finalizer(client, gadget, OURS)
    assert await _look(client, namespace) == gadget


async def test_a_finalizer_that_others_add_or_remove_at_the_same_moment_is_not_lost(
    client: Client, namespace: str
) -> None:
    seen = await _create(client, namespace, THEIRS, OURS)
    await _set(client, namespace, OURS, LATER)
    for change in (add_finalizer(client, seen, "tests.kubeloop.dev/new"), remove_finalizer(client, seen, OURS)):
        with pytest.raises(errors.Conflict):
            await change
    assert (await _look(client, namespace)).metadata.finalizers == (OURS, LATER)
    assert await remove_finalizer(client, await _look(client, namespace), OURS)
    assert (await _look(client, namespace)).metadata.finalizers == (LATER,)


async def test_none_is_added_to_what_is_deleting_whether_that_was_seen_or_not(client: Client, namespace: str) -> None:
    seen = await _create(client, namespace, THEIRS)
    await client.delete(Gadget, "g", namespace=namespace)
    with pytest.raises(errors.Conflict):
        await add_finalizer(client, seen, OURS)
    deleting = await _look(client, namespace)
    assert not await add_finalizer(client, deleting, OURS)
    unversioned = Gadget(
        metadata=ObjectMeta(name="g", namespace=namespace, uid=seen.metadata.uid, finalizers=(THEIRS,)), spec=seen.spec
    )
    assert not await add_finalizer(client, unversioned, OURS)  # the server says 422
    await _set(client, namespace)


async def test_what_vanished_since_is_no_error(client: Client, namespace: str) -> None:
    seen = await _create(client, namespace, OURS)
    await _set(client, namespace)
    await client.delete(Gadget, "g", namespace=namespace)
    assert not await remove_finalizer(client, seen, OURS)
    assert not await add_finalizer(client, seen, THEIRS)


async def test_a_user_who_removed_ours_leaves_nothing_to_do(client: Client, namespace: str) -> None:
    seen = await _create(client, namespace, OURS)
    await _set(client, namespace)
    with pytest.raises(errors.Conflict):
        await remove_finalizer(client, seen, OURS)
    assert not await remove_finalizer(client, await _look(client, namespace), OURS)


async def test_another_object_under_the_same_name_is_left_alone(client: Client, namespace: str) -> None:
    seen = await _create(client, namespace)
    await client.delete(Gadget, "g", namespace=namespace)
    await _create(client, namespace, OURS)
    for change in (
        add_finalizer(client, seen, THEIRS),
        remove_finalizer(client, Gadget(metadata=_with_ours(seen.metadata), spec=seen.spec), OURS),
    ):
        with pytest.raises(errors.Conflict):
            await change
    assert (await _look(client, namespace)).metadata.finalizers == (OURS,)


def _with_ours(meta: ObjectMeta) -> ObjectMeta:
    return ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid, finalizers=(OURS,))


async def test_a_name_that_the_server_does_not_take_is_no_conflict_to_retry_for_ever(
    client: Client, namespace: str
) -> None:
    gadget = await _create(client, namespace, THEIRS)
    with pytest.raises(errors.Invalid):
        await add_finalizer(client, gadget, "not/a/name")


async def test_taking_the_last_one_off_is_noted_as_the_deletion_that_it_is(client: Client, namespace: str) -> None:
    await _create(client, namespace, OURS)
    await client.delete(Gadget, "g", namespace=namespace)
    token = noted.set([])
    assert await remove_finalizer(client, await _look(client, namespace), OURS)
    (write,) = noted.get() or []
    noted.reset(token)
    assert (write.deleted, write.version) == (True, "")
    with pytest.raises(errors.NotFound):
        await _look(client, namespace)
