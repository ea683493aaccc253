from datetime import date
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import pytest
import yaml
from msgspec import Meta

from kubeloop.model.base import KubeObject, KubeStruct, Resource
from kubeloop.model.crd import crd_yaml, custom_resource_definition, definitions_of
from kubeloop.model.markers import Rule, immutable, list_map, list_set, rule
from kubeloop.model.schema import schema_of

from ..gadgets import Gadget, GadgetAlpha, GadgetSpec
from ..kinds import Widget

RULES = "x-kubernetes-validations"
SPEC = schema_of(GadgetSpec)
FIELDS: dict[str, Any] = SPEC["properties"]


@pytest.mark.parametrize(
    ("field", "schema"),
    [
        ("colour", {"type": "string", "enum": ["blue", "red"], "default": "red"}),
        ("level", {"type": "integer", "enum": [1, 2, 3], "default": 2}),
        ("port", {"x-kubernetes-int-or-string": True, "nullable": True}),
        ("share", {"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 1, "default": 1.0}),
        ("since", {"type": "string", "format": "date-time", "nullable": True}),
        ("seal", {"type": "string", "format": "byte", "nullable": True}),
        ("max", {"type": "integer", "format": "int64", "default": 5}),
        (
            "tags",
            {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set", "default": ["new"]},
        ),
        (
            "limits",
            {"type": "object", "additionalProperties": {"type": "integer", "format": "int64"}, "maxProperties": 4},
        ),
        ("settings", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        ("extra", {"x-kubernetes-preserve-unknown-fields": True}),
        ("min", {"type": "integer", "format": "int64", RULES: [{"rule": "self != 13", "message": "is unlucky"}]}),
        (
            "model",
            {
                "type": "string",
                "description": "what it is",
                "minLength": 1,
                "maxLength": 20,
                RULES: [{"rule": "self == oldSelf", "message": "is immutable"}],
            },
        ),
    ],
)
def test_a_field_has_the_schema_of_its_type(field: str, schema: dict[str, Any]) -> None:
    assert FIELDS[field] == schema


def test_a_list_with_identities_names_its_keys_and_its_items_are_whole() -> None:
    assert FIELDS["parts"] == {
        "type": "array",
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {
            "type": "object",
            "description": "A part.",
            "required": ["name"],
            "properties": {
                "name": {"type": "string"},
                "weight": {"type": "integer", "format": "int32", "default": 1},
            },
        },
    }


def test_an_optional_immutable_field_may_neither_come_nor_go() -> None:
    assert [one["rule"] for one in SPEC[RULES]] == [
        "!has(self.min) || self.min <= self.max",
        "has(self.owner) == has(oldSelf.owner)",
        "has(self.__namespace__) == has(oldSelf.__namespace__)",  # a word that CEL keeps for itself
    ]
    assert SPEC[RULES][0] == {
        "rule": "!has(self.min) || self.min <= self.max",
        "message": "min is at most max",
        "fieldPath": ".min",
    }


class _Union(KubeStruct, frozen=True, kw_only=True):
    one: int | bool = 1


class _Mixed(KubeStruct, frozen=True, kw_only=True):
    one: Literal[1, "one"] = 1


class _RawOrNone(KubeStruct, frozen=True, kw_only=True):
    one: msgspec.Raw | None = None


class _Day(KubeStruct, frozen=True, kw_only=True):
    one: date


class _Keyed(KubeStruct, frozen=True, kw_only=True):
    one: dict[int, str]


class _Item(KubeStruct, frozen=True, kw_only=True):
    name: str = ""
    fixed: Annotated[str, immutable()] = ""


class _LostTransition(KubeStruct, frozen=True, kw_only=True):
    one: tuple[_Item, ...]


class _NoKey(KubeStruct, frozen=True, kw_only=True):
    one: Annotated[tuple[_Item, ...], list_map("name")]


class _SetOfNothing(KubeStruct, frozen=True, kw_only=True):
    one: Annotated[str, list_set()]


@pytest.mark.parametrize(
    ("of", "problem"),
    [
        (_Union, "_Union.one: only"),
        (_Mixed, "_Mixed.one: the values"),
        (_RawOrNone, "_RawOrNone.one: msgspec decodes"),
        (_Day, "_Day.one: DateType has no structural schema"),
        (_Keyed, "_Keyed.one: the keys"),
        (_LostTransition, r"_LostTransition.one\[\]: no rule with oldSelf"),
        (_NoKey, "_NoKey.one: the key 'name'"),
        (_SetOfNothing, "_SetOfNothing.one: only a list"),
    ],
)
def test_what_has_no_schema_is_refused_with_its_path(of: type[KubeStruct], problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        schema_of(of)


def test_versions_of_one_resource_are_one_definition_with_one_stored() -> None:
    definition, widgets = definitions_of((GadgetAlpha, Gadget, Widget))
    alpha, stable = definition["spec"]["versions"]
    assert (alpha["name"], alpha["served"], alpha["storage"]) == ("v1alpha1", True, False)
    assert (alpha["deprecated"], alpha["deprecationWarning"]) == (True, "use v1")
    assert (stable["name"], stable["storage"]) == ("v1", True)
    assert stable["subresources"] == {
        "status": {},
        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
    }
    assert widgets["metadata"]["name"] == "widgets.tests.kubeloop.dev"


def test_no_version_or_two_stored_are_refused_and_so_are_different_resources() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        custom_resource_definition(GadgetAlpha)
    with pytest.raises(ValueError, match="exactly one"):
        custom_resource_definition(Gadget, Gadget)
    with pytest.raises(ValueError, match="no version of"):
        custom_resource_definition(Widget, GadgetAlpha)


class _Fixed(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("tests.kubeloop.dev", "v1", "fixeds", "Fixed")
    immutable_spec: ClassVar[bool] = True
    rules: ClassVar[tuple[Rule, ...]] = (Rule("self.metadata.name.size() < 20"),)

    spec: GadgetSpec


def test_an_immutable_spec_keeps_its_other_rules() -> None:
    schema = custom_resource_definition(_Fixed)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert [one["rule"] for one in schema["properties"]["spec"][RULES]][::3] == [
        "!has(self.min) || self.min <= self.max",
        "self == oldSelf",
    ]
    assert schema[RULES] == [{"rule": "self.metadata.name.size() < 20"}]


class _Twice(KubeStruct, frozen=True, kw_only=True):
    one: Annotated[str, rule("self != 'a'"), rule("self != 'b'"), Meta(max_length=4)]


def test_rules_of_one_field_add_up() -> None:
    assert [one["rule"] for one in schema_of(_Twice)["properties"]["one"][RULES]] == ["self != 'a'", "self != 'b'"]


def test_the_yaml_reads_back_as_the_definitions_and_has_no_anchors() -> None:
    text = crd_yaml((Gadget, Widget))
    assert tuple(yaml.safe_load_all(text)) == definitions_of((Gadget, Widget))
    assert "&id" not in text
