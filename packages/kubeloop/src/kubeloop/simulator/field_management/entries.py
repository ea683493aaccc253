"""The entries of managedFields: who owns what, by which operation, since when."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from kubeloop.simulator.field_management.field_sets import FieldSet, fields_tree, parse_fields
from kubeloop.simulator.refusals import Body
from kubeloop.simulator.topology import Topology

_MOST_UPDATERS = 10
_OLDEST = "ancient-changes"


class Manager(NamedTuple):
    """What tells one entry from another. An applier is the same in every version of the API."""

    name: str
    operation: str  # Apply or Update
    subresource: str = ""
    api_version: str = ""  # of updates

    def text(self) -> str:
        """As a conflict names it."""
        text = json.dumps(self.name)
        if self.subresource:
            text += f" with subresource {json.dumps(self.subresource)}"
        return f"{text} using {self.api_version}" if self.operation == "Update" else text

    def order(self) -> str:
        """Conflicts are told in this order."""
        named = {
            "manager": self.name,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "subresource": self.subresource,
        }
        return json.dumps({key: value for key, value in named.items() if value}, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Owned:
    """The fields of one manager; the time is that of the last change that it made, or none."""

    fields: FieldSet
    api_version: str
    time: str = ""


Managed = dict[Manager, Owned]


def read_entries(entries: Any, topology: Topology) -> Managed:
    """Raises ValueError for what is no list of entries."""
    managed: Managed = {}
    for entry in entries or ():
        operation, api_version = entry.get("operation"), entry.get("apiVersion")
        if operation not in ("Apply", "Update") or not api_version or entry.get("fieldsType") != "FieldsV1":
            raise ValueError("no entry of managedFields")
        version = api_version if operation == "Update" else ""
        manager = Manager(entry.get("manager", ""), operation, entry.get("subresource", ""), version)
        fields = parse_fields(entry.get("fieldsV1") or {}, topology)
        managed[manager] = Owned(fields, api_version, entry.get("time") or "")
    return managed


def write_entries(managed: Managed) -> list[Body]:
    """Appliers first, then by time."""
    found = sorted(managed.items(), key=lambda item: _order(*item))
    return [_entry(manager, owned) for manager, owned in found]


def _order(manager: Manager, owned: Owned) -> tuple[str, ...]:
    return manager.operation, owned.time, manager.name, owned.api_version, manager.subresource


def _entry(manager: Manager, owned: Owned) -> Body:
    entry: Body = {"manager": manager.name, "operation": manager.operation, "apiVersion": owned.api_version}
    if owned.time:
        entry["time"] = owned.time
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": fields_tree(owned.fields)}
    return {**entry, "subresource": manager.subresource} if manager.subresource else entry


def with_few_updaters(managed: Managed) -> Managed:
    """Of more than ten updaters the oldest become one per version, without a name of their own."""
    updaters = sorted(
        (manager for manager in managed if manager.operation == "Update"),
        key=lambda manager: (managed[manager].time, manager.order()),
    )
    surplus = len(updaters) - _MOST_UPDATERS
    found = dict(managed)
    first: dict[str, Manager] = {}
    for manager in updaters:
        if surplus <= 0:
            break
        owned = managed[manager]
        oldest = Manager(_OLDEST, "Update", api_version=owned.api_version)
        if owned.api_version not in first:
            first[owned.api_version] = manager
            continue
        if oldest not in found:
            found[oldest] = found.pop(first[owned.api_version])
        fields = owned.fields | found[oldest].fields
        del found[manager]
        found[oldest] = replace(owned, fields=fields)
        surplus -= 1
    return found


def without_fields(managed: Managed, gone: FieldSet, *, but: Manager | None = None) -> Managed:
    """Takes fields from all managers but one; who has none left is not listed."""
    found = {}
    for manager, owned in managed.items():
        left = owned if manager == but or owned.fields.isdisjoint(gone) else replace(owned, fields=owned.fields - gone)
        if left.fields:
            found[manager] = left
    return found


def all_fields(owners: Iterable[Owned]) -> FieldSet:
    return frozenset().union(*(owned.fields for owned in owners))
