"""The rows of the database, and one transaction on them: whole or not at all, as RFC 7047 has it.

At the commit references must lead somewhere, rows that nothing refers to are collected, and names are unique.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kuryr.daemon.ovsdb.client import Operation
from kuryr.simulator.node.ovsdb.schema import SCHEMA, Column, NotSimulated, Refused, read_value, table_of, write_value

Row = Mapping[str, Any]
Changes = Mapping[str, Mapping[str, tuple[Row | None, Row | None]]]
"""Table -> UUID -> the row before and after."""


class Tables:
    """What is committed."""

    def __init__(self, new_uuid: Callable[[], str]) -> None:
        self.new_uuid = new_uuid
        self.rows: dict[str, dict[str, Row]] = {table: {} for table in SCHEMA}
        self.references: Counter[str] = Counter()

    def transact(self, operations: Sequence[Operation]) -> tuple[list[Mapping[str, Any]], Changes]:
        """One result for each operation, up to the first that is refused; one more where the commit is."""
        transaction = _Transaction(self, operations)
        results: list[Mapping[str, Any]] = []
        try:
            for operation in operations:
                results.append(transaction.apply(operation))
            return results, transaction.commit()
        except Refused as refused:
            return [*results, {"error": refused.error, "details": refused.details}], {}


class _Transaction:
    """Sees what it has changed; nobody else does before the commit."""

    def __init__(self, tables: Tables, operations: Sequence[Operation]) -> None:
        self._tables = tables
        self._changed: dict[str, dict[str, Row | None]] = {table: {} for table in SCHEMA}
        self._named = {each["uuid-name"]: tables.new_uuid() for each in operations if "uuid-name" in each}

    def apply(self, operation: Operation) -> Mapping[str, Any]:
        """Raises Refused."""
        match operation["op"]:
            case "insert":
                return self._insert(operation)
            case "select":
                return {"rows": self._project(operation, [row for _, row in self._matching(operation)])}
            case "update":
                return self._replace(operation, lambda row: self._updated(operation, row))
            case "mutate":
                return self._replace(operation, lambda row: self._mutated(operation, row))
            case "delete":
                return self._delete(operation)
            case "wait":
                return self._wait(operation)
            case "comment":
                return {}
            case "abort":
                raise Refused("aborted")
        raise NotSimulated(f"the operation {operation['op']!r} is not simulated")

    def _insert(self, operation: Operation) -> Mapping[str, Any]:
        table = table_of(operation["table"])
        uuid = self._named.get(operation.get("uuid-name", "")) or self._tables.new_uuid()
        row = {name: column.default() for name, column in table.columns.items()}
        given = {name: self._value(table.column(name), name, value) for name, value in operation["row"].items()}
        self._changed[operation["table"]][uuid] = {**row, **given, "_uuid": uuid}
        return {"uuid": ["uuid", uuid]}

    def _value(self, column: Column, name: str, notation: Any) -> Any:
        value = read_value(column, notation, self._named)
        column.check(name, value)
        return value

    def _rows(self, table: str) -> Iterator[tuple[str, Row]]:
        changed = self._changed[table]
        for uuid, row in self._tables.rows[table].items():
            if uuid not in changed:
                yield uuid, row
        for uuid, now in changed.items():
            if now is not None:
                yield uuid, now

    def _matching(self, operation: Operation) -> list[tuple[str, Row]]:
        table = table_of(operation["table"])
        clauses = [
            _clause(table.column(name), name, how, value, self._named) for name, how, value in operation["where"]
        ]
        return [(uuid, row) for uuid, row in self._rows(operation["table"]) if all(holds(row) for holds in clauses)]

    def _project(self, operation: Operation, rows: Sequence[Row]) -> list[Mapping[str, Any]]:
        table = table_of(operation["table"])
        names = operation.get("columns") or ["_uuid", *table.columns]
        found = [{name: write_value(table.column(name), row[name]) for name in names} for row in rows]
        return [one for number, one in enumerate(found) if one not in found[:number]]  # those that look alike are one

    def _replace(self, operation: Operation, replaced: Callable[[Row], Row]) -> Mapping[str, Any]:
        found = self._matching(operation)
        for uuid, row in found:
            self._changed[operation["table"]][uuid] = replaced(row)
        return {"count": len(found)}

    def _updated(self, operation: Operation, row: Row) -> Row:
        table = table_of(operation["table"])
        values = {}
        for name, notation in operation["row"].items():
            values[name] = self._value(_mutable(table.column(name), name), name, notation)
        return {**row, **values}

    def _mutated(self, operation: Operation, row: Row) -> Row:
        table = table_of(operation["table"])
        now = dict(row)
        for name, mutator, notation in operation["mutations"]:
            column = _mutable(table.column(name), name)
            now[name] = _mutate(now[name], mutator, read_value(column, notation, self._named))
            column.check(name, now[name])
        return now

    def _delete(self, operation: Operation) -> Mapping[str, Any]:
        found = self._matching(operation)
        for uuid, _ in found:
            self._changed[operation["table"]][uuid] = None
        return {"count": len(found)}

    def _wait(self, operation: Operation) -> Mapping[str, Any]:
        if operation.get("timeout") != 0:
            raise NotSimulated("a `wait` that waits is not simulated: only timeout 0 is")
        table, columns = table_of(operation["table"]), operation["columns"]
        wanted = [
            [read_value(table.column(name), row[name], self._named) for name in columns] for row in operation["rows"]
        ]
        found = [[row[name] for name in columns] for _, row in self._matching(operation)]
        equal = all(one in found for one in wanted) and all(one in wanted for one in found)
        if equal != (operation["until"] == "=="):
            raise Refused("timed out", '"where" clause test failed')
        return {}

    def commit(self) -> Changes:
        """Raises Refused."""
        if not any(self._changed.values()):
            return {}
        counts = self._collect()
        self._check_names()
        self._tables.references = +counts
        changes = self._changes()
        for table, rows in changes.items():
            for uuid, (_, now) in rows.items():
                if now is None:
                    del self._tables.rows[table][uuid]
                else:
                    self._tables.rows[table][uuid] = now
        return changes

    def _collect(self) -> Counter[str]:
        """Deletes rows that nothing refers to; gives how often each is referred to then. Raises Refused."""
        counts = self._tables.references.copy()
        suspects: list[tuple[str, str]] = []
        for table, rows in self._changed.items():
            for uuid, now in rows.items():
                suspects += [(table, uuid), *_count(counts, table, self._tables.rows[table].get(uuid), -1)]
                _count(counts, table, now, +1)
        # before the collection: also where it would take who refers to it
        for uuid in counts.keys() - self._tables.references.keys() | self._gone():
            if counts[uuid] > 0 and not any(self._row(table, uuid) for table in SCHEMA):
                raise Refused("referential integrity violation", f"something refers to {uuid}, which is not there")
        while suspects:
            table, uuid = suspects.pop()
            row = self._row(table, uuid)
            if row is not None and not SCHEMA[table].is_root and not counts[uuid]:
                self._changed[table][uuid] = None
                suspects += _count(counts, table, row, -1)
        return counts

    def _changes(self) -> Changes:
        changes: dict[str, dict[str, tuple[Row | None, Row | None]]] = {}
        for table, changed in self._changed.items():
            for uuid, now in changed.items():
                before = self._tables.rows[table].get(uuid)
                if before != now:
                    changes.setdefault(table, {})[uuid] = (before, now)
        return changes

    def _gone(self) -> set[str]:
        return {uuid for rows in self._changed.values() for uuid, now in rows.items() if now is None}

    def _row(self, table: str, uuid: str) -> Row | None:
        changed = self._changed[table]
        return changed[uuid] if uuid in changed else self._tables.rows[table].get(uuid)

    def _check_names(self) -> None:
        for table, changed in self._changed.items():
            new = {row["name"] for row in changed.values() if row is not None and "name" in row}
            if new:
                names = Counter(row["name"] for _, row in self._rows(table) if row["name"] in new)
                for row in changed.values():
                    if row is not None and names[row["name"]] > 1:
                        raise Refused("constraint violation", f"{table} would have {row['name']!r} twice")


def _count(counts: Counter[str], table: str, row: Row | None, by: int) -> list[tuple[str, str]]:
    """Counts a row's references; gives whom it refers to."""
    found = [
        (column.references, uuid)
        for name, column in SCHEMA[table].columns.items()
        if column.references and row is not None
        for uuid in row[name]
    ]
    for _, uuid in found:
        counts[uuid] += by
    return found


def _mutable(column: Column, name: str) -> Column:
    if not column.mutable:
        raise Refused("constraint violation", f"{name} cannot be changed")
    return column


def _mutate(value: Any, mutator: str, argument: Any) -> Any:
    match mutator:
        case "+=" if isinstance(value, int):
            return value + argument
        case "-=" if isinstance(value, int):
            return value - argument
        case "insert" if isinstance(value, dict):
            return {**argument, **value}  # what is there stays
        case "delete" if isinstance(value, dict):
            pairs = argument if isinstance(argument, dict) else dict.fromkeys(argument)
            return {key: one for key, one in value.items() if key not in pairs or pairs[key] not in (None, one)}
        case "insert" if isinstance(value, tuple):
            return tuple(sorted({*value, *argument}))
        case "delete" if isinstance(value, tuple):
            return tuple(one for one in value if one not in argument)
    raise NotSimulated(f"the mutator {mutator!r} is not simulated for {value!r}")


def _clause(column: Column, name: str, how: str, notation: Any, named: Mapping[str, str]) -> Callable[[Row], bool]:
    value = read_value(column, notation, named)
    match how:
        case "==":
            return lambda row: bool(row[name] == value)
        case "!=":
            return lambda row: bool(row[name] != value)
        case "includes":
            return lambda row: _includes(row[name], value)
        case "excludes":
            return lambda row: not _has_any(row[name], value)
    raise NotSimulated(f"the condition {how!r} is not simulated")


def _includes(value: Any, part: Any) -> bool:
    if isinstance(value, dict):
        return bool(value.items() >= part.items())
    return all(one in value for one in part) if isinstance(value, tuple) else bool(value == part)


def _has_any(value: Any, part: Any) -> bool:
    if isinstance(value, dict):
        return any(value.get(key) == one for key, one in part.items())
    return any(one in value for one in part) if isinstance(value, tuple) else bool(value == part)
