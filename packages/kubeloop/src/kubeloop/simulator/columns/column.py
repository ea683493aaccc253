"""A column of a table: its name, and what it shows of an object. The parts of which the built-in kinds' are made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubeloop.simulator.cells import age
from kubeloop.simulator.refusals import Body
from kubeloop.simulator.selectors import label_selector_text

Cell = Callable[[Body, datetime], Any]
NONE = "<none>"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. A wide one is shown by `-o wide` alone."""

    name: str
    cell: Cell
    type: str = "string"
    wide: bool = False
    format: str = ""
    description: str = ""

    def definition(self) -> Body:
        """As it stands in a Table."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": 1 if self.wide else 0,
        }


def at(body: Any, *path: str | int, default: Any = None) -> Any:
    """What is at `path`; the default for what is not there, or null."""
    for step in path:
        if isinstance(step, int):
            body = body[step] if isinstance(body, list) and len(body) > step else None
        else:
            body = body.get(step) if isinstance(body, dict) else None
    return default if body is None else body


def path_column(name: str, *path: str | int, default: Any = "", type: str = "string", wide: bool = False) -> Column:
    return Column(name, lambda body, _: at(body, *path, default=default), type, wide)


def count(name: str, *path: str) -> Column:
    return path_column(name, *path, default=0, type="integer")


def made(name: str, cell: Callable[[Body], Any], *, type: str = "string", wide: bool = False) -> Column:
    return Column(name, lambda body, _: cell(body), type, wide)


NAME = Column("Name", lambda body, _: at(body, "metadata", "name", default=""), format="name")
AGE = Column("Age", lambda body, now: age(at(body, "metadata", "creationTimestamp"), now))
CREATED_AT = Column(
    "Created At", lambda body, _: at(body, "metadata", "creationTimestamp", default="<unknown>"), type="date"
)
BY_AGE = (NAME, AGE)


def size(body: Body, field: str) -> int:
    return len(body.get(field) or ())


def containers(*path: str, wide: bool = True) -> tuple[Column, Column]:
    """Names and images of a template's containers."""

    def each(field: str) -> Callable[[Body], str]:
        return lambda body: ",".join(at(one, field, default="") for one in at(body, *path, "containers", default=[]))

    return made("Containers", each("name"), wide=wide), made("Images", each("image"), wide=wide)


def labels_text(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or NONE


def selector(*path: str, plain: bool = False) -> Column:
    def cell(body: Body) -> str:
        found = at(body, *path)
        return labels_text(found or {}) if plain else label_selector_text(found) or NONE

    return made("Selector", cell, wide=True)
