"""What a database promises, the real ovsdb-server and the simulated one: single cases, then transactions by chance that
both answer the same.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from random import Random
from typing import Any

import pytest

from kuryr.daemon.ovsdb.client import Database, TransactionRefused
from kuryr.daemon.ovsdb.codec import parse_value
from kuryr.daemon.vswitch import VswitchUnavailable
from kuryr.simulator.node.ovsdb.schema import NotSimulated

from .conftest import OvsPrograms
from .databases import Connect, Recorder, connect_to, insert_port, real_database, running, simulated_server

Subject = tuple[Database, Recorder]


@pytest.fixture(params=["simulated", "real"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    if request.param == "simulated":
        yield connect_to(simulated_server())
        return
    programs, folder = request.getfixturevalue("ovs_programs"), request.getfixturevalue("tmp_path")
    async with real_database(programs, folder) as real:
        yield real


@pytest.fixture
async def subject(connect: Connect) -> AsyncIterator[Subject]:
    async with running(connect) as both:
        yield both


async def select(database: Database, table: str, name: str, *columns: str) -> list[Mapping[str, Any]]:
    where = [["name", "==", name]]
    (result,) = await database.transact({"op": "select", "table": table, "where": where, "columns": list(columns)})
    rows: list[Mapping[str, Any]] = result["rows"]
    return rows


async def refused(database: Database, *operations: Mapping[str, Any]) -> str:
    with pytest.raises(TransactionRefused) as caught:
        await database.transact(*operations)
    return caught.value.error


def external_ids(*pairs: tuple[str, str]) -> list[Any]:
    return ["map", [list(pair) for pair in pairs]]


class TestContract:
    async def test_what_a_transaction_changed_has_been_observed_before_its_answer(self, subject: Subject) -> None:
        database, recorder = subject
        await database.transact(*insert_port("tap0", external_ids=external_ids(("iface-id", "port-1"))))
        (row,) = [row for row in recorder.content["Interface"].values() if row["name"] == "tap0"]
        assert row["external_ids"] == external_ids(("iface-id", "port-1"))
        assert row["ofport"] == ["set", []]

    async def test_an_interface_without_a_port_is_collected_at_once(self, subject: Subject) -> None:
        database, recorder = subject
        await database.transact({"op": "insert", "table": "Interface", "row": {"name": "tap0"}})
        assert "tap0" not in recorder.names("Interface")

    async def test_a_port_that_no_bridge_has_any_more_goes_with_its_interface(self, subject: Subject) -> None:
        database, recorder = subject
        await database.transact(*insert_port("tap0"))
        (port,) = await select(database, "Port", "tap0", "_uuid")
        result = await database.transact(
            {
                "op": "mutate",
                "table": "Bridge",
                "where": [["ports", "includes", port["_uuid"]]],
                "mutations": [["ports", "delete", ["set", [port["_uuid"]]]]],
            }
        )
        assert result[0]["count"] == 1
        assert "tap0" not in recorder.names("Interface") + recorder.names("Port")

    async def test_a_row_that_is_still_referred_to_cannot_be_deleted(self, subject: Subject) -> None:
        database, recorder = subject
        await database.transact(*insert_port("tap0"))
        delete = {"op": "delete", "table": "Interface", "where": [["name", "==", "tap0"]]}
        assert await refused(database, delete) == "referential integrity violation"
        assert "tap0" in recorder.names("Interface")

    async def test_names_are_unique(self, subject: Subject) -> None:
        database, _ = subject
        await database.transact(*insert_port("tap0"))
        assert await refused(database, *insert_port("tap0")) == "constraint violation"

    async def test_a_name_may_be_taken_over_in_the_transaction_that_frees_it(self, subject: Subject) -> None:
        database, recorder = subject
        await database.transact(*insert_port("tap0"))
        (port,) = await select(database, "Port", "tap0", "_uuid")
        drop = {
            "op": "mutate",
            "table": "Bridge",
            "where": [["ports", "includes", port["_uuid"]]],
            "mutations": [["ports", "delete", ["set", [port["_uuid"]]]]],
        }
        await database.transact(drop, *insert_port("tap0", type="internal"))
        (row,) = [row for row in recorder.content["Interface"].values() if row["name"] == "tap0"]
        assert row["type"] == "internal"

    async def test_a_refused_operation_undoes_those_before_it(self, subject: Subject) -> None:
        database, recorder = subject
        wait = {"op": "wait", "timeout": 0, "table": "Interface", "where": [], "columns": ["_uuid"], "until": "=="}
        operations = (*insert_port("tap0"), {**wait, "rows": []})
        assert await refused(database, *operations) == "timed out"
        assert "tap0" not in recorder.names("Interface")

    async def test_abort_undoes_all(self, subject: Subject) -> None:
        database, recorder = subject
        assert await refused(database, *insert_port("tap0"), {"op": "abort"}) == "aborted"
        assert "tap0" not in recorder.names("Interface")

    async def test_a_transaction_that_changes_nothing_is_no_news(self, subject: Subject) -> None:
        database, recorder = subject
        await database.transact(*insert_port("tap0"))
        told = recorder.told
        where = [["name", "==", "tap0"]]
        await database.transact({"op": "update", "table": "Interface", "where": where, "row": {"type": ""}})
        await database.transact({"op": "comment", "comment": "nothing"})
        assert recorder.told == told

    async def test_a_key_that_is_there_is_not_inserted_into_a_map(self, subject: Subject) -> None:
        database, _ = subject
        await database.transact(*insert_port("tap0", external_ids=external_ids(("a", "1"))))
        mutation = ["external_ids", "insert", external_ids(("a", "2"), ("b", "3"))]
        where = [["name", "==", "tap0"]]
        await database.transact({"op": "mutate", "table": "Interface", "where": where, "mutations": [mutation]})
        (row,) = await select(database, "Interface", "tap0", "external_ids")
        assert row["external_ids"] == external_ids(("a", "1"), ("b", "3"))

    async def test_a_name_cannot_be_changed(self, subject: Subject) -> None:
        database, _ = subject
        await database.transact(*insert_port("tap0"))
        where = [["name", "==", "tap0"]]
        change = {"op": "update", "table": "Interface", "where": where, "row": {"name": "tap1"}}
        assert await refused(database, change) == "constraint violation"

    async def test_two_connections_see_each_others_changes(self, connect: Connect) -> None:
        async with running(connect) as (one, _), running(connect) as (_, other):
            await one.transact(*insert_port("tap0"))
            await other.until_named("Interface", "tap0")

    async def test_a_cancelled_transaction_takes_place_before_any_later_one(self, subject: Subject) -> None:
        database, recorder = subject
        task = asyncio.ensure_future(database.transact(*insert_port("tap0")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        await database.transact(*insert_port("tap1"))
        assert {"tap0", "tap1"} <= set(recorder.names("Interface"))


class TestSimulated:
    async def test_a_stop_breaks_connections_and_keeps_what_is_committed(self) -> None:
        server = simulated_server()
        async with running(connect_to(server, timeout_s=0.2)) as (database, recorder):
            await database.transact(*insert_port("tap0"))
            server.stop()
            with pytest.raises(VswitchUnavailable):
                await database.transact(*insert_port("tap1"))
            assert not database.connected
            server.start()
            await database.wait_connected()
            assert "tap0" in recorder.names("Interface")
            assert "tap1" not in recorder.names("Interface")

    @pytest.mark.parametrize(
        "operation",
        [
            {"op": "assert", "lock": "mine"},
            {"op": "select", "table": "QoS", "where": []},
            {"op": "select", "table": "Interface", "where": [["lacp_current", "==", True]]},
            {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "*=", 2]]},
            {"op": "select", "table": "Open_vSwitch", "where": [["next_cfg", "<", 2]]},
        ],
    )
    def test_what_is_not_simulated_says_so(self, operation: Mapping[str, Any]) -> None:
        server = simulated_server()
        server.transact(*insert_port("tap0"))
        with pytest.raises(NotSimulated):
            server.transact(operation)


class Chance:
    """Operations by chance, on few names so that they meet."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def transaction(self) -> list[Mapping[str, Any]]:
        make = self._random.choice
        return [
            operation
            for _ in range(self._random.randint(1, 3))
            for operation in make((self._insert, self._drop, self._ids, self._look, self._wait, self._delete))()
        ]

    def _name(self) -> str:
        return self._random.choice(("tap0", "tap1", "tap2"))

    def _where(self) -> list[Any]:
        name = ["name", self._random.choice(("==", "!=", "includes", "excludes")), self._name()]
        pair = external_ids((self._random.choice("ab"), self._random.choice("12")))
        ids = ["external_ids", self._random.choice(("==", "!=", "includes", "excludes")), pair]
        return self._random.choice(([name], [ids], [name, ids]))

    def _pairs(self) -> list[Any]:
        return external_ids(*((key, self._random.choice("12")) for key in "ab" if self._random.random() < 0.6))

    def _insert(self) -> Sequence[Mapping[str, Any]]:
        suffix = str(self._random.getrandbits(40))  # names of one transaction must not meet
        name, ids = self._name(), self._pairs()
        interface, port, bridge = insert_port(name, external_ids=ids)
        row = {"name": name, "interfaces": ["named-uuid", "i" + suffix]}
        mutation = ["ports", "insert", ["set", [["named-uuid", "p" + suffix]]]]
        parts = [
            {**interface, "uuid-name": "i" + suffix},
            {**port, "uuid-name": "p" + suffix, "row": row},
            {**bridge, "mutations": [mutation]},
        ]
        return parts if self._random.random() < 0.9 else parts[:2]

    def _drop(self) -> Sequence[Mapping[str, Any]]:
        row = {"ports": ["set", []]}
        return ({"op": "update", "table": "Bridge", "where": [["name", "==", "br-int"]], "row": row},)

    def _ids(self) -> Sequence[Mapping[str, Any]]:
        kind = self._random.choice(("insert", "delete", "keys", "update"))
        if kind == "update":
            row = {"external_ids": self._pairs(), "mac": self._random.choice(("x", ["set", []], ["set", ["y"]]))}
            return ({"op": "update", "table": "Interface", "where": self._where(), "row": row},)
        argument = ["set", [self._random.choice("ab")]] if kind == "keys" else self._pairs()
        mutation = ["external_ids", "insert" if kind == "insert" else "delete", argument]
        return ({"op": "mutate", "table": "Interface", "where": self._where(), "mutations": [mutation]},)

    def _look(self) -> Sequence[Mapping[str, Any]]:
        columns = ["name", "external_ids", "mac"]
        return ({"op": "select", "table": "Interface", "where": self._where(), "columns": columns},)

    def _wait(self) -> Sequence[Mapping[str, Any]]:
        rows = [{"name": name} for name in ("tap0", "tap1", "tap2") if self._random.random() < 0.3]
        until = self._random.choice(("==", "!="))
        wait = {"op": "wait", "timeout": 0, "table": "Interface", "where": self._where(), "columns": ["name"]}
        return ({**wait, "until": until, "rows": rows},)

    def _delete(self) -> Sequence[Mapping[str, Any]]:
        table = self._random.choice(("Interface", "Port", "Port"))
        return ({"op": "delete", "table": table, "where": [["name", "==", self._name()]]},)


async def outcome(database: Database, operations: Sequence[Mapping[str, Any]]) -> Any:
    """What can be compared: no UUIDs, and rows in no order."""
    try:
        results = await database.transact(*operations)
    except TransactionRefused as refusal:
        operation = refusal.operation
        return refusal.error, operation and operation["op"]
    return [sorted(map(comparable, one["rows"])) if "rows" in one else one.get("count") for one in results]


def comparable(row: Mapping[str, Any], *columns: str) -> str:
    """Columns, and the pairs of maps, come in no order."""
    values = {name: parse_value(row[name]) for name in columns or row}
    ordered = {name: sorted(value.items()) if isinstance(value, dict) else value for name, value in values.items()}
    return repr(sorted(ordered.items()))


def told(recorder: Recorder, table: str, *columns: str) -> list[str]:
    return sorted(comparable(row, *columns) for row in recorder.content.get(table, {}).values())


async def test_transactions_by_chance_are_answered_and_told_alike(
    ovs_programs: OvsPrograms, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for seed in range(6):
        chance, history = Chance(Random(seed)), []
        server = simulated_server()
        folder = tmp_path_factory.mktemp(f"real-{seed}")
        async with (
            real_database(ovs_programs, folder) as connect,
            running(connect) as (real, real_told),
            running(connect_to(server)) as (simulated, simulated_told),
        ):
            # ovs-vsctl gives a new bridge a port of its name, which nothing here looks at
            await real.transact(*empty_bridge())
            for _ in range(150):
                operations = chance.transaction()
                history.append(operations)
                expected = await outcome(real, operations)
                assert await outcome(simulated, operations) == expected, f"seed {seed}: {history[-3:]}"
                for table, columns in (("Interface", ("name", "external_ids", "mac")), ("Port", ("name",))):
                    seen = told(simulated_told, table, *columns)
                    assert seen == told(real_told, table, *columns), f"seed {seed}: {history[-3:]}"


def empty_bridge() -> Sequence[Mapping[str, Any]]:
    return ({"op": "update", "table": "Bridge", "where": [], "row": {"ports": ["set", []]}},)
