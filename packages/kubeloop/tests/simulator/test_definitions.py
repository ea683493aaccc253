"""CustomResourceDefinitions that the real server refuses are refused by the simulator, for the same causes."""

import json
from typing import Any

import pytest

from kubeloop.client.transport import Request
from kubeloop.simulator import ApiServer, Storage

from .real_server import Body, RealServer

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(*, group: str = "checks.kubeloop.dev", names: Body | None = None, **more: Any) -> Body:
    """One that is right, but for what is given: parts of its version, its `spec`, or the fields of the kind's spec."""
    schema = more.pop("schema", None) or of_spec(more.pop("fields", {}))
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    plural = (names or {}).get("plural", "checks")
    spec = {
        "group": group,
        "scope": "Namespaced",
        "names": {"plural": plural, "singular": "check", "kind": "Check", **(names or {})},
        "versions": [{**version, **more.pop("version", {})}, *more.pop("versions", [])],
        **more.pop("spec", {}),
    }
    head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return {**head, "metadata": {"name": f"{plural}.{group}", **more.pop("meta", {})}, "spec": spec}


def of_spec(fields: Body, **more: Any) -> Body:
    spec = {"type": "object", "properties": {"x": {"type": "string"}, **fields}, **more}
    return {"type": "object", "properties": {"spec": spec}}


def of_metadata(name: str) -> Body:
    metadata = {"type": "object", "properties": {name: {"type": "string"}}}
    return {"type": "object", "properties": {"metadata": metadata}}


def column(**more: Any) -> Body:
    given = {"name": "A", "type": "string", "jsonPath": ".spec.x", **more}
    return {"version": {"additionalPrinterColumns": [{name: value for name, value in given.items() if value}]}}


OBJECTS = {"type": "object", "properties": {"a": {"type": "string"}}}
OTHER_VERSION = {"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": of_spec({})}}


@pytest.mark.parametrize(
    "body",
    [
        definition(),
        definition(versions=[OTHER_VERSION]),
        definition(fields={"y": {"minimum": 1}}),
        definition(fields={"y": {"x-kubernetes-int-or-string": True}}),
        definition(fields={"y": {"x-kubernetes-preserve-unknown-fields": True}}),
        definition(fields={"y": {"type": "nonsense"}}),
        definition(fields={"y": {"minimum": 1}}, versions=[OTHER_VERSION]),
        definition(schema={"properties": {"spec": {"type": "object"}}}),
        definition(schema={"type": "string"}),
        definition(fields={"y": {"type": "array"}}),
        definition(fields={"y": {"type": "array", "items": {"minimum": 1}}}),
        definition(fields={"y": {"type": "object", "additionalProperties": {"minimum": 1}}}),
        definition(schema=of_spec({}, additionalProperties={"type": "string"})),
        definition(
            schema={"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {}}}}}
        ),
        definition(
            schema={
                "type": "object",
                "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string"}}}},
            }
        ),
        definition(fields={"y": {"type": "string", "default": 1}}),
        definition(fields={"y": {"type": "integer", "minimum": 3, "default": 1}}),
        definition(fields={"y": {"type": "array", "items": OBJECTS, "x-kubernetes-list-type": "map"}}),
        definition(
            fields={
                "y": {
                    "type": "array",
                    "items": OBJECTS,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["a"],
                }
            }
        ),
        definition(fields={"y": {"type": "array", "items": OBJECTS, "x-kubernetes-list-type": "set"}}),
        definition(spec={"scope": "Nowhere"}),
        definition(group="nodot"),
        definition(group="checks.k8s.io"),
        definition(group="checks.k8s.io", meta={"annotations": {"api-approved.kubernetes.io": "unapproved"}}),
        definition(meta={"name": "another"}),
        definition(names={"singular": "Check"}),
        definition(names={"kind": "Che_ck"}),
        definition(version={"name": "V1"}),
        definition(version={"storage": False}),
        definition(versions=[{**OTHER_VERSION, "storage": True}]),
        definition(**column(name="")),
        definition(**column(type="")),
        definition(**column(type="nonsense")),
        definition(**column(jsonPath="")),
        definition(**column(jsonPath="spec.x")),
        definition(version={"subresources": {"scale": {"specReplicasPath": ".x", "statusReplicasPath": ".status.r"}}}),
        definition(version={"selectableFields": [{"jsonPath": ".spec.nonsense"}]}),
        definition(version={"selectableFields": [{"jsonPath": ".spec.x"}]}),
    ],
)
def test_what_the_real_server_says_to_a_definition_the_simulator_says(real: RealServer, body: Body) -> None:
    status, said, _ = real.call("POST", f"{PATH}?dryRun=All", body)
    ours = ApiServer(Storage()).handle(Request("POST", PATH, (("dryRun", "All"),), json.dumps(body).encode()))
    assert (ours.status, blamed(json.loads(ours.body))) == (status, blamed(said))


def blamed(answer: Body) -> list[tuple[str, str]]:
    """Reason and field of each cause."""
    causes = answer.get("details", {}).get("causes", [])
    return sorted((cause["reason"], cause["field"]) for cause in causes)
