"""Built-in kinds against the real server: their fields, and what each answers when it is created, written and deleted.

Where the simulator differs on purpose it is written in `DIFFERENT`.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kubeloop.client.transport import HttpTransport
from kubeloop.simulator import ApiServer
from kubeloop.simulator.built_in import FIELDS
from kubeloop.simulator.kinds import BUILT_IN, Kind
from kubeloop.testing import ControlPlane

from .built_in_samples import SAMPLES
from .openapi import fields_text
from .real_server import RealServer
from .server import APPLY, MERGE, Body, call, new_server

STRATEGIC = "application/strategic-merge-patch+json"
KINDS = {kind.resource: kind for kind in BUILT_IN if kind.resource in SAMPLES and not kind.renamed}
CHANGING = {
    "uid": "a UID",
    "resourceVersion": "a version",
    "creationTimestamp": "a time",
    "deletionTimestamp": "a time",
    "time": "a time",
    "clusterIP": "an address",
    "clusterIPs": "addresses",
}
DIFFERENT: dict[str, tuple[tuple[str, ...], ...]] = {
    # nobody here would take away what protects volumes that are in use
    "persistentvolumeclaims": (("metadata", "finalizers"),),
    "persistentvolumes": (("metadata", "finalizers"), ("status", "lastPhaseTransitionTime")),
    # an annotation of a time when a daemon set had no generation; with it nothing else is in managedFields' metadata
    "daemonsets.apps": (("metadata", "annotations"), ("metadata", "managedFields")),
}
STEPS: tuple[tuple[str, str, Body, str], ...] = (
    ("PATCH", "", {"metadata": {"labels": {"a": "b"}, "annotations": {"x": "y"}}}, MERGE),
    ("PATCH", "", {"metadata": {"labels": {"a": "c"}}}, STRATEGIC),
    ("PATCH", "", {"nonsense": 1}, MERGE),
    ("PATCH", "?fieldValidation=Strict", {"nonsense": 1}, MERGE),
    ("PATCH", "?dryRun=All", {"metadata": {"finalizers": ["a.b/c"]}}, MERGE),
    ("PATCH", "", {"metadata": {"name": "another"}}, MERGE),
    ("PATCH", "", {"metadata": {"uid": "another"}}, MERGE),
)


async def test_the_table_of_fields_is_what_the_real_server_says(control_plane: ControlPlane) -> None:
    async with HttpTransport(control_plane.config(), user_agent="test/1") as transport:
        assert FIELDS.read_text() == await fields_text(transport)


def test_every_built_in_kind_has_a_sample() -> None:
    elsewhere = {"namespaces", "customresourcedefinitions.apiextensions.k8s.io"}
    assert {kind.resource for kind in BUILT_IN} - elsewhere == SAMPLES.keys()


class Both:
    """The real server and the simulated one, asked the same."""

    def __init__(self, real: RealServer, kind: Kind) -> None:
        root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        self.path = f"{root}{'/namespaces/default' if kind.namespaced else ''}/{kind.plural}"
        self._real = real
        self._kind = kind
        self._simulated: ApiServer = new_server()

    def agree(self, method: str, path: str, body: Body | None = None, content_type: str = "application/json") -> Body:
        path, _, query = path.partition("?")
        parameters = dict(one.split("=") for one in query.split("&") if one)
        if method in ("POST", "PUT", "PATCH"):
            parameters.setdefault("fieldManager", "tester")
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        status, theirs, _ = self._real.call(method, f"{path}?{query}", body, content_type)
        answered, ours = call(self._simulated, method, path, body, content_type=content_type, **parameters)
        found = list(differences({"": status, **self._seen(theirs)}, {"": answered, **self._seen(ours)}, ""))
        assert not found, f"{method} {path}?{query}"
        return theirs

    def _seen(self, body: Body) -> Any:
        uid = body.get("metadata", {}).get("uid", "")
        text = json.dumps(body)
        found = _masked(json.loads(text.replace(uid, "a UID") if uid else text))
        if found.get("kind") == "Status":
            return {name: found.get(name) for name in ("reason", "code", "status")}
        for *above, name in DIFFERENT.get(self._kind.resource, ()):
            inner = found
            for one in above:
                inner = inner.get(one, {})
            inner.pop(name, None)
        return found


def differences(theirs: Any, ours: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Where they are, and what either has there."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in {**theirs, **ours}:
            yield from differences(theirs.get(name), ours.get(name), f"{path}.{name}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for index, (their, our) in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(their, our, f"{path}[{index}]")
    elif theirs != ours:
        yield path, theirs, ours


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: CHANGING[name] if name in CHANGING and one not in (None, "None") else _masked(one)
            for name, one in value.items()
        }
    return [_masked(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("resource", KINDS)
def test_a_kind_answers_as_on_the_real_server(real: RealServer, resource: str) -> None:
    kind = KINDS[resource]
    sample = {"metadata": {"name": "sample"}, **SAMPLES[resource]}
    both = Both(real, kind)
    one = f"{both.path}/sample"
    both.agree("POST", both.path, sample)
    real.call("PATCH", one, {"metadata": {"finalizers": None}}, MERGE)
    try:
        both.agree("GET", one)
        for method, query, body, content_type in STEPS:
            both.agree(method, one + query, body, content_type)
        applied = {"apiVersion": kind.api_version, "kind": kind.kind, **sample}
        applied["metadata"] = {"name": "sample", "labels": {"x": "y"}}
        both.agree("PATCH", f"{one}?fieldManager=other&force=true", applied, APPLY)
        if resource != "jobs.batch":  # whose template is the server's by then
            both.agree("PUT", one, sample)
    finally:
        both.agree("DELETE", f"{one}?propagationPolicy=Background")
