"""Watches: order, resumption, bookmarks, initial events, selectors, and versions that are gone."""

import asyncio

import pytest

from kubeloop.client import errors
from kubeloop.client.client import Client, WatchEvent

from .api import Api, Body, config_map, gadget, told
from .kinds import ConfigMap, Gadget

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


def versions(events: list[Body]) -> list[int]:
    return [int(event["object"]["metadata"]["resourceVersion"]) for event in events]


async def start(api: Api) -> int:
    """A version to watch from: that of a list."""
    return (await api.get(api.path())).version


async def test_events_come_in_the_order_of_the_writes_with_their_versions(api: Api) -> None:
    async with api.watch(api.path(), resourceVersion=await start(api)) as events:
        written = [(await api.made(gadget("a"))).version, (await api.made(gadget("b"))).version]
        written.append((await api.merge("a", {"spec": {"size": 1}})).version)
        written.append((await api.merge("b", {"status": {"count": 1}}, subresource="status")).version)
        await api.delete("a")
        found = await events.take(5)
    assert told(found) == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("MODIFIED", "b"), ("DELETED", "a")]
    assert versions(found)[:4] == written
    assert versions(found)[4] > written[3]


async def test_a_deletion_carries_the_last_state(api: Api) -> None:
    await api.made(gadget("a", spec={"size": 7}))
    async with api.watch(api.path(), resourceVersion=await start(api)) as events:
        await api.delete("a")
        [gone] = await events.take(1)
    assert (gone["type"], gone["object"]["spec"]["size"]) == ("DELETED", 7)


async def test_a_watch_goes_on_after_the_version_it_is_given(api: Api) -> None:
    await api.made(gadget("a"))
    second = (await api.made(gadget("b"))).version
    await api.made(gadget("c"))
    await api.delete("b")
    async with api.watch(api.path(), resourceVersion=second) as events:
        assert told(await events.take(2)) == [("ADDED", "c"), ("DELETED", "b")]


async def test_a_write_that_changes_nothing_is_no_event(api: Api) -> None:
    await api.made(gadget("a"))
    async with api.watch(api.path(), resourceVersion=await start(api)) as events:
        await api.merge("a", {"spec": {"owner": "me"}})
        await api.made(gadget("b"))
        assert told(await events.take(1)) == [("ADDED", "b")]


async def test_a_watch_from_zero_begins_with_what_is_there(api: Api) -> None:
    await api.made(gadget("a"))
    await start(api)  # a consistent read: the cache has it from here on
    async with api.watch(api.path(), resourceVersion=0) as events:
        assert told(await events.take(1)) == [("ADDED", "a")]
        await api.delete("a")
        assert told(await events.take(1)) == [("DELETED", "a")]


async def test_a_watch_sees_its_namespace_alone(api: Api) -> None:
    other = await api.elsewhere()
    async with api.watch(api.path(), resourceVersion=await start(api)) as events:
        await other.made(gadget("not-mine"))
        await api.made(gadget("mine"))
        assert told(await events.take(1)) == [("ADDED", "mine")]


async def test_a_watch_ends_orderly_at_its_timeout_with_a_bookmark_before(api: Api) -> None:
    other = await api.elsewhere()
    options = {"timeoutSeconds": 4, "allowWatchBookmarks": True}
    async with api.watch(api.path(), resourceVersion=await start(api), **options) as events:
        written = (await other.made(gadget("elsewhere"))).version
        bookmarks = await events.rest()
    assert {event["type"] for event in bookmarks} == {"BOOKMARK"}
    assert versions(bookmarks)[-1] >= written
    assert bookmarks[0]["object"]["kind"] == "Gadget"


async def test_without_asking_there_are_no_bookmarks(api: Api) -> None:
    made = await api.made(gadget("a"))
    async with api.watch(api.path(), resourceVersion=made.version, timeoutSeconds=3) as events:
        assert await events.rest() == []


async def test_a_watch_list_sends_the_state_then_a_bookmark_then_what_changes(api: Api) -> None:
    await api.made(gadget("a"))
    last = (await api.made(gadget("b"))).version
    options = {"sendInitialEvents": True, "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": True}
    async with api.watch(api.path(), **options) as events:
        *initial, end = await events.take(3)
        assert sorted(told(initial)) == [("ADDED", "a"), ("ADDED", "b")]
        assert end["type"] == "BOOKMARK"
        assert end["object"]["metadata"]["annotations"] == {INITIAL_EVENTS_END: "true"}
        assert versions([end])[0] >= last
        await api.delete("a")
        assert told(await events.take(1)) == [("DELETED", "a")]


async def test_a_watch_list_of_an_empty_collection_is_its_bookmark_alone(api: Api) -> None:
    options = {"sendInitialEvents": True, "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": True}
    async with api.watch(api.path(), **options) as events:
        [end] = await events.take(1)
    assert end["object"]["metadata"]["annotations"] == {INITIAL_EVENTS_END: "true"}


async def test_initial_events_without_a_version_match_are_refused(api: Api) -> None:
    refused = await api.get(api.path(), watch=True, sendInitialEvents=True)
    assert (refused.status, refused.body["reason"]) == (422, "Invalid")
    assert ("FieldValueForbidden", "sendInitialEvents") in refused.causes or (
        "FieldValueForbidden",
        "resourceVersionMatch",
    ) in refused.causes


async def test_an_object_that_leaves_the_selector_is_deleted_and_one_that_enters_added(api: Api) -> None:
    await api.made(gadget("a", meta={"labels": {"team": "red"}}))
    async with api.watch(api.path(), resourceVersion=await start(api), labelSelector="team=red") as events:
        left = await api.merge("a", {"metadata": {"labels": {"team": "blue"}}})
        await api.merge("a", {"spec": {"size": 1}})
        entered = await api.merge("a", {"metadata": {"labels": {"team": "red"}}})
        found = await events.take(2)
    assert told(found) == [("DELETED", "a"), ("ADDED", "a")]
    assert versions(found) == [left.version, entered.version]
    assert found[0]["object"]["metadata"]["labels"] == {"team": "red"}


async def test_a_selectable_field_of_a_custom_kind_selects_in_a_watch(api: Api) -> None:
    async with api.watch(api.path(), resourceVersion=await start(api), fieldSelector="spec.node=n1") as events:
        await api.made(gadget("other", spec={"node": "n2"}))
        await api.made(gadget("a", spec={"node": "n1"}))
        await api.merge("a", {"spec": {"node": "n2"}})
        assert told(await events.take(2)) == [("ADDED", "a"), ("DELETED", "a")]


async def test_an_object_that_is_asked_for_by_its_path_is_read_not_watched(api: Api) -> None:
    made = await api.made(gadget("a"))
    assert (await api.get(api.path(Gadget, "a"), watch=True)).body == made.body


async def test_one_object_is_watched_by_its_name(api: Api) -> None:
    async with api.watch(api.path(), resourceVersion=await start(api), fieldSelector="metadata.name=b") as events:
        await api.made(gadget("a"))
        await api.made(gadget("b"))
        assert told(await events.take(1)) == [("ADDED", "b")]


async def test_a_version_that_is_gone_is_gone_in_kubeloops_words(api: Api, client: Client) -> None:
    old = (await api.made(gadget("a"))).version
    await api.merge("a", {"spec": {"size": 1}})
    await api.made(config_map("later"), ConfigMap)
    await api.server.compact()

    async def watch() -> list[WatchEvent[Gadget]]:
        while True:
            try:
                async with client.watch(Gadget, resource_version=str(old), namespace=api.namespace) as events:
                    return [event async for event in events]
            except errors.Throttled:  # a server that has just started may fill its caches first
                await asyncio.sleep(0.1)

    with pytest.raises(errors.Gone) as gone:
        await asyncio.wait_for(watch(), 10)
    assert gone.value.status == 410
