"""The part of the Open_vSwitch schema that we use (vswitch.ovsschema), and values of its columns.

A value is held as Python's: a set, also one of at most one, as a sorted tuple, a map as a dict, a UUID as its text.
What the schema does not have here is `NotSimulated`: never a plausible answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kuryr.daemon.ovsdb.codec import encode_map, encode_set, encode_uuid

UNLIMITED = 1 << 30


class NotSimulated(Exception):
    """The real server may know this; the simulated one does not."""


class Refused(Exception):
    """An operation or a commit is refused with one of RFC 7047's errors."""

    def __init__(self, error: str, details: str = "") -> None:
        super().__init__(error, details)
        self.error = error
        self.details = details


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """`of`: string, integer or uuid. A set where it may have more or less than one value."""

    of: str = "string"
    least: int = 1
    most: int = 1
    is_map: bool = False
    references: str = ""
    mutable: bool = True

    @property
    def is_set(self) -> bool:
        return not self.is_map and (self.least, self.most) != (1, 1)

    def default(self) -> Any:
        if self.is_map:
            return {}
        if self.is_set:
            return ()
        return 0 if self.of == "integer" else ""

    def check(self, name: str, value: Any) -> None:
        """Raises Refused."""
        if self.is_set and not self.least <= len(value) <= self.most:
            raise Refused("constraint violation", f"{name} has {len(value)} values")


@dataclass(frozen=True, slots=True)
class Table:
    """A row that is not of a root table lives as long as something refers to it. `name` is unique where there is
    one.
    """

    columns: Mapping[str, Column]
    is_root: bool = False

    def column(self, name: str) -> Column:
        if name == "_uuid":
            return _UUID
        try:
            return self.columns[name]
        except KeyError:
            raise NotSimulated(f"the column {name!r} is not simulated") from None


_TEXT, _NUMBER = Column(), Column(of="integer")
_NAME = Column(mutable=False)
_UUID = Column(of="uuid", mutable=False)
_MAP = Column(least=0, most=UNLIMITED, is_map=True)
_MAYBE_TEXT, _MAYBE_NUMBER = Column(least=0), Column(of="integer", least=0)


def _references(table: str, *, least: int = 0) -> Column:
    return Column(of="uuid", least=least, most=UNLIMITED, references=table)


SCHEMA: Mapping[str, Table] = {
    "Open_vSwitch": Table(
        {
            "bridges": _references("Bridge"),
            "cur_cfg": _NUMBER,
            "next_cfg": _NUMBER,
            "external_ids": _MAP,
            "other_config": _MAP,
            "ovs_version": _MAYBE_TEXT,
        },
        is_root=True,
    ),
    "Bridge": Table(
        {
            "name": _NAME,
            "ports": _references("Port"),
            "datapath_type": _TEXT,
            "external_ids": _MAP,
            "other_config": _MAP,
        }
    ),
    "Port": Table({"name": _NAME, "interfaces": _references("Interface", least=1), "external_ids": _MAP}),
    "Interface": Table(
        {
            "name": _NAME,
            "type": _TEXT,
            "mac": _MAYBE_TEXT,
            "mtu_request": _MAYBE_NUMBER,
            "ofport": _MAYBE_NUMBER,
            "error": _MAYBE_TEXT,
            "external_ids": _MAP,
        }
    ),
}


def table_of(name: str) -> Table:
    if name not in SCHEMA:
        raise NotSimulated(f"the table {name!r} is not simulated")
    return SCHEMA[name]


def read_value(column: Column, value: Any, named: Mapping[str, str]) -> Any:
    """A value in RFC 7047's notation; `named` are the UUIDs that the transaction gives names. Raises Refused."""
    match value:
        case ["map", list(pairs)] if column.is_map:
            return {_atom("string", key, named): _atom("string", one, named) for key, one in pairs}
        case ["set", list(atoms)] if column.is_set or column.is_map:
            return tuple(sorted(_atom(column.of, atom, named) for atom in atoms))
        case _ if column.is_map:
            raise Refused("syntax error", f"{value!r} is no map")
        case _:
            atom = _atom(column.of, value, named)
            return (atom,) if column.is_set else atom


def _atom(of: str, value: Any, named: Mapping[str, str]) -> Any:
    match value:
        case ["uuid", str(uuid)] if of == "uuid":
            return uuid
        case ["named-uuid", str(name)] if of == "uuid":
            if name not in named:
                raise Refused("syntax error", f"nothing is inserted as {name!r}")
            return named[name]
        case str() if of == "string":
            return value
        case int() if of == "integer" and not isinstance(value, bool):
            return value
    raise Refused("syntax error", f"{value!r} is no {of}")


def write_value(column: Column, value: Any) -> Any:
    """In RFC 7047's notation."""
    if column.is_map:
        return encode_map(value)
    atoms = [encode_uuid(one) if column.of == "uuid" else one for one in (value if column.is_set else (value,))]
    return atoms[0] if len(atoms) == 1 else encode_set(atoms)
