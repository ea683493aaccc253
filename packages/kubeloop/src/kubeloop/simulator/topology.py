"""The topology of a kind: what of an object is merged and owned part by part, and what as a whole.

A tree that follows the schema, read by server-side apply (structured-merge-diff) and the strategic merge patch. What a
schema does not say is deduced as the real server does it: a map by its keys, a list as a whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

AppliedType = Literal["any", "map", "list", "string", "number", "boolean", "scalar"]


@dataclass(frozen=True, slots=True)
class Topology:
    """Of one value. Whether that is a map or a list is seen from the value itself; `type` is what may be applied."""

    type: AppliedType = "any"
    atomic: bool = False  # a map that is one value (x-kubernetes-map-type: atomic)
    list_type: Literal["atomic", "set", "map"] = "atomic"
    list_keys: tuple[str, ...] = ()  # of list_type map
    key_defaults: Mapping[str, Any] = field(default_factory=dict)  # of such keys as an item may leave out
    fields: Mapping[str, "Topology"] = field(default_factory=dict)  # of a map, by name
    each: "Topology | None" = None  # the items of a list; the values of a map that `fields` does not name
    closed: bool = False  # a map that has no other fields than `fields`

    def of(self, name: str) -> "Topology":
        """That of a field of this map."""
        return self.fields.get(name) or self.each or DEDUCED

    @property
    def item(self) -> "Topology":
        """That of an item of this list."""
        return self.each or DEDUCED


DEDUCED = Topology()

_TEXT = Topology("string")
_TIME = Topology("scalar")
_TEXTS = Topology("map", each=_TEXT)
_OWNER = ("apiVersion", "kind", "name", "uid")
_OWNERS = Topology(
    "list",
    list_type="map",
    list_keys=("uid",),
    key_defaults={"uid": ""},
    each=Topology(
        "map",
        atomic=True,
        closed=True,
        fields={
            **dict.fromkeys(_OWNER, _TEXT),
            **dict.fromkeys(("controller", "blockOwnerDeletion"), Topology("boolean")),
        },
    ),
)

METADATA = Topology(
    "map",
    closed=True,
    fields={
        **dict.fromkeys(("generateName", "name", "namespace", "resourceVersion", "selfLink", "uid"), _TEXT),
        **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), _TIME),
        **dict.fromkeys(("deletionGracePeriodSeconds", "generation"), Topology("number")),
        "annotations": _TEXTS,
        "labels": _TEXTS,
        "finalizers": Topology("list", list_type="set", each=_TEXT),
        "ownerReferences": _OWNERS,
        "managedFields": Topology("list"),
    },
)


def of_object(schema: Topology) -> Topology:
    """That of a whole object: what its schema says, and the fields that every object has."""
    return replace(schema, fields={**schema.fields, "apiVersion": _TEXT, "kind": _TEXT, "metadata": METADATA})
