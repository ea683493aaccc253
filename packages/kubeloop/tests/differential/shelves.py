"""A kind with every type of list and map, and random bodies of it."""

from typing import Any

from hypothesis import strategies as st

from kubeloop.client.transport import JSON

from .servers import Body, Server

GROUP = "differential.kubeloop.dev"
API_VERSION = f"{GROUP}/v1"
NAMESPACE = "differential"
PATH = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/shelves"

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_TEXTS = {"type": "array", "items": _TEXT}

_PORT: Body = {
    "type": "object",
    "required": ["port"],
    "properties": {
        "port": _NUMBER,
        "protocol": {"type": "string", "default": "TCP"},
        "name": _TEXT,
        "hosts": {**_TEXTS, "x-kubernetes-list-type": "set"},
        "limits": {"type": "object", "additionalProperties": _NUMBER},
    },
}
_SPEC: Body = {
    "title": _TEXT,
    "size": {"type": "integer", "default": 10},
    "note": {"type": "string", "nullable": True},
    "either": {"x-kubernetes-int-or-string": True},
    "rows": {"type": "array", "items": _NUMBER},
    "tags": {**_TEXTS, "x-kubernetes-list-type": "set"},
    "ports": {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["port", "protocol"],
        "items": _PORT,
    },
    "prices": {"type": "object", "additionalProperties": _NUMBER},
    "box": {
        "type": "object",
        "properties": {
            "a": _TEXT,
            "b": {"type": "object", "properties": {"c": _NUMBER, "d": {"type": "string", "default": "dd"}}},
        },
    },
    "sealed": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": _TEXT, "b": _NUMBER}},
    "labels": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": _TEXT},
    "boxes": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": _TEXT, "n": _NUMBER}}},
    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
}
_CONDITION: Body = {"type": "object", "required": ["type"], "properties": {"type": _TEXT, "status": _TEXT}}
_STATUS: Body = {
    "ready": {"type": "boolean"},
    "count": _NUMBER,
    "conditions": {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": _CONDITION,
    },
}
_SCHEMA: Body = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": _SPEC},
        "status": {"type": "object", "properties": _STATUS},
    },
}
DEFINITION: Body = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"shelves.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "shelves", "singular": "shelf", "kind": "Shelf", "listKind": "ShelfList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": _SCHEMA},
            }
        ],
    },
}


def serve(server: Server) -> None:
    """Returns when shelves can be made in the namespace."""
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    made = [
        server.call("POST", definitions, DEFINITION, content_type=JSON),
        server.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}),
    ]
    assert [status for status, _ in made] == [201, 201], made
    while server.call("GET", PATH)[0] != 200 or server.call("DELETE", f"{PATH}/none")[0] != 404:
        pass


def shelf(name: str, body: Body) -> Body:
    return {
        "apiVersion": API_VERSION,
        "kind": "Shelf",
        **body,
        "metadata": {"name": name, **body.get("metadata", {})},
    }


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=fields)


def _few(items: st.SearchStrategy[Any], **more: Any) -> st.SearchStrategy[Any]:
    return st.lists(items, max_size=3, **more)


_WORD = st.sampled_from("abc")
_SMALL = st.integers(0, 2)
_WORDS = _few(_WORD, unique=True)
_PRICES = st.dictionaries(_WORD, _SMALL, max_size=2)


def _ports(word: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    port = st.builds(
        lambda number, rest: {"port": number, **rest},
        st.integers(1, 2),
        _some(protocol=st.sampled_from(["TCP", "UDP"]), name=word, hosts=_WORDS, limits=_PRICES),
    )
    return _few(port, unique_by=lambda one: (one["port"], one.get("protocol", "TCP")))


def _specs(*, nulls: bool) -> st.SearchStrategy[Any]:
    """With `nulls`: as a merge patch says what shall go."""

    def may(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(values, st.none()) if nulls else values

    return _some(
        title=may(_WORD),
        size=may(_SMALL),
        note=st.one_of(_WORD, st.none()),
        either=may(st.one_of(_SMALL, st.just("50%"))),
        rows=may(_few(_SMALL)),
        tags=may(st.lists(st.sampled_from("abcdef"), max_size=5, unique=True)),
        ports=may(_ports(_WORD)),
        prices=may(st.dictionaries(_WORD, may(_SMALL), max_size=2)),
        box=may(_some(a=may(_WORD), b=may(_some(c=may(_SMALL), d=may(_WORD))))),
        sealed=may(_some(a=may(_WORD), b=may(_SMALL))),
        labels=may(st.dictionaries(_WORD, may(_WORD), max_size=2)),
        boxes=may(st.dictionaries(_WORD, may(_some(a=may(_WORD), n=may(_SMALL))), max_size=2)),
        free=may(st.dictionaries(_WORD, st.one_of(_SMALL, _few(_SMALL), _PRICES, st.just({})), max_size=2)),
    )


def _metadata(*, nulls: bool) -> st.SearchStrategy[Any]:
    # never empty: see test_an_apply_of_empty_labels_writes_each_time in the contract suite
    owners = st.lists(_WORD, unique=True, min_size=1, max_size=2).map(
        lambda uids: [{"apiVersion": "v1", "kind": "Pod", "name": f"n{uid}", "uid": uid} for uid in uids]
    )
    word = st.one_of(_WORD, st.none()) if nulls else _WORD
    texts = st.dictionaries(_WORD, word, min_size=1, max_size=2)
    return _some(labels=texts, annotations=texts, ownerReferences=owners)


def _statuses(*, nulls: bool) -> st.SearchStrategy[Any]:
    conditions = st.dictionaries(_WORD, st.sampled_from(["True", "False"]), max_size=2).map(
        lambda by_type: [{"type": name, "status": value} for name, value in by_type.items()]
    )
    count = st.one_of(_SMALL, st.none()) if nulls else _SMALL
    return _some(ready=st.booleans(), count=count, conditions=conditions)


def bodies(*, nulls: bool = False) -> st.SearchStrategy[Any]:
    """Spec, and some metadata and status; of all three what is there is a part."""
    return _some(spec=_specs(nulls=nulls), metadata=_metadata(nulls=nulls), status=_statuses(nulls=nulls))
