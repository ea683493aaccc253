"""Requests that nobody in his right mind sends, to both servers: the same answers."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from . import shelves
from .servers import Server, Told, assert_same

_CONFIG_MAPS = "/api/v1/namespaces/{}/configmaps"
_OWNER = {"apiVersion": "v1", "kind": "X", "name": "a", "uid": "u"}
_numbers = itertools.count()


@pytest.fixture
def namespace(servers: tuple[Server, Server]) -> str:
    found = f"odd-{next(_numbers)}"
    for server in servers:
        assert server.call("POST", "/api/v1/namespaces", {"metadata": {"name": found}})[0] == 201
    return found


@pytest.fixture(scope="module")
def filled(servers: tuple[Server, Server]) -> str:
    """A namespace with three config maps."""
    for server in servers:
        assert server.call("POST", "/api/v1/namespaces", {"metadata": {"name": "odd-filled"}})[0] == 201
        for name in "abc":
            body = {"metadata": {"name": name, "labels": {"x": name, "n": "1"}}}
            assert server.call("POST", _CONFIG_MAPS.format("odd-filled"), body)[0] == 201
    return "odd-filled"


def same(servers: tuple[Server, Server], *call: Any, **more: Any) -> None:
    found = []
    for server in servers:
        status, body = server.call(*call, **more)
        if status == 200 and "items" in body:
            body = {"names": [item["metadata"]["name"] for item in body["items"]]}
        told = Told()
        found.append(told.answer(status, body) if status not in (415, 501) else status)
    assert_same(*found, [(call, more)])


_LABELS = (
    *("x", "! x", "x=", "x!=", "x==a", "x in (a,)", "x in()", "notin", "in in (in)", "x,", ",x", "x a", "x=a b"),
    *(
        "x>1",
        "n>0",
        "n<0",
        "n<2,n>0",
        "n > 0",
        "x>0",
        "n>a",
        "n>-1",
        "n>1.5",
        "n>",
        "n>=1",
        "n>5,x",
        "x=a/b",
        "x\t=\ta",
    ),
)
_FIELDS = (
    *("metadata.name=a", "metadata.name==a", "metadata.name!=a", "metadata.name", "metadata.name=a,", "=a"),
    *("metadata.name=a\\,b", "metadata.name=a\\", "metadata.name=a\\=b", "metadata.name=a=b", "metadata.name=\\a"),
    *("metadata.name!==a", " metadata.name=a", "metadata.name=a,metadata.name=b"),
)


@pytest.mark.parametrize(
    "query",
    [
        *({"labelSelector": text} for text in _LABELS),
        *({"fieldSelector": text} for text in _FIELDS),
        *({"limit": text} for text in ("", "-1", "1.5", "1_0", " 1", "9" * 20)),
        *({"watch": text} for text in ("False", "FALSE", "0")),
        *({"resourceVersion": text} for text in ("9" * 23, "+1", "1_0", "-1", "x")),
    ],
    ids=str,
)
def test_lists(servers: tuple[Server, Server], filled: str, query: dict[str, str]) -> None:
    same(servers, "GET", _CONFIG_MAPS.format(filled), query=query)


@pytest.mark.parametrize(
    "meta",
    [
        {"generation": 10**20},
        {"creationTimestamp": "yesterday"},
        {"ownerReferences": [_OWNER, _OWNER]},
        {"ownerReferences": [{**_OWNER, "apiVersion": "a/b/c"}]},
        {"ownerReferences": [{**_OWNER, "kind": "Event"}]},
        {"finalizers": ["orphan", "foregroundDeletion"]},
        {"annotations": {"a": "x" * 262144}},
    ],
    ids=lambda meta: str(meta)[:60],
)
def test_metadata(servers: tuple[Server, Server], namespace: str, meta: dict[str, Any]) -> None:
    body = {"metadata": {"name": "a", **meta}}
    found = [server.call("POST", _CONFIG_MAPS.format(namespace), body) for server in servers]
    owners = [body.get("metadata", {}).get("ownerReferences") if status == 201 else None for status, body in found]
    assert owners[0] == owners[1]
    assert_same(*(Told().answer(status, {} if status == 201 else body) for status, body in found), [meta])


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"a": "x"}, "binaryData": {"a": "YQ=="}},
        {"data": {"..": "x"}},
        {"data": []},
        {"metadata": {"generateName": "A_"}},
        {"metadata": {"generateName": "a" * 300}},
    ],
    ids=lambda body: str(body)[:60],
)
def test_config_maps_that_are_refused(servers: tuple[Server, Server], namespace: str, body: dict[str, Any]) -> None:
    same(servers, "POST", _CONFIG_MAPS.format(namespace), {"metadata": {"name": "a"}, **body})


def test_a_value_that_is_null_is_there(servers: tuple[Server, Server], namespace: str) -> None:
    body = {"metadata": {"name": "a"}, "data": {"a": None}}
    for server in servers:
        assert server.call("POST", _CONFIG_MAPS.format(namespace), body)[1]["data"] == {"a": ""}


@pytest.mark.parametrize(
    "query",
    [{"dryRun": ""}, {"dryRun": "all"}, *({"fieldManager": text} for text in ("x" * 129, "a\x00b", "a\nb\n"))],
    ids=str,
)
def test_options_of_writes(servers: tuple[Server, Server], namespace: str, query: dict[str, str]) -> None:
    same(servers, "POST", _CONFIG_MAPS.format(namespace), {"metadata": {"name": "a"}}, query=query)


@pytest.mark.parametrize("options", [{"kind": "Foo", "apiVersion": "v1"}, [], {"gracePeriodSeconds": "x"}], ids=str)
def test_options_of_deletions(servers: tuple[Server, Server], namespace: str, options: Any) -> None:
    path = _CONFIG_MAPS.format(namespace)
    for server in servers:
        assert server.call("POST", path, {"metadata": {"name": "a"}})[0] == 201
    same(servers, "DELETE", f"{path}/a", options)
    same(servers, "DELETE", f"{path}/a", query={"gracePeriodSeconds": ""})
    same(servers, "DELETE", f"{path}/a", {}, content_type="text/plain")


@pytest.fixture(scope="module")
def shelf(servers: tuple[Server, Server]) -> Iterator[str]:
    """The name of a custom object."""
    for server in servers:
        assert server.call("POST", shelves.PATH, shelves.shelf("odd", {}))[0] == 201
    yield "odd"
    for server in servers:
        server.call("DELETE", f"{shelves.PATH}/odd")


@pytest.mark.parametrize("missing", ["kind", "apiVersion"])
def test_a_custom_object_says_what_it_is(servers: tuple[Server, Server], missing: str) -> None:
    body = {name: value for name, value in shelves.shelf("what", {}).items() if name != missing}
    same(servers, "POST", shelves.PATH, body)


@pytest.mark.parametrize("index", ["0", "-1", "+0", "00", " 0", "0 ", "1_0", "\u0661", "9" * 30, "x", "-"])
def test_indices_of_json_patches(servers: tuple[Server, Server], shelf: str, index: str) -> None:
    operations = [
        {"op": "add", "path": "/metadata/finalizers", "value": [f"a.dev/{number}" for number in range(12)]},
        {"op": "replace", "path": f"/metadata/finalizers/{index}", "value": "b.dev/c"},
    ]
    path, kind = f"{shelves.PATH}/{shelf}", "application/json-patch+json"
    found = []
    for server in servers:
        status, body = server.call("PATCH", path, operations, content_type=kind, query={"dryRun": "All"})
        found.append((status, body["metadata"].get("finalizers")))
    assert found[0] == found[1]


@pytest.mark.parametrize("version", [None, "1"])
def test_a_patch_that_takes_the_version_away(servers: tuple[Server, Server], shelf: str, version: str | None) -> None:
    patch = {"metadata": {"resourceVersion": version}}
    same(servers, "PATCH", f"{shelves.PATH}/{shelf}", patch, content_type="application/merge-patch+json")
