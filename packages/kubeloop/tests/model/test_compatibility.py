import copy
from collections.abc import Callable
from typing import Any

import pytest

from kubeloop.model.compatibility import breaking_changes, breaking_definition_changes
from kubeloop.model.crd import custom_resource_definition

from ..gadgets import Gadget, GadgetAlpha
from ..kinds import Widget

Schema = dict[str, Any]
SCHEMA: Schema = custom_resource_definition(Gadget)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def _spec(schema: Schema) -> Schema:
    found: Schema = schema["properties"]["spec"]["properties"]
    return found


def _changed(change: Callable[[Schema], Any]) -> Schema:
    schema = copy.deepcopy(SCHEMA)
    change(_spec(schema))
    return schema


BREAKING: list[tuple[Callable[[Schema], Any], str]] = [
    (lambda spec: spec.pop("max"), ".spec.max: is removed"),
    (lambda spec: spec["max"].update(type="string"), ".spec.max: type integer becomes string"),
    (lambda spec: spec["max"].update(format="int32"), ".spec.max: format int64 becomes int32"),
    (lambda spec: spec["max"].update(minimum=0), ".spec.max: minimum is 0 now"),
    (lambda spec: spec["model"].update(minLength=2), ".spec.model: minLength 1 becomes 2"),
    (lambda spec: spec["model"].update(maxLength=19), ".spec.model: maxLength 20 becomes 19"),
    (lambda spec: spec["model"].update(pattern="^a"), ".spec.model: pattern none becomes ^a"),
    (lambda spec: spec["memory"].update(pattern="^1$"), ".spec.memory: pattern"),
    (lambda spec: spec["colour"].update(enum=["red", "green"]), ".spec.colour: ['blue'] are no longer allowed"),
    (lambda spec: spec["owner"].update(enum=["me"]), ".spec.owner: only ['me'] are allowed now"),
    (lambda spec: spec["since"].pop("nullable"), ".spec.since: may be null no longer"),
    (lambda spec: spec["port"].pop("x-kubernetes-int-or-string"), ".spec.port: type int-or-string becomes any"),
    (lambda spec: spec["settings"].pop("x-kubernetes-preserve-unknown-fields"), ".spec.settings: unknown fields"),
    (lambda spec: spec["parts"].update({"x-kubernetes-list-type": "atomic"}), ".spec.parts: list type map becomes"),
    (lambda spec: spec["parts"].update({"x-kubernetes-list-map-keys": ["weight"]}), ".spec.parts: list keys"),
    (lambda spec: spec["parts"]["items"]["properties"].pop("weight"), ".spec.parts[].weight: is removed"),
    (lambda spec: spec["parts"].update(maxItems=7), ".spec.parts: maxItems 8 becomes 7"),
    (lambda spec: spec["limits"].pop("additionalProperties"), ".spec.limits.*: is removed"),
    (
        lambda spec: spec["limits"]["additionalProperties"].update(maximum=3),
        ".spec.limits.*: maximum is 3 now",
    ),
    (
        lambda spec: spec["max"].update({"x-kubernetes-validations": [{"rule": "self > 1"}]}),
        ".spec.max: new rule 'self > 1'",
    ),
]


@pytest.mark.parametrize(("change", "problem"), BREAKING, ids=[problem for _, problem in BREAKING])
def test_a_change_that_breaks_is_found_with_its_path(change: Callable[[Schema], Any], problem: str) -> None:
    (found,) = breaking_changes(SCHEMA, _changed(change))
    assert found.startswith(problem)


HARMLESS: list[Callable[[Schema], Any]] = [
    lambda spec: spec.update(later={"type": "string", "maxLength": 4}),
    lambda spec: spec["model"].update(maxLength=21, minLength=0, description="other words"),
    lambda spec: spec["model"].pop("x-kubernetes-validations"),
    lambda spec: spec["memory"].pop("pattern"),
    lambda spec: spec["colour"]["enum"].append("green"),
    lambda spec: spec["max"].update(nullable=True, default=6),
    lambda spec: spec["parts"]["items"]["properties"]["weight"].update(format="int64"),
    lambda spec: spec["tags"].update(minItems=0),
]


@pytest.mark.parametrize("change", HARMLESS)
def test_loosening_and_adding_break_nothing(change: Callable[[Schema], Any]) -> None:
    assert breaking_changes(SCHEMA, _changed(change)) == ()


def test_a_field_that_is_required_now_needs_a_default() -> None:
    new = _changed(lambda spec: spec.update(later={"type": "string"}))
    new["properties"]["spec"]["required"] = ["model", "later", "max"]
    assert breaking_changes(SCHEMA, new) == (".spec.later: is required now, and has no default",)


def test_a_required_field_must_keep_its_default() -> None:
    old = copy.deepcopy(SCHEMA)
    old["properties"]["spec"]["required"].append("max")
    new = copy.deepcopy(old)
    del _spec(new)["max"]["default"]
    assert breaking_changes(old, new) == (".spec.max: is required and loses its default",)


def test_a_version_that_was_served_stays_and_one_that_is_stored_stays_above_all() -> None:
    both, new = custom_resource_definition(Gadget, GadgetAlpha), custom_resource_definition(Gadget)
    assert breaking_definition_changes(both, new) == ("v1alpha1: is no longer served",)
    both["status"] = {"storedVersions": ["v1alpha1", "v1"]}
    assert "objects are stored in it" in breaking_definition_changes(both, new)[0]
    assert breaking_definition_changes(new, both) == ()


def test_scope_names_subresources_and_selectable_fields_stay() -> None:
    old, new = custom_resource_definition(Widget), custom_resource_definition(Widget)
    new["spec"]["scope"] = "Cluster"
    new["spec"]["names"]["kind"] = "Wodget"
    version = new["spec"]["versions"][0]
    del version["subresources"], version["selectableFields"]
    assert breaking_definition_changes(old, new) == (
        "spec.scope: Namespaced becomes Cluster",
        "spec.names.kind: Widget becomes Wodget",
        "v1: subresource status is removed",
        "v1: .spec.node is no longer selectable",
    )


def test_a_version_that_was_not_served_may_go() -> None:
    both = custom_resource_definition(Gadget, GadgetAlpha)
    both["spec"]["versions"][1]["served"] = False
    assert breaking_definition_changes(both, custom_resource_definition(Gadget)) == ()
