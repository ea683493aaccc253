"""What a body has and what changed between two, field by field of the topology."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kubeloop.simulator.field_management.field_sets import FieldSet, Path, item_element, without_below
from kubeloop.simulator.refusals import Body
from kubeloop.simulator.topology import Topology

ABSENT: Any = object()
"""In place of a value that is not there: null is a value."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Paths of what is new, has another value, or is gone. What leads to something new and was not there is new too."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet

    @property
    def written(self) -> FieldSet:
        return self.added | self.modified

    def without_below(self, prefixes: Iterable[Path]) -> "Changes":
        prefixes = tuple(prefixes)
        return Changes(*(without_below(one, prefixes) for one in (self.added, self.modified, self.removed)))


def compare(old: Body, new: Body, topology: Topology) -> Changes:
    """Raises MalformedItem."""
    walk = _Walk()
    walk.values(old, new, topology, ())
    return Changes(frozenset(walk.added), frozenset(walk.modified), frozenset(walk.removed))


@dataclass(slots=True)
class _Walk:
    added: list[Path] = field(default_factory=list)
    modified: list[Path] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)

    def values(self, old: Any, new: Any, topology: Topology, path: Path) -> None:
        if old is new or old == new:
            return
        if old is ABSENT:
            shapes = [shape(new, topology)]
        elif new is ABSENT:
            shapes = [shape(old, topology)]
        else:  # of two shapes where a field may be anything: both are walked
            shapes = list(dict.fromkeys((shape(old, topology), shape(new, topology))))
        leaf = [self._shaped(one, old, new, topology, path) for one in shapes]
        if not any(leaf):
            self._there_or_not(old, new, path)

    def _shaped(self, one: str, old: Any, new: Any, topology: Topology, path: Path) -> bool:
        """Whether it was one value."""
        if one == "map":
            before, after = _map(old), _map(new)
            if (before or after) and not topology.atomic:
                for name in before.keys() | after.keys():
                    inner = (*path, f"f:{name}")
                    self.values(before.get(name, ABSENT), after.get(name, ABSENT), topology.of(name), inner)
                return False
        elif one == "list":
            earlier, later = items(old), items(new)
            if (earlier or later) and topology.list_type != "atomic":
                self._lists(earlier, later, topology, path)
                return False
        if not self._there_or_not(old, new, path) and old != new:
            self.modified.append(path)
        return True

    def _there_or_not(self, old: Any, new: Any, path: Path) -> bool:
        if old is ABSENT:
            self.added.append(path)
        elif new is ABSENT:
            self.removed.append(path)
        return old is ABSENT or new is ABSENT

    def _lists(self, old: list[Any], new: list[Any], topology: Topology, path: Path) -> None:
        before, after = _by_element(old, topology), _by_element(new, topology)
        for element in before.keys() | after.keys():
            inner = (*path, element)
            olds, news = before.get(element, []), after.get(element, [])
            if len(olds) < 2 and len(news) < 2:
                self.values(next(iter(olds), ABSENT), next(iter(news), ABSENT), topology.item, inner)
            elif len(olds) > 1 and len(news) > 1:
                if olds != news:
                    self.modified.append(inner)
            elif len(olds) > 1:  # items that cannot be told apart are one
                if news:
                    self.values(ABSENT, news[0], topology.item, inner)
                self.removed.append(inner)
            else:
                if olds:
                    self.values(olds[0], ABSENT, topology.item, inner)
                self.added.append(inner)


def fields_of(body: Body, topology: Topology) -> FieldSet:
    """The fields that an applied body owns: values, items and entries of free maps; not what only leads to them.

    Raises MalformedItem.
    """
    return frozenset(_fields(body, topology, ()))


def _fields(value: Any, topology: Topology, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and not topology.atomic:
        for name, inner in value.items():
            below = (*path, f"f:{name}")
            yield from _fields(inner, topology.of(name), below)
            if inner is None or inner == {} or name not in topology.fields:
                yield below
    elif isinstance(value, list) and topology.list_type != "atomic":
        for element, same in _by_element(value, topology).items():
            below = (*path, element)
            if len(same) == 1:
                yield from _fields(same[0], topology.item, below)
            yield below
    elif path:
        yield path


def shape(value: Any, topology: Topology) -> str:
    """map, list or scalar; null has that of its type."""
    if isinstance(value, dict):
        return "map"
    if isinstance(value, list):
        return "list"
    if value is None:
        return {"any": "map", "map": "map", "list": "list"}.get(topology.type, "scalar")
    return "scalar"


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _map(value: Any) -> Body:
    return value if isinstance(value, dict) else {}


def _by_element(values: list[Any], topology: Topology) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in values:
        found.setdefault(item_element(item, topology), []).append(item)
    return found
