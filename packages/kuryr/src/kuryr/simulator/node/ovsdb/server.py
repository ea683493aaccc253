"""ovsdb-server of one node: who commits to it, and who hears of it."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any
from uuid import UUID

from kuryr.daemon.ovsdb.client import Operation, TableUpdates
from kuryr.daemon.ovsdb.codec import encode_map, encode_set
from kuryr.simulator.node.ovsdb.schema import SCHEMA, write_value
from kuryr.simulator.node.ovsdb.tables import Changes, Row, Tables


class OvsdbServer:
    """Data survive a restart; connections do not."""

    def __init__(self, random: Random) -> None:
        self._tables = Tables(lambda: str(UUID(int=random.getrandbits(128), version=4)))
        self.running = True
        self._heard: list[Callable[[Changes], None]] = []
        self._connections: list[Callable[[], None]] = []

    def transact(self, *operations: Operation) -> list[Mapping[str, Any]]:
        """RFC 7047's results. Raises ConnectionError while it does not run."""
        if not self.running:
            raise ConnectionError("ovsdb-server does not run")
        results, changes = self._tables.transact(operations)
        if changes:
            for heard in tuple(self._heard):
                heard(changes)
        return results

    def rows(self, table: str) -> Mapping[str, Row]:
        """By UUID, as they are; values are Python's: a set is a sorted tuple, a map a dict."""
        return self._tables.rows[table]

    def named(self, table: str, name: str) -> Row | None:
        return next((row for row in self._tables.rows[table].values() if row["name"] == name), None)

    def subscribe(self, heard: Callable[[Changes], None]) -> Callable[[], None]:
        """Calls `heard` with what each transaction changed; gives the undoing of it."""
        self._heard.append(heard)
        return lambda: self._heard.remove(heard)

    def connect(self, lost: Callable[[], None]) -> Callable[[], None]:
        """Calls `lost` when the server stops; gives the end of the connection."""
        self._connections.append(lost)
        return lambda: self._connections.remove(lost) if lost in self._connections else None

    def stop(self) -> None:
        """As after SIGKILL: connections break; what is committed stays."""
        self.running = False
        connections, self._connections = self._connections, []
        for lost in connections:
            lost()

    def start(self) -> None:
        """Whoever hears of changes looks again."""
        self.running = True
        for heard in tuple(self._heard):
            heard({})

    def add_bridge(self, name: str, *, external_ids: Mapping[str, str], version: str) -> None:
        """As `ovs-vsctl init` and `add-br` do it, and who installs a node sets it up."""
        self.transact(
            {"op": "insert", "table": "Bridge", "uuid-name": "bridge", "row": {"name": name}},
            {
                "op": "insert",
                "table": "Open_vSwitch",
                "row": {
                    "bridges": encode_set([["named-uuid", "bridge"]]),
                    "external_ids": encode_map(external_ids),
                    "ovs_version": version,
                },
            },
        )


def content(server: OvsdbServer, columns: Mapping[str, Sequence[str]]) -> TableUpdates:
    """The answer to a monitor request."""
    return {
        table: {uuid: {"new": _written(table, row, names)} for uuid, row in server.rows(table).items()}
        for table, names in columns.items()
    }


def updates(changes: Changes, columns: Mapping[str, Sequence[str]]) -> TableUpdates:
    """What a monitor of these columns is told."""
    told: dict[str, dict[str, Any]] = {}
    for table, rows in changes.items():
        names = columns.get(table, ())
        for uuid, (before, now) in rows.items():
            changed = [name for name in names if before is None or now is None or before[name] != now[name]]
            if not changed:
                continue
            old = {"old": _written(table, before, changed)} if before is not None else {}
            new = {"new": _written(table, now, names)} if now is not None else {}
            told.setdefault(table, {})[uuid] = {**old, **new}
    return told


def _written(table: str, row: Row, names: Sequence[str]) -> dict[str, Any]:
    columns = SCHEMA[table].columns
    return {name: write_value(columns[name], row[name]) for name in names}
