"""The local copy of the rows we need, fed by the monitor. No I/O.

Interfaces are found by name, and whoever waits for one is woken by changes of that one only: with a hundred ADDs under
way, waking all for each change is a hundred times the work.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kuryr.daemon.ovsdb.client import TableUpdates
from kuryr.daemon.ovsdb.codec import as_set, parse_value

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "Open_vSwitch": ("external_ids", "ovs_version", "cur_cfg"),
    "Bridge": ("name", "ports"),
    "Port": ("name", "interfaces"),
    "Interface": ("name", "external_ids", "ofport", "error", "type", "mac", "mtu_request"),
}

Row = Mapping[str, Any]


class Replica:
    """Tables by UUID. `complete` once the first monitor's answer is in; kept, and then stale, while disconnected."""

    def __init__(self) -> None:
        self.complete = False
        self._tables: dict[str, dict[str, Row]] = {table: {} for table in COLUMNS}
        self._interfaces: dict[str, str] = {}
        self._watchers: dict[str | None, list[asyncio.Event]] = {}  # woken in the order in which they came

    def reset(self, updates: TableUpdates) -> None:
        self._tables = {table: {} for table in COLUMNS}
        self._interfaces = {}
        self.complete = True
        self.apply(updates)
        for name in self._watchers:
            self._wake(name)

    def apply(self, updates: TableUpdates) -> None:
        for table, rows in updates.items():
            known = self._tables.setdefault(table, {})
            # Deletions first: a row that replaces another may have its name.
            for uuid, change in sorted(rows.items(), key=lambda item: "new" in item[1]):
                old = known.pop(uuid, None)
                new = {column: parse_value(value) for column, value in change.get("new", {}).items()}
                if new:
                    known[uuid] = new
                if table == "Interface":
                    self._interface_changed(uuid, old, new)
                elif table == "Open_vSwitch" or (table == "Bridge" and bool(old) != bool(new)):
                    self.wake_system()

    def _interface_changed(self, uuid: str, old: Row | None, new: Row) -> None:
        if old and self._interfaces.get(old["name"]) == uuid:
            del self._interfaces[old["name"]]
        if new:
            self._interfaces[new["name"]] = uuid
        for name in {row["name"] for row in (old, new) if row}:
            self._wake(name)

    def wake_system(self) -> None:
        """Wakes whoever waits for news of the whole: also when the connection came or went."""
        self._wake(None)

    def _wake(self, name: str | None) -> None:
        for event in self._watchers.get(name, ()):
            event.set()

    def rows(self, table: str) -> Mapping[str, Row]:
        return self._tables[table]

    def system(self) -> Row | None:
        """The Open_vSwitch row."""
        return next(iter(self._tables["Open_vSwitch"].values()), None)

    def interface(self, name: str) -> Row | None:
        uuid = self._interfaces.get(name)
        return self._tables["Interface"][uuid] if uuid else None

    def interface_uuid(self, name: str) -> str | None:
        return self._interfaces.get(name)

    def port_uuid(self, interface_uuid: str) -> str | None:
        ports = self._tables["Port"].items()
        return next((uuid for uuid, row in ports if interface_uuid in as_set(row["interfaces"])), None)

    def bridge(self, name: str) -> str | None:
        """A bridge's UUID by its name."""
        return next((uuid for uuid, row in self._tables["Bridge"].items() if row["name"] == name), None)

    @contextmanager
    def watch(self, name: str | None) -> Iterator[asyncio.Event]:
        """An event that is set whenever the interface of that name changes; with None, the Open_vSwitch row,
        the set of bridges or the connection.
        """
        event = asyncio.Event()
        self._watchers.setdefault(name, []).append(event)
        try:
            yield event
        finally:
            self._watchers[name].remove(event)
            if not self._watchers[name]:
                del self._watchers[name]
