"""The topology of a kind: what of an object is merged and owned part by part, and what as a whole.

A tree that follows the schema, read by server-side apply (structured-merge-diff) and the strategic merge patch. What a
schema does not say is deduced as the real server does it: a map by its keys, a list as a whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Topology:
    """Of one value; whether that is a map or a list is seen from the value itself."""

    atomic: bool = False  # a map that is one value (x-kubernetes-map-type: atomic)
    list_type: Literal["atomic", "set", "map"] = "atomic"
    list_keys: tuple[str, ...] = ()  # of list_type map
    key_defaults: Mapping[str, Any] = field(default_factory=dict)  # of such keys as an item may leave out
    fields: Mapping[str, "Topology"] = field(default_factory=dict)  # of a map, by name
    each: "Topology | None" = None  # the items of a list; the values of a map that `fields` does not name

    def of(self, name: str) -> "Topology":
        """That of a field of this map."""
        return self.fields.get(name) or self.each or DEDUCED

    @property
    def item(self) -> "Topology":
        """That of an item of this list."""
        return self.each or DEDUCED


DEDUCED = Topology()
