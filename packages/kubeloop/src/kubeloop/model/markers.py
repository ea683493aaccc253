"""What a type can say of a field beyond its Python type, for its schema: metadata of `Annotated`.

Each marker is a `msgspec.Meta`, so it works at any depth (on a field, on the items of a list), several of them on one
field add up, and decoding does not mind them. Descriptions, bounds and patterns are `msgspec.Meta` itself.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

VALIDATIONS = "x-kubernetes-validations"
IMMUTABLE = "self == oldSelf"

Quantity = Annotated[str, Meta(pattern=r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$")]
"""A quantity as its text, `500m` or `2Gi`. A number without quotes does not decode."""

Reason = Literal["", "FieldValueRequired", "FieldValueInvalid", "FieldValueForbidden", "FieldValueDuplicate"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One CEL rule: `rule` must hold of `self`, and of `oldSelf` at an update, where it names it.

    A field whose default is empty (0, "", False, an empty list) may be absent: ask `has(self.field)` first.
    `message_expression` is CEL that makes the message. `field_path` (".spec.size") is the field that is to blame.
    """

    rule: str
    message: str = ""
    message_expression: str = ""
    field_path: str = ""
    reason: Reason = ""

    def schema(self) -> dict[str, Any]:
        """As `x-kubernetes-validations` has it."""
        found = {
            "rule": self.rule,
            "message": self.message,
            "messageExpression": self.message_expression,
            "fieldPath": self.field_path,
            "reason": self.reason,
        }
        return {name: value for name, value in found.items() if value}


def rule(rule: str, message: str = "", *, message_expression: str = "", reason: Reason = "") -> Meta:
    """A CEL rule on this field. Rules over several fields are the Struct's: its class variable `rules`."""
    found = Rule(rule, message, message_expression=message_expression, reason=reason)
    return Meta(extra_json_schema={VALIDATIONS: [found.schema()]})


def immutable(message: str = "is immutable") -> Meta:
    """The field never changes after the object was created; an optional one is neither added nor removed later."""
    return rule(IMMUTABLE, message)


def int32() -> Meta:
    """An integer of 32 bits; others are of 64."""
    return Meta(extra_json_schema={"format": "int32"})


def list_map(*keys: str) -> Meta:
    """A list whose items have an identity, the JSON names of their key fields: no two with the same, and server-side
    apply merges item by item.
    """
    return Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)})


def list_set() -> Meta:
    """A list of scalars without duplicates; server-side apply merges value by value."""
    return Meta(extra_json_schema={"x-kubernetes-list-type": "set"})


def atomic() -> Meta:
    """A list, map or object that server-side apply replaces whole."""
    return Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})
