"""Whatever a server does - changes, broken streams, compactions, stale replicas - the store ends equal to it.

And every handler has heard each object's last state and each deletion. The server is a model of the real one's rules
for lists, watches and WatchList.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from kubeloop.client import errors
from kubeloop.client.watching import WatchEvent
from kubeloop.client.writes import Write
from kubeloop.informer.informer import Informer
from kubeloop.informer.store import Change
from kubeloop.model.base import ObjectKey
from kubeloop.model.codec import ListPage, Undecodable

from ..kinds import Widget, widget
from .script import NO_PAUSE

Step = tuple[str, str]


@dataclass
class Server:
    """`history` holds (event type, object) by version; `broken` objects are served as undecodable."""

    version: int = 1
    objects: dict[str, Widget] = field(default_factory=dict)
    history: list[tuple[Literal["ADDED", "MODIFIED", "DELETED"], Widget]] = field(default_factory=list)
    compacted: int = 0
    past: list[tuple[int, dict[str, Widget]]] = field(default_factory=lambda: [(1, {})])
    stale: list[tuple[int, dict[str, Widget]]] = field(default_factory=list)  # what lagging replicas answer next
    streaming: bool = True
    cut: int = 0  # so many of the next events end their stream
    expired: int = 0  # so many of the next continue tokens have expired
    ends: dict[str, str] = field(default_factory=dict)  # UID of each deleted object -> its name
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def step(self, what: str, name: str) -> None:
        if what in ("put", "break"):
            self._change("MODIFIED" if name in self.objects else "ADDED", name, size=-1 if what == "break" else 0)
        elif what == "delete" and name in self.objects:
            self.ends[self.objects[name].metadata.uid] = name
            self._change("DELETED", name)
        elif what == "compact":
            self.compacted = self.version
        elif what == "fail over":
            self.stale.append(self.past[len(self.past) // 2])
            self._change("MODIFIED" if name in self.objects else "ADDED", name)
            self.compacted = self.version
        elif what == "cut":
            self.cut += 1
        elif what == "expire":
            self.expired += 1
        elif what == "down- or upgrade":
            self.streaming = not self.streaming
        self.news.set()
        self.news = asyncio.Event()

    def _change(self, kind: Literal["ADDED", "MODIFIED", "DELETED"], name: str, *, size: int = 0) -> None:
        self.version += 1
        uid = self.objects[name].metadata.uid if name in self.objects else f"{name}-{self.version}"
        obj = widget(name, self.version, uid=uid, size=size)
        if kind == "DELETED":
            del self.objects[name]
        else:
            self.objects[name] = obj
        self.history.append((kind, obj))
        self.past.append((self.version, dict(self.objects)))

    async def list(
        self, kind: type[Any], *, limit: int = 0, continue_: str = "", field_selector: str = "", **_: Any
    ) -> ListPage[Any]:
        """Pages of one object, all of the first page's version."""
        await asyncio.sleep(0)
        if continue_ and self.expired:
            self.expired -= 1
            raise errors.Gone("the continue token has expired")
        version, objects = self.stale.pop() if self.stale and not continue_ else (self.version, self.objects)
        found = sorted(objects.values(), key=lambda obj: obj.metadata.name)
        if field_selector:
            found = [obj for obj in found if field_selector == f"metadata.name={obj.metadata.name}"]
        if continue_:
            at, _, after = continue_.partition("/")
            if int(at) != self.version:
                raise errors.Gone("the version of the list is compacted")
            found = [obj for obj in found if obj.metadata.name > after]
        paged = found[:1] if limit else found
        token = f"{version}/{paged[-1].metadata.name}" if len(paged) < len(found) else ""
        return ListPage(
            tuple(obj for obj in paged if obj.spec.size >= 0),
            str(version),
            token,
            undecodable=tuple(_undecodable(obj) for obj in paged if obj.spec.size < 0),
        )

    @asynccontextmanager
    async def watch(
        self, kind: type[Any], *, resource_version: str, send_initial_events: bool = False, **_: Any
    ) -> AsyncIterator[AsyncIterator[Any]]:
        await asyncio.sleep(0)
        if send_initial_events and not self.streaming:
            raise errors.Invalid("no WatchList", status=422)
        if not send_initial_events and int(resource_version) < self.compacted:
            raise errors.Gone("too old")
        yield self._initial() if send_initial_events else self._events(int(resource_version))

    async def _initial(self) -> AsyncIterator[Any]:
        if self.stale:
            after, objects = self.stale.pop()
            version = after
        else:
            version, objects = self.past[len(self.past) // 2]  # and what has happened since, as a watch cache may
            after = self.version
        for obj in list(objects.values()):
            yield await self._send("ADDED", obj)
        for kind, obj in self._between(version, after):
            yield await self._send(kind, obj)
        yield WatchEvent("BOOKMARK", str(after), initial_events_end=True)
        async for event in self._events(after):
            yield event

    def _between(self, after: int, until: int) -> Sequence[tuple[Any, Widget]]:
        return [each for each in self.history if after < int(each[1].metadata.resource_version) <= until]

    async def _events(self, after: int) -> AsyncIterator[Any]:
        while True:
            news, version = self.news, self.version
            if after < self.compacted:
                raise errors.Gone("compacted in the middle")
            for kind, obj in self._between(after, version):
                yield await self._send(kind, obj)
            after = version
            yield WatchEvent("BOOKMARK", str(version))
            await news.wait()

    async def _send(self, kind: Any, obj: Widget) -> WatchEvent[Any]:
        await _breathe(3)  # slower than a list: a live read can be ahead of the watch
        if self.cut:
            self.cut -= 1
            raise errors.Unavailable("broken off")
        if obj.spec.size < 0:
            return WatchEvent(kind, obj.metadata.resource_version, undecodable=_undecodable(obj))
        return WatchEvent(kind, obj.metadata.resource_version, obj)


async def _breathe(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


def _undecodable(obj: Widget) -> Undecodable:
    return Undecodable(obj.key, obj.metadata.uid, obj.metadata.resource_version, "size: expected >= 0")


class Listener:
    """What a handler would know that believes every change; checks that no object goes back in time."""

    def __init__(self) -> None:
        self.known: dict[ObjectKey, Widget] = {}
        self.seen: set[str] = set()
        self.faults: list[str] = []
        self.deleted: set[str] = set()

    def __call__(self, change: Change[Widget]) -> None:
        before = self.known.get(change.object.key)
        if change.old is not None and before is None:
            self.faults.append(f"{change.kind} without having been added: {change}")
        if change.new is None:
            self.known.pop(change.object.key, None)
            self.deleted.add(change.object.metadata.uid)
            return
        if change.new.metadata.uid in self.deleted:
            self.faults.append(f"back from the dead: {change}")
        version = int(change.new.metadata.resource_version)
        if before is not None and int(before.metadata.resource_version) >= version:
            self.faults.append(f"back in time: {change}")
        self.known[change.new.key] = change.new
        self.seen.add(change.new.metadata.uid)


STEPS = st.tuples(
    st.sampled_from(
        ["put"] * 4
        + ["delete"] * 2
        + ["break", "compact", "fail over", "cut", "expire", "down- or upgrade"]
        + ["breathe", "read"] * 2
    ),
    st.sampled_from("ab"),
)


async def _converges(steps: list[Step]) -> None:
    server, listener = Server(), Listener()
    informer = Informer(server, Widget, back_off=NO_PAUSE)
    informer.add_handler(listener)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(informer.run())
        for what, name in steps:
            if what == "breathe":
                await _breathe(25)
            elif what == "read":
                await informer.caught_up(Write(Widget, ObjectKey("default", name), "", str(server.version)), 0)
            else:
                server.step(what, name)
        server.step("put", "last")
        async with asyncio.timeout(10):
            await informer.wait_for(
                ObjectKey("default", "last"),
                lambda obj: obj is not None and obj.metadata.resource_version == str(server.version),
            )
        following.cancel()
    assert listener.faults == []
    good = {obj.key: obj for obj in server.objects.values() if obj.spec.size >= 0}
    bad = {obj.key for obj in server.objects.values() if obj.spec.size < 0}
    assert {obj.key: obj for obj in informer.store.list() if obj.key not in bad} == good
    assert set(informer.undecodable) == bad
    assert {obj.key: obj for obj in informer.store.list()} == listener.known
    assert listener.seen & server.ends.keys() <= listener.deleted


@settings(deadline=None, max_examples=300)
@given(st.lists(STEPS, max_size=50))
def test_whatever_happens_the_store_ends_equal_to_the_server_and_handlers_have_heard_all(steps: list[Step]) -> None:
    asyncio.run(_converges(steps))
