"""Watch caches: they can be held, begin anew at a restart, and forget."""

import msgspec
import pytest
import time_machine

from kubeloop.simulator import ApiServer, Storage, StreamBroken

from .server import CONFIG_MAPS, Body, call, change, create, names, new_server, told, version, watch

SECRETS = "/api/v1/namespaces/default/secrets"
INITIAL = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}


def listed(server: ApiServer, **query: object) -> Body:
    status, body = call(server, "GET", CONFIG_MAPS, **query)
    assert status == 200, body
    return dict(body)


async def test_a_watch_of_what_is_held_is_silent_until_it_is_released() -> None:
    server = new_server()
    async with watch(server, resourceVersion=version(listed(server))) as stream:
        server.hold("configmaps")
        create(server, "a")
        change(server, "a", "1")
        assert told(stream) == []
        server.release("configmaps")
        assert told(stream) == [("ADDED", "a"), ("MODIFIED", "a")]
        change(server, "a", "2")
        assert told(stream) == [("MODIFIED", "a")]


async def test_other_resources_are_told_of_meanwhile() -> None:
    server = new_server()
    start = version(listed(server))
    async with watch(server, resourceVersion=start) as held, watch(server, SECRETS, resourceVersion=start) as other:
        server.hold("configmaps")
        create(server, "first")
        call(server, "POST", SECRETS, {"metadata": {"name": "second"}})
        assert (told(held), told(other)) == ([], [("ADDED", "second")])


def test_a_held_cache_serves_old_lists_and_objects_to_who_asks_the_cache() -> None:
    server = new_server()
    create(server, "a")
    before = change(server, "a", "1")
    server.hold("configmaps")
    after = change(server, "a", "2")
    create(server, "b")
    stale = listed(server, resourceVersion=0)
    assert (names(stale), version(stale)) == (["a"], version(before))
    assert call(server, "GET", f"{CONFIG_MAPS}/a", resourceVersion=0)[1]["data"] == {"x": "1"}
    assert call(server, "GET", f"{CONFIG_MAPS}/a")[1] == after
    assert names(listed(server)) == ["a", "b"]
    server.release("configmaps")
    assert names(listed(server, resourceVersion=0)) == ["a", "b"]


def test_what_a_held_cache_cannot_know_yet_is_worth_a_retry() -> None:
    server = new_server()
    server.hold("configmaps")
    made = version(create(server, "a"))
    options = {"resourceVersion": made, "resourceVersionMatch": "NotOlderThan"}
    status, body = call(server, "GET", CONFIG_MAPS, **options)
    assert (status, body["details"]["causes"][0]["reason"]) == (504, "ResourceVersionTooLarge")
    server.release("configmaps")
    assert names(listed(server, **options)) == ["a"]


async def test_initial_events_of_a_held_cache_end_when_it_has_caught_up() -> None:
    server = new_server()
    create(server, "a")
    server.hold("configmaps")
    create(server, "b")
    change(server, "b", "1")
    async with watch(server, **INITIAL) as stream:
        assert told(stream) == [("ADDED", "a")]
        server.release("configmaps")
        assert told(stream) == [("ADDED", "b"), ("MODIFIED", "b"), ("BOOKMARK", "")]


async def test_initial_events_that_wait_for_another_resources_write_end_with_it() -> None:
    server = new_server()
    create(server, "a")
    server.hold("configmaps")
    call(server, "POST", SECRETS, {"metadata": {"name": "later"}})
    async with watch(server, **INITIAL) as stream:
        assert told(stream) == [("ADDED", "a")]
        server.release("configmaps")
        assert told(stream) == [("BOOKMARK", "")]


async def test_a_restart_breaks_watches_off_and_forgets_what_was_before() -> None:
    server = new_server()
    old = version(create(server, "a"))
    now = version(change(server, "a", "1"))
    async with watch(server, resourceVersion=now) as stream:
        server.restart()
        with pytest.raises(StreamBroken):
            await anext(stream)
    async with watch(server, resourceVersion=old) as stream:
        [line] = stream.take()
        event = msgspec.json.decode(line)
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    async with watch(server, resourceVersion=now) as stream:
        change(server, "a", "2")
        assert told(stream) == [("MODIFIED", "a")]


async def test_a_cache_forgets_what_is_old_when_there_is_much() -> None:
    with time_machine.travel(0, tick=False) as clock:
        server = new_server()
        old = version(create(server, "a"))
        for number in range(150):
            change(server, "a", str(number))
        async with watch(server, resourceVersion=old) as stream:
            assert len(told(stream)) == 150  # none of it is older than a minute
        clock.shift(100)
        for number in range(150):
            change(server, "a", f"later-{number}")
        async with watch(server, resourceVersion=old) as stream:
            assert told(stream) == [("ERROR", "")]


def test_the_storage_forgets_every_five_minutes_what_is_older_than_that() -> None:
    with time_machine.travel(0, tick=False) as clock:
        server = new_server()
        old = version(create(server, "a"))
        options = {"resourceVersion": old, "resourceVersionMatch": "Exact"}
        for name in ("b", "c"):
            clock.shift(301)
            assert names(listed(server, **options)) == ["a"]
            create(server, name)
        assert call(server, "GET", CONFIG_MAPS, **options)[0] == 410


async def test_servers_of_one_storage_see_each_others_writes_each_in_its_time() -> None:
    storage = Storage()
    one, two = ApiServer(storage), ApiServer(storage)
    start = version(listed(one))
    async with watch(one, resourceVersion=start) as first, watch(two, resourceVersion=start) as second:
        two.hold("configmaps")
        create(one, "a")
        assert (told(first), told(second)) == ([("ADDED", "a")], [])
        two.release("configmaps")
        assert told(second) == [("ADDED", "a")]


async def test_an_event_is_encoded_once_for_all_who_watch() -> None:
    server = new_server()
    start = version(listed(server))
    async with (
        watch(server, resourceVersion=start) as one,
        watch(server, "/api/v1/configmaps", resourceVersion=start) as two,
    ):
        create(server, "a")
        [first], [second] = one.take(), two.take()
        assert first is second


async def test_nobody_is_told_of_a_write_before_all_have_heard_of_the_one_before() -> None:
    server = new_server()
    told_of: list[str] = []

    def follows(change: object) -> None:
        if len(told_of) == 0:
            told_of.append("first seen")
            create(server, "b")

    stop = server.storage.subscribe(follows)
    server.storage.subscribe(lambda change: told_of.append(change.key))
    create(server, "a")
    assert told_of == ["first seen", "default/a", "default/b"]
    stop()
    create(server, "c")
    assert told_of[3:] == ["default/c"]


async def test_a_watch_that_nobody_reads_ends_after_10000_changes() -> None:
    server = new_server()
    create(server, "a")
    async with watch(server, resourceVersion=version(listed(server))) as stream:
        for number in range(10_002):
            change(server, "a", str(number))
        assert len([line async for line in stream]) == 10_000
