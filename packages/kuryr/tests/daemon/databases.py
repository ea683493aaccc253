"""A database for the daemon, real or simulated: the same tests run on both."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from kuryr.daemon.ovsdb.client import Database, Observer, OvsdbClient
from kuryr.daemon.ovsdb.replica import COLUMNS
from kuryr.simulator.node.gate import open_gate
from kuryr.simulator.node.machine import BRIDGE
from kuryr.simulator.node.ovsdb.connection import OvsdbConnection
from kuryr.simulator.node.ovsdb.server import OvsdbServer

from .conftest import OvsPrograms, started_ovsdb_server

Connect = Callable[[Observer], Database]


def simulated_server() -> OvsdbServer:
    server = OvsdbServer(Random(1))
    server.add_bridge(BRIDGE, external_ids={"hostname": "node1.example"}, version="3.5.0")
    return server


def connect_to(server: OvsdbServer, *, timeout_s: float = 5.0) -> Connect:
    return lambda observer: OvsdbConnection(server, observer, open_gate, lag_s=lambda: 0.0, timeout_s=timeout_s)


@asynccontextmanager
async def real_database(programs: OvsPrograms, folder: Path) -> AsyncIterator[Connect]:
    async with started_ovsdb_server(programs, folder) as server:
        yield lambda observer: OvsdbClient(server.remote, COLUMNS, observer)


class Recorder:
    """An `Observer` that keeps the content as it was told."""

    def __init__(self) -> None:
        self.content: dict[str, dict[str, Mapping[str, Any]]] = {}
        self.told = 0
        self.news = asyncio.Event()

    def reset(self, updates: Mapping[str, Mapping[str, Any]]) -> None:
        self.content = {}
        self.apply(updates)

    def apply(self, updates: Mapping[str, Mapping[str, Any]]) -> None:
        self.told += 1
        self.news.set()
        for table, rows in updates.items():
            known = self.content.setdefault(table, {})
            for uuid, change in rows.items():
                if "new" in change:
                    known[uuid] = change["new"]
                else:
                    del known[uuid]

    def wake_system(self) -> None:
        return

    async def until_named(self, table: str, name: str) -> None:
        async with asyncio.timeout(10):
            while name not in self.names(table):
                self.news.clear()
                await self.news.wait()

    def names(self, table: str) -> list[str]:
        return sorted(row["name"] for row in self.content.get(table, {}).values())


@asynccontextmanager
async def running(connect: Connect) -> AsyncIterator[tuple[Database, Recorder]]:
    recorder = Recorder()
    database = connect(recorder)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(database.run())
        try:
            async with asyncio.timeout(10):
                await database.wait_connected()
            yield database, recorder
        finally:
            task.cancel()


def insert_port(name: str, bridge: str = BRIDGE, **columns: Any) -> Sequence[Mapping[str, Any]]:
    """The operations for a port with its interface on the bridge."""
    return (
        {"op": "insert", "table": "Interface", "uuid-name": "interface", "row": {"name": name, **columns}},
        {
            "op": "insert",
            "table": "Port",
            "uuid-name": "port",
            "row": {"name": name, "interfaces": ["named-uuid", "interface"]},
        },
        {
            "op": "mutate",
            "table": "Bridge",
            "where": [["name", "==", bridge]],
            "mutations": [["ports", "insert", ["set", [["named-uuid", "port"]]]]],
        },
    )
