"""The informer against a real API server: WatchList, faults, and how soon the store is right after them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubeloop.client.client import Client, connect
from kubeloop.client.patches import MergePatch
from kubeloop.client.writes import Write, noted
from kubeloop.informer.informer import Informer
from kubeloop.model.base import ObjectKey, ObjectMeta
from kubeloop.model.core import Namespace
from kubeloop.testing import Assets, ControlPlane

RIGHT_AGAIN_S = 5.0


@asynccontextmanager
async def _following(client: Client) -> AsyncIterator[Informer[Namespace]]:
    informer = Informer(client, Namespace)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(informer.run())
        async with asyncio.timeout(20):
            await informer.wait_synced()
        yield informer
        following.cancel()


async def _shows(informer: Informer[Namespace], name: str, *, within_s: float = RIGHT_AGAIN_S) -> None:
    async with asyncio.timeout(within_s):
        await informer.wait_for(ObjectKey("", name), lambda obj: obj is not None)


def _namespace(name: str) -> Namespace:
    return Namespace(metadata=ObjectMeta(name=name))


async def test_list_and_watch_are_one_request_and_own_writes_are_seen(control_plane: ControlPlane) -> None:
    async with connect(control_plane.config(), user_agent="informer-stream/1") as client:  # noqa: SIM117 - in order
        async with _following(client) as informer:
            writes: list[Write] = []
            noted.set(writes)
            created = await client.create(_namespace("own-write"))
            await client.patch(Namespace, "own-write", MergePatch({"metadata": {"labels": {"a": "b"}}}))
            await client.delete(Namespace, "own-write")
            assert len(writes) == 3
            async with asyncio.timeout(5):
                for write in writes:
                    await informer.caught_up(write)
            shown = informer.store.get(created.key)
            assert shown is None or shown.metadata.deleting
    asked = _asked(control_plane, "informer-stream/1")
    assert len(asked) == 1
    assert "sendInitialEvents=true" in asked[0]


def _asked(plane: ControlPlane, user_agent: str) -> list[str]:
    """The lists and watches of one client, each once."""
    return [
        *{
            event["auditID"]: event["requestURI"]
            for event in plane.audit()
            if event.get("userAgent") == user_agent
            and event["verb"] in ("list", "watch")
            and event["stage"] in ("ResponseStarted", "ResponseComplete")
        }.values()
    ]


async def test_after_kill_stop_and_compaction_the_store_is_right_within_five_seconds(assets: Assets) -> None:
    async with ControlPlane(assets=assets) as plane, connect(plane.config(), user_agent="test/1") as client:  # noqa: SIM117
        async with _following(client) as informer, connect(plane.config(), user_agent="other/1") as other:
            plane.kill_apiserver()
            await asyncio.sleep(1)
            await plane.start_apiserver()
            await other.create(_namespace("after-the-kill"))
            await _shows(informer, "after-the-kill")

            plane.pause_apiserver()
            await asyncio.sleep(2)
            plane.resume_apiserver()
            await other.create(_namespace("after-the-stop"))
            await _shows(informer, "after-the-stop")

            plane.kill_apiserver()
            await plane.compact()
            await plane.start_apiserver()
            await other.create(_namespace("after-the-compaction"))
            await _shows(informer, "after-the-compaction")


async def test_a_server_without_watch_list_is_listed_in_pages(assets: Assets) -> None:
    flags = {"feature-gates": "WatchList=false"}
    async with ControlPlane(assets=assets, apiserver_flags=flags) as plane:
        async with connect(plane.config(), user_agent="test/1") as client, _following(client) as informer:
            assert informer.store.get(ObjectKey("", "default")) is not None
            await client.create(_namespace("watched"))
            await _shows(informer, "watched")
        assert any("limit=500" in uri for uri in _asked(plane, "test/1"))
