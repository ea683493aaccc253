"""Random writes of several managers to one object, on both servers: the same answers, object and ownership."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from . import shelves
from .servers import Body, Server, Told, assert_same

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Write:
    """One call to the object."""

    verb: str  # create, replace, merge, apply
    manager: str
    body: Any
    subresource: str = ""
    force: bool = False

    def on(self, server: Server, name: str, last: Body | None) -> tuple[int, Any]:
        query = {"fieldManager": self.manager}
        path = f"{shelves.PATH}/{name}{self.subresource and '/status'}"
        match self.verb:
            case "create":
                return server.call("POST", shelves.PATH, shelves.shelf(name, self.body), query=query)
            case "replace":
                meta = {**(last or {}).get("metadata", {}), **self.body.get("metadata", {})}
                body = {**shelves.shelf(name, self.body), "metadata": {"name": name, **meta}}
                return server.call("PUT", path, body, query=query)
            case "merge":
                return server.call("PATCH", path, self.body, content_type=MERGE, query=query)
        if self.force:
            query["force"] = "true"
        return server.call("PATCH", path, shelves.shelf(name, self.body), content_type=APPLY, query=query)


_MANAGERS = st.sampled_from(["one", "two", "three"])
_SUBRESOURCES = st.sampled_from(["", "", "status"])
_PLAIN = st.builds(Write, st.sampled_from(["create", "replace"]), _MANAGERS, shelves.bodies(), _SUBRESOURCES)
_MERGES = st.builds(Write, st.just("merge"), _MANAGERS, shelves.bodies(nulls=True), _SUBRESOURCES)
_APPLIES = st.builds(Write, st.just("apply"), _MANAGERS, shelves.bodies(), _SUBRESOURCES, st.booleans())


@dataclass
class Side:
    """One server, and what it has told of the object of one run."""

    server: Server
    told: Told
    last: Body | None = None

    def write(self, write: Write, name: str) -> Any:
        status, body = write.on(self.server, name, self.last)
        if status < 300:
            self.last = body
        return self.told.answer(status, body)


@settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(writes=st.lists(st.one_of(_APPLIES, _APPLIES, _MERGES, _PLAIN), min_size=1, max_size=8))
def test_both_servers_answer_the_same(
    servers: tuple[Server, Server], numbers: Iterator[int], writes: list[Write]
) -> None:
    name = f"s{next(numbers)}"
    sides = [Side(server, Told()) for server in servers]
    for write in writes:
        real, simulated = (side.write(write, name) for side in sides)
        assert_same(real, simulated, writes)
