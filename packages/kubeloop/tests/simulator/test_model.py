"""The server against a model of it: a dictionary, and clients that list, watch, and list anew when they must.

Whatever is written, held, restarted and forgotten: a list is the model, a list at a former version is the model of
then, and who follows a selection by its events ends with what a list of it gives.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kubeloop.client.transport import Request
from kubeloop.simulator import ApiServer, Storage, WatchStream

from .server import MERGE, Body, call

NAMESPACES = ("default", "default-2")
NAMES = ("a", "b", "b-c")
ALL = "/api/v1/configmaps"
FINALIZER = "tests.kubeloop.dev/held"

Key = tuple[str, str]
State = dict[Key, tuple[str, str]]  # colour and value


DEEDS = ("create", "set", "paint", "hold-object", "let-go", "delete")
EVENTS = ("hold", "release", "restart", "compact", "follow")


@dataclass(frozen=True)
class Step:
    """What somebody does to an object, or what happens to the server."""

    do: str
    namespace: str
    name: str
    value: str


STEPS = st.builds(
    Step,
    st.sampled_from(DEEDS * 2 + EVENTS),
    st.sampled_from(NAMESPACES),
    st.sampled_from(NAMES),
    st.sampled_from(("red", "blue")),
)


@dataclass
class Model:
    """What should be there."""

    objects: dict[Key, dict[str, Any]] = field(default_factory=dict)

    def take(self, step: Step) -> bool:
        """Whether the server should accept it."""
        key = (step.namespace, step.name)
        found = self.objects.get(key)
        if step.do == "create":
            if found is None:
                self.objects[key] = {"colour": step.value, "value": "", "held": False, "going": False}
            return found is None
        if found is None:
            return False
        match step.do:
            case "set":
                found["value"] = step.value
            case "paint":
                found["colour"] = step.value
            case "hold-object":
                if found["going"] and not found["held"]:
                    return False
                found["held"] = True
            case "let-go":
                found["held"] = False
                if found["going"]:
                    del self.objects[key]
            case "delete":
                found["going"] = True
                if not found["held"]:
                    del self.objects[key]
        return True

    def state(self) -> State:
        return {key: (one["colour"], one["value"]) for key, one in self.objects.items()}


def perform(server: ApiServer, step: Step) -> bool:
    """Whether the server accepted it."""
    collection = f"/api/v1/namespaces/{step.namespace}/configmaps"
    path = f"{collection}/{step.name}"
    if step.do == "create":
        body = {"metadata": {"name": step.name, "labels": {"colour": step.value}}, "data": {"value": ""}}
        return call(server, "POST", collection, body)[0] == 201
    if step.do == "delete":
        return call(server, "DELETE", path)[0] == 200
    patches: dict[str, Body] = {
        "set": {"data": {"value": step.value}},
        "paint": {"metadata": {"labels": {"colour": step.value}}},
        "hold-object": {"metadata": {"finalizers": [FINALIZER]}},
        "let-go": {"metadata": {"finalizers": None}},
    }
    return call(server, "PATCH", path, patches[step.do], content_type=MERGE)[0] == 200


def state_of(body: Body) -> tuple[Key, tuple[str, str]]:
    meta = body["metadata"]
    return (meta["namespace"], meta["name"]), (meta["labels"]["colour"], body["data"]["value"])


class Follower:
    """Lists and watches one selection, as a reflector does."""

    def __init__(self, server: ApiServer, selector: str) -> None:
        self.query = {"labelSelector": selector} if selector else {}
        self.state: State = {}
        self._server = server
        self._version = 0
        self._stream: WatchStream | None = None

    def lose_connection(self) -> None:
        self._stream = None

    def follow(self) -> None:
        """Takes up what there is to hear."""
        if self._stream is None:
            self._stream = self._begin()
        for line in self._stream.take():
            event = msgspec.json.decode(line)
            if event["type"] == "ERROR":
                assert event["object"]["code"] == 410
                self._version, self._stream = 0, None
                return self.follow()
            self._take(event)
        return None

    def _begin(self) -> WatchStream:
        if not self._version:
            body = call(self._server, "GET", ALL, resourceVersion=0, **self.query)[1]
            self._version = int(body["metadata"]["resourceVersion"])
            self.state = dict(state_of(item) for item in body["items"])
        query = {"watch": "true", "resourceVersion": str(self._version), **self.query}
        stream = self._server.watch(Request("GET", ALL, tuple(query.items())))
        assert isinstance(stream, WatchStream)
        return stream

    def _take(self, event: Body) -> None:
        key, state = state_of(event["object"])
        version = int(event["object"]["metadata"]["resourceVersion"])
        assert version > self._version, "a watch goes forward"
        self._version = version
        assert (key in self.state) == (event["type"] != "ADDED")
        if event["type"] == "DELETED":
            del self.state[key]
        else:
            self.state[key] = state


class World:
    def __init__(self) -> None:
        self.server = ApiServer(Storage())
        call(self.server, "POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACES[1]}})
        self.model = Model()
        self.followers = [Follower(self.server, selector) for selector in ("", "colour=red", "colour!=red")]
        self.past: dict[int, State] = {}

    def take(self, step: Step) -> None:
        match step.do:
            case "hold":
                self.server.hold("configmaps")
            case "release":
                self.server.release("configmaps")
            case "restart":
                self.server.restart()
                for follower in self.followers:
                    follower.lose_connection()
            case "compact":
                self.server.storage.compact()
                self.past.clear()
            case "follow":
                for follower in self.followers:
                    follower.follow()
            case _:
                before = self.server.storage.revision
                accepted = perform(self.server, step)
                assert accepted == self.model.take(step), step
                assert self.server.storage.revision - before in ((0, 1) if accepted else (0,))
        self.past[self.server.storage.revision] = self.model.state()

    def check(self) -> None:
        assert self.listed() == self.model.state()
        for version, state in self.past.items():
            assert self.listed(resourceVersion=version, resourceVersionMatch="Exact") == state
        self.server.release("configmaps")
        for follower in self.followers:
            follower.follow()
            assert follower.state == self.listed(**follower.query)

    def listed(self, **query: object) -> State:
        """All of it, in pages of two, in the order of the keys' text."""
        found: list[tuple[Key, tuple[str, str]]] = []
        more: dict[str, object] = query
        while True:
            status, body = call(self.server, "GET", ALL, limit=2, **more)
            assert status == 200, body
            found += [state_of(item) for item in body["items"]]
            if not body["metadata"].get("continue"):
                break
            selector = {name: query[name] for name in ("labelSelector",) if name in query}
            more = {"continue_": body["metadata"]["continue"], **selector}
        keys = [f"{namespace}/{name}" for (namespace, name), _ in found]
        assert keys == sorted(set(keys))
        return dict(found)


@given(st.lists(STEPS, max_size=40))
def test_lists_watches_and_the_past_agree_with_a_model(steps: list[Step]) -> None:
    async def run() -> None:
        world = World()
        for step in steps:
            world.take(step)
        world.check()

    asyncio.run(run())
