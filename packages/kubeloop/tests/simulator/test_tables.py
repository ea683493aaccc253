"""Tables and metadata alone: the same cells as kube-apiserver has them, for objects of many kinds in many states."""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from kubeloop.simulator.accept import PLAIN, Form, negotiated
from kubeloop.simulator.refusals import Body, Refusal
from kubeloop.simulator.tables import Shown, columns_of
from kubeloop.testing import ControlPlane

OBJECTS = Path(__file__).with_name("shown_objects.yaml")
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
NAMESPACE = "shown"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WIDGET = {"apiVersion": "example.dev/v1", "kind": "Widget", "metadata": {"name": "a", "resourceVersion": "7"}}
WIDGETS = {
    "apiVersion": "example.dev/v1",
    "kind": "WidgetList",
    "metadata": {"resourceVersion": "9"},
    "items": [WIDGET],
}


class RawApi:
    """Calls of the real server, in any form."""

    def __init__(self, session: aiohttp.ClientSession, server: str, trust: ssl.SSLContext) -> None:
        self._session = session
        self._server = server
        self._trust = trust

    async def call(self, method: str, path: str, body: Body | None = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = self._server + path
        async with self._session.request(method, url, json=body, headers=named, ssl=self._trust) as answer:
            found = await answer.json()
            assert answer.status < 300, found
            return found


async def make_all(api: RawApi) -> dict[str, str]:
    """Makes the objects; the paths of their collections with the resources."""
    await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    found: dict[str, str] = {}
    for body in yaml.safe_load(OBJECTS.read_text()):
        doomed = body.pop("delete", False)
        path, resource = place_of(body)
        found[path] = resource
        await api.call("POST", path, body)
        name = f"{path}/{body['metadata']['name']}"
        if "status" in body:
            patch = {"status": body["status"]}
            await api.call("PATCH", f"{name}/status", patch, Content_Type="application/merge-patch+json")
        if doomed:
            await api.call("DELETE", name)
    return found


def place_of(body: Body) -> tuple[str, str]:
    group = body["apiVersion"].rpartition("/")[0]
    plural = plural_of(body["kind"].lower())
    namespace = "" if body.pop("cluster", False) else f"/namespaces/{NAMESPACE}"
    for name in ("involvedObject", "regarding"):
        if name in body:
            body[name]["namespace"] = NAMESPACE
    if namespace:
        body["metadata"]["namespace"] = NAMESPACE
    path = f"/{'apis' if group else 'api'}/{body['apiVersion']}{namespace}/{plural}"
    return path, f"{plural}.{group}" if group else plural


def plural_of(kind: str) -> str:
    if kind == "endpoints":
        return kind
    return f"{kind[:-1]}ies" if kind.endswith("cy") else f"{kind}es" if kind.endswith("ss") else f"{kind}s"


async def test_every_kind_is_shown_as_kube_apiserver_shows_it(control_plane: ControlPlane) -> None:
    config = control_plane.config()
    identity = await config.credentials.identity()
    trust = ssl.create_default_context(cafile=config.ca_file)
    async with aiohttp.ClientSession(headers=identity.headers) as session:
        api = RawApi(session, config.server, trust)
        resources = await make_all(api)
        crds = "customresourcedefinitions.apiextensions.k8s.io"
        resources |= {"/api/v1/namespaces": "namespaces", f"/apis/apiextensions.k8s.io/v1/{crds.split('.')[0]}": crds}
        shown = [await shown_by_both(api, path, resource) for path, resource in resources.items()]
    assert [(ours[part], real[part]) for ours, real in shown for part in ours if ours[part] != real[part]] == []


async def shown_by_both(api: RawApi, path: str, resource: str) -> tuple[Body, Body]:
    """The table of ours and that of the real server, as far as they must be the same."""
    real = await api.call("GET", path, Accept=TABLE)
    now = datetime.now(UTC)
    ours = Shown(negotiated(TABLE), columns_of(resource)).answer(await api.call("GET", path), now)
    return compared(ours, resource), compared(real, resource)


def compared(table: Body, resource: str) -> Body:
    rows = table["rows"] or []
    return {
        "resource": resource,
        "metadata": table["metadata"],
        "columns": columns(table),
        "cells": [without_ages(row["cells"]) for row in rows],
        # those of daemon sets miss an annotation there
        "objects": [row["object"] for row in rows if resource != "daemonsets.apps"],
    }


def columns(table: Body) -> list[tuple[object, ...]]:
    return [(each["name"], each["type"], each["format"], each["priority"]) for each in table["columnDefinitions"]]


def without_ages(cells: list[Any]) -> list[Any]:
    """Ages of seconds differ from one answer to the next."""
    young = [f"{seconds}s" for seconds in range(120)]
    return ["young" if cell in young else cell for cell in cells]


def test_a_list_of_what_is_wanted_is_looked_through_in_order() -> None:
    kubectl = f"{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
    assert negotiated(kubectl) == Form("Table", "v1")
    assert negotiated(f"application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,{METADATA}").kind == (
        "PartialObjectMetadata"
    )
    assert negotiated("application/vnd.kubernetes.protobuf, application/json;q=0.9") == PLAIN
    assert negotiated("application/json;q=0.1, application/yaml") == Form(encoding="yaml")
    assert negotiated("*/*") == negotiated("") == negotiated("application/json;stream=watch;charset=utf-8") == PLAIN


@pytest.mark.parametrize(
    "accept",
    [
        "application/vnd.kubernetes.protobuf",
        "application/cbor",
        "text/html",
        "application/json;as=Table;v=v2;g=meta.k8s.io",
        "application/json;as=Nonsense;v=v1;g=meta.k8s.io",
    ],
)
def test_what_is_not_spoken_is_not_acceptable(accept: str) -> None:
    with pytest.raises(Refusal) as refused:
        negotiated(accept)
    assert (refused.value.code, refused.value.reason) == (406, "NotAcceptable")


def test_a_row_holds_metadata_or_the_object_or_nothing() -> None:
    def row(include: str) -> Any:
        shown = Shown(Form("Table", "v1"), columns_of("", ()), include=include)
        return shown.answer(WIDGET, NOW)["rows"][0]["object"]

    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": WIDGET["metadata"]}
    assert row("") == row("Metadata") == partial
    assert row("Object") == WIDGET
    assert row("None") is None
    with pytest.raises(Refusal):
        row("Foo")


def test_an_object_in_a_row_says_what_it_is_also_where_its_list_does_not() -> None:
    pods = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [{"metadata": {"name": "a"}}]}
    shown = Shown(Form("Table", "v1"), columns_of("pods"), include="Object").answer(pods, NOW)
    assert shown["rows"][0]["object"] == {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}


def test_a_watch_tells_the_columns_once() -> None:
    shown = Shown(Form("Table", "v1"), columns_of("", ()))
    first, second = (shown.event({"type": "ADDED", "object": WIDGET}, NOW)["object"] for _ in range(2))
    assert [column["name"] for column in first["columnDefinitions"]] == ["Name", "Age"]
    assert second["columnDefinitions"] is None
    assert second["rows"][0]["cells"] == ["a", "<unknown>"]


def test_an_error_in_a_watch_stays_a_status() -> None:
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410}}
    assert Shown(Form("Table", "v1"), columns_of("", ())).event(gone, NOW) == gone


def test_metadata_alone_is_asked_for_by_object_and_by_list() -> None:
    one, many = (Shown(Form(f"PartialObjectMetadata{more}", "v1"), ()) for more in ("", "List"))
    assert one.answer(WIDGET, NOW)["metadata"] == WIDGET["metadata"]
    listed = many.answer(WIDGETS, NOW)
    assert (listed["kind"], listed["metadata"]) == ("PartialObjectMetadataList", {"resourceVersion": "9"})
    assert listed["items"] == [one.answer(WIDGET, NOW)]
    for shown, body in ((one, WIDGETS), (many, WIDGET)):
        with pytest.raises(Refusal) as refused:
            shown.answer(body, NOW)
        assert refused.value.code == 406


def test_a_column_that_is_no_path_leaves_the_name_alone() -> None:
    good, bad = ({"name": "X", "type": "string", "jsonPath": path} for path in (".a", ".a[b]"))
    assert [column.name for column in columns_of("", [good])] == ["Name", "X"]
    assert [column.name for column in columns_of("", [good, bad])] == ["Name"]
