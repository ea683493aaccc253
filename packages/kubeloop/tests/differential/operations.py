"""Random operations on a few objects of two kinds, as values: each can be performed on either server and reads well.

What an operation sends may depend on what its server has answered before (the version that a replace names): so each
server is spoken to through a `Side`, which remembers that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from . import shelves
from .servers import Answer, Body, Server, Told

CONTENT_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_API_VERSIONS = {"Shelf": shelves.API_VERSION, "ConfigMap": "v1"}
_LAST = "zz"  # the object with which a run ends, and so do its watches


@dataclass
class Side:
    """One server in a namespace of one run's own, and what it has told."""

    server: Server
    namespace: str
    told: Told = field(default_factory=Told)
    states: dict[tuple[str, str], list[Body]] = field(default_factory=dict)  # of each object, as answered
    versions: list[str] = field(default_factory=list)

    def path(self, kind: str, name: str = "", subresource: str = "") -> str:
        root = f"/apis/{shelves.API_VERSION}" if kind == "Shelf" else "/api/v1"
        plural = "shelves" if kind == "Shelf" else "configmaps"
        parts = [root, "namespaces", self.namespace, plural, name, subresource]
        return "/".join(part for part in parts if part)

    def state(self, kind: str, name: str, back: int) -> Body:
        """An older one counts from the newest; of what was never seen nothing."""
        seen = self.states.get((kind, name), [])
        return seen[-1 - back] if back < len(seen) else {}

    def version(self, back: int) -> str:
        return self.versions[-1 - back] if back < len(self.versions) else "0"

    def perform(self, operation: "Operation") -> Any:
        """What is to be compared."""
        return [self._noted(*answer) for answer in operation.on(self)]

    def _noted(self, status: int, body: Any) -> Any:
        if (
            status < 300
            and isinstance(body, dict)
            and "resourceVersion" in body.get("metadata", {})
            and "uid" in body["metadata"]
        ):
            meta = body["metadata"]
            self.states.setdefault((body["kind"], meta["name"]), []).append(body)
            self.versions.append(meta["resourceVersion"])
        return self.told.answer(status, body)


@dataclass(frozen=True)
class Operation:
    def on(self, side: Side) -> Iterator[Answer]:
        raise NotImplementedError


@dataclass(frozen=True)
class Create(Operation):
    kind: str
    name: str
    body: Any
    query: Any

    def on(self, side: Side) -> Iterator[Answer]:
        yield side.server.call("POST", side.path(self.kind), _whole(self.kind, self.name, self.body), query=self.query)


@dataclass(frozen=True)
class Replace(Operation):
    """With the version of a state that was seen, or with none; `keep`: the rest of the metadata of that state too."""

    kind: str
    name: str
    body: Any
    query: Any
    subresource: str
    back: int | None
    keep: bool

    def on(self, side: Side) -> Iterator[Answer]:
        body = _whole(self.kind, self.name, self.body)
        if self.back is not None:
            seen = side.state(self.kind, self.name, self.back).get("metadata", {})
            kept = seen if self.keep else {key: seen[key] for key in ("resourceVersion",) if key in seen}
            body["metadata"] = {**kept, **body["metadata"]}
        yield side.server.call("PUT", side.path(self.kind, self.name, self.subresource), body, query=self.query)


@dataclass(frozen=True)
class Patch(Operation):
    type: str
    kind: str
    name: str
    body: Any
    query: Any
    subresource: str

    def on(self, side: Side) -> Iterator[Answer]:
        body = _whole(self.kind, self.name, self.body) if self.type == "apply" else self.body
        path = side.path(self.kind, self.name, self.subresource)
        yield side.server.call("PATCH", path, body, content_type=CONTENT_TYPES[self.type], query=self.query)


@dataclass(frozen=True)
class Get(Operation):
    kind: str
    name: str
    subresource: str

    def on(self, side: Side) -> Iterator[Answer]:
        yield side.server.call("GET", side.path(self.kind, self.name, self.subresource))


@dataclass(frozen=True)
class List(Operation):
    """All pages; `back`: as of a version that was seen, or not older."""

    kind: str
    query: Any
    back: int | None
    match: str

    def on(self, side: Side) -> Iterator[Answer]:
        query = dict(self.query)
        if self.back is not None:
            query |= {"resourceVersion": side.version(self.back), "resourceVersionMatch": self.match}
        while True:
            status, body = side.server.call("GET", side.path(self.kind), query=query)
            yield status, body
            token = body.get("metadata", {}).get("continue")
            if not token:
                return
            query = {**self.query, "continue": token}


@dataclass(frozen=True)
class Delete(Operation):
    kind: str
    name: str
    options: Any
    uid: str  # "" | "right" | "wrong", as a precondition
    back: int | None  # the version of a state that was seen, as a precondition

    def on(self, side: Side) -> Iterator[Answer]:
        preconditions = {}
        if self.uid:
            seen = side.state(self.kind, self.name, 0).get("metadata", {})
            preconditions["uid"] = seen.get("uid", "none") if self.uid == "right" else "another"
        if self.back is not None:
            seen = side.state(self.kind, self.name, self.back).get("metadata", {})
            preconditions["resourceVersion"] = seen.get("resourceVersion", "1")
        options = {**self.options, **({"preconditions": preconditions} if preconditions else {})}
        yield side.server.call("DELETE", side.path(self.kind, self.name), options or None)


@dataclass(frozen=True)
class DeleteAll(Operation):
    kind: str
    query: Any

    def on(self, side: Side) -> Iterator[Answer]:
        status, body = side.server.call("DELETE", side.path(self.kind), query=self.query)
        yield status, body


@dataclass(frozen=True)
class Watch(Operation):
    """After everything else, from a version that was seen on; or (`back` None) with what there is, to its end."""

    kind: str
    back: int | None
    selector: str

    def on(self, side: Side) -> Iterator[Answer]:
        query = {"labelSelector": self.selector} if self.selector else {}
        if self.back is None:
            query |= {"sendInitialEvents": "true", "allowWatchBookmarks": "true"}
            query |= {"resourceVersionMatch": "NotOlderThan"}
        else:
            query["resourceVersion"] = side.version(self.back + len(ends()))
        status, events = side.server.watch(side.path(self.kind), query, until=_is_last)
        yield status, events


def _is_last(event: Body) -> bool:
    return event["type"] in ("BOOKMARK", "ERROR") or event["object"]["metadata"]["name"] == _LAST


def ends() -> list[Operation]:
    """The operations with which a run ends before its watches."""
    body = {"metadata": {"labels": {"l": "end"}}}
    return [Create(kind, _LAST, body, {}) for kind in _API_VERSIONS]


def _whole(kind: str, name: str, body: Body) -> Body:
    typed = {"apiVersion": _API_VERSIONS[kind], "kind": kind}
    return {**typed, **body, "metadata": {"name": name, **body.get("metadata", {})}}


# what they are made of

_KINDS = st.sampled_from(["Shelf", "Shelf", "Shelf", "ConfigMap"])
_NAMES = st.sampled_from("aaaab")
_BACK = st.sampled_from([0, 0, 0, 1, 2, 5])
_SELECTORS = st.sampled_from(["", "", "l in (1,end)", "l notin (1)", "l"])
_MANAGERS = st.sampled_from(["one", "two"])
_WORD = st.sampled_from("abc")
_SMALL = st.integers(0, 2)


def _queries(**more: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    rarely = st.sampled_from([{}] * 9 + [{"dryRun": "All"}])
    strict = st.sampled_from([{}] * 4 + [{"fieldValidation": "Strict"}])
    named = st.fixed_dictionaries({}, optional={"fieldManager": _MANAGERS, **more})
    return st.builds(
        lambda *parts: {key: value for part in parts for key, value in part.items()}, named, rarely, strict
    )


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=fields)


def _bodies(kind: str, *, nulls: bool = False) -> st.SearchStrategy[Any]:
    """Of an object; with `nulls` also what a merge patch says. One in some is not right."""
    right = _shelf_bodies(nulls=nulls) if kind == "Shelf" else _config_map_bodies(nulls=nulls)
    wrong = st.builds(_merged, right, st.sampled_from(_WRONG[kind]))
    return st.one_of(*[right] * 7, wrong)


_WRONG_METADATA: tuple[Body, ...] = (
    {"metadata": {"labels": {"l": "/"}}},
    {"metadata": {"labels": {"l": 1}}},
    {"metadata": {"finalizers": ["not/right/"]}},
    {"metadata": {"name": "other"}},
    {"metadata": {"namespace": "other"}},
    {"metadata": {"unknown": 1}},
    {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "n"}]}},
    {"kind": "Other"},
    {"apiVersion": "other.dev/v1"},
    {"unknown": "a"},
)
_WRONG: dict[str, tuple[Body, ...]] = {
    "Shelf": (
        *_WRONG_METADATA,
        {"spec": {"title": 1}},
        {"spec": {"size": "big"}},
        {"spec": {"tags": ["a", "a"]}},
        {"spec": {"unknown": "a"}},
        {"spec": "none"},
        {"status": {"count": "many"}},
    ),
    "ConfigMap": (*_WRONG_METADATA, {"data": {"a": 1}}, {"data": {"not/right": "a"}}, {"data": "none"}),
}


def _merged(body: Body, more: Body) -> Body:
    found = dict(body)
    for key, value in more.items():
        old = found.get(key)
        found[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return found


def _metadata(*, nulls: bool) -> st.SearchStrategy[Any]:
    texts = st.sampled_from("12")
    label = st.one_of(texts, st.none()) if nulls else texts
    finalizers = st.sampled_from([[], ["x.y/f"], ["x.y/g", "x.y/f"]])
    return _some(
        labels=st.fixed_dictionaries({"l": label}),
        annotations=st.fixed_dictionaries({"x/y": label}),
        finalizers=st.one_of(finalizers, st.none()) if nulls else finalizers,
    )


def _shelf_bodies(*, nulls: bool) -> st.SearchStrategy[Any]:
    def may(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(values, st.none()) if nulls else values

    spec = _some(
        title=may(_WORD),
        size=may(_SMALL),
        note=may(_WORD),
        tags=may(st.lists(_WORD, max_size=3, unique=True)),
        rows=may(st.lists(_SMALL, max_size=2)),
        prices=may(st.dictionaries(_WORD, may(_SMALL), max_size=2)),
        box=may(_some(a=may(_WORD), b=may(st.just({})))),
    )
    status = _some(ready=may(st.booleans()), count=may(_SMALL))
    return _some(spec=may(spec), status=may(status), metadata=_metadata(nulls=nulls))


def _config_map_bodies(*, nulls: bool) -> st.SearchStrategy[Any]:
    data = st.dictionaries(_WORD, st.one_of(_WORD, st.none()) if nulls else _WORD, max_size=2)
    return _some(data=data, immutable=st.sampled_from([False, False, True]), metadata=_metadata(nulls=nulls))


_POINTERS = st.sampled_from(
    (
        *("/spec", "/spec/title", "/spec/size", "/spec/note", "/spec/tags", "/spec/tags/0", "/spec/tags/-"),
        *("/spec/tags/5", "/spec/rows/-", "/spec/prices", "/spec/prices/a", "/spec/box/a", "/spec/none/deep"),
        *("/status", "/status/count", "/data", "/data/a", "/metadata/labels", "/metadata/labels/l", "/metadata/name"),
        *("/metadata/annotations/x~1y", "/metadata/finalizers", "/metadata/finalizers/0", "/none"),
    )
)
_VALUES = st.sampled_from([1, "a", "1", None, [], {}, ["a"], ["x.y/f"], {"a": 1}, {"l": "1"}])
_JSON_PATCHES = st.lists(
    st.one_of(
        st.builds(
            lambda op, path, value: {"op": op, "path": path, "value": value},
            st.sampled_from(["add", "add", "replace", "test"]),
            _POINTERS,
            _VALUES,
        ),
        st.builds(lambda path: {"op": "remove", "path": path}, _POINTERS),
        st.builds(
            lambda op, source, path: {"op": op, "from": source, "path": path},
            st.sampled_from(["copy", "move"]),
            _POINTERS,
            _POINTERS,
        ),
    ),
    max_size=3,
)


def _names_no_empty_list(body: Body) -> bool:
    """See test_an_apply_that_names_an_empty_map_or_list_of_the_metadata_writes_each_time in the contract suite."""
    return bool(body.get("metadata", {}).get("finalizers", True))


def _creates(kind: str) -> st.SearchStrategy[Operation]:
    return st.builds(Create, st.just(kind), _NAMES, _bodies(kind), _queries())


def _subresources(kind: str) -> st.SearchStrategy[str]:
    return st.sampled_from(["", "", "status"])


def _writes(kind: str) -> st.SearchStrategy[Operation]:
    just, subresources = st.just(kind), _subresources(kind)
    back = st.one_of(_BACK, st.none())
    replaces = st.builds(Replace, just, _NAMES, _bodies(kind), _queries(), subresources, back, st.booleans())
    merges = st.builds(Patch, st.just("merge"), just, _NAMES, _bodies(kind, nulls=True), _queries(), subresources)
    strategic = st.builds(
        Patch, st.just("strategic"), just, _NAMES, _bodies(kind, nulls=True), _queries(), subresources
    )
    patches = st.builds(Patch, st.just("json"), just, _NAMES, _JSON_PATCHES, _queries(), subresources)
    force = st.builds(lambda query, name: {"fieldManager": name, **query}, _queries(force=st.just("true")), _MANAGERS)
    applies = st.builds(
        Patch, st.just("apply"), just, _NAMES, _bodies(kind).filter(_names_no_empty_list), force, subresources
    )
    return st.one_of(replaces, merges, merges, patches, applies, strategic)


def _reads(kind: str) -> st.SearchStrategy[Operation]:
    queries = st.fixed_dictionaries(
        {}, optional={"labelSelector": _SELECTORS, "limit": st.just("1"), "fieldSelector": st.just("metadata.name=a")}
    )
    back, match = st.one_of(st.none(), _BACK), st.sampled_from(["Exact", "NotOlderThan"])
    return st.one_of(
        st.builds(Get, st.just(kind), _NAMES, _subresources(kind)),
        st.builds(List, st.just(kind), queries, back, match),
    )


def _deletes(kind: str) -> st.SearchStrategy[Operation]:
    options = st.fixed_dictionaries(
        {},
        optional={
            "propagationPolicy": st.sampled_from(["Background", "Foreground", "Orphan"]),
            "gracePeriodSeconds": st.sampled_from([0, 5]),
            "dryRun": st.just(["All"]),
        },
    )
    uid = st.sampled_from(["", "", "right", "wrong"])
    back = st.one_of(st.none(), st.none(), _BACK)
    one = st.builds(Delete, st.just(kind), _NAMES, options, uid, back)
    selected = st.fixed_dictionaries({}, optional={"labelSelector": _SELECTORS, "dryRun": st.just("All")})
    return st.one_of(one, one, one, st.builds(DeleteAll, st.just(kind), selected))


def _any_of(kind: str) -> st.SearchStrategy[Operation]:
    writes = _writes(kind)
    return st.one_of(_creates(kind), writes, writes, writes, _reads(kind), _deletes(kind))


# each strategy is made once: to make one takes longer than to run an operation on both servers
_MORE = st.one_of(*[_any_of("Shelf")] * 3, _any_of("ConfigMap"))
_FIRST = [
    st.builds(Create, st.just("Shelf"), st.just("a"), _shelf_bodies(nulls=False), st.just({})),
    st.builds(Create, st.just("ConfigMap"), st.just("a"), _config_map_bodies(nulls=False), st.just({})),
]
OPERATIONS = st.builds(
    lambda shelf, config_map, more: [shelf, config_map, *more], *_FIRST, st.lists(_MORE, min_size=1, max_size=12)
)
WATCHES = st.builds(Watch, _KINDS, st.one_of(st.none(), st.integers(0, 8)), _SELECTORS)
