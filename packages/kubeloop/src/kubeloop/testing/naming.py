"""Scenarios by name, so that another process, or a person, can run one: `module:NAME` or `path/to/file.py:NAME`, where
NAME is the scenario's, or that of the variable that holds it. Without NAME: all of the module.

A scenario is found among a module's variables, and one level inside those that are lists, tuples or dicts.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from kubeloop.testing.scenario import Scenario


class UnknownScenario(Exception):
    """No scenario has that name. The message says which there are."""


def scenarios_of(module: ModuleType) -> dict[str, Scenario]:
    """All scenarios that a module made or holds, by their names. Raises ValueError for two of one name."""
    found: dict[str, Scenario] = {}
    for scenario in _all_of(module):
        if found.setdefault(scenario.name, scenario) is not scenario:
            raise ValueError(f"{module.__name__} has two scenarios {scenario.name!r}")
    return found


def load_scenarios(target: str) -> list[tuple[str, Scenario]]:
    """The scenarios that `target` names, each with its own full name. Raises `UnknownScenario` or ImportError."""
    where, _, name = target.partition(":")
    module = load_module(where)
    found = scenarios_of(module)
    if name:
        chosen = found.get(name) or getattr(module, name, None)
        if not isinstance(chosen, Scenario):
            raise UnknownScenario(f"{where} has no scenario {name!r}; it has {', '.join(found) or 'none'}")
        found = {chosen.name: chosen}
    if not found:
        raise UnknownScenario(f"{where} has no scenario")
    return [(f"{where}:{each}", scenario) for each, scenario in found.items()]


def load_scenario(target: str) -> Scenario:
    """The one scenario that `target` names. Raises `UnknownScenario` or ImportError."""
    ((_, scenario),) = load_scenarios(target)
    return scenario


def target_of(scenario: Scenario) -> str:
    """How another process finds this scenario. Raises `UnknownScenario` for one that no module holds."""
    module = sys.modules.get(scenario.module)
    if module is None or scenarios_of(module).get(scenario.name) is not scenario:
        raise UnknownScenario(
            f"scenario {scenario.name!r} must be a variable of the module that makes it ({scenario.module}), as other "
            "processes look for it there"
        )
    path = Path(module.__file__ or "")
    if path.suffix != ".py":
        return f"{scenario.module}:{scenario.name}"
    return f"{os.path.relpath(path) if path.is_relative_to(Path.cwd()) else path}:{scenario.name}"


def load_module(where: str) -> ModuleType:
    """A module by name, or by its file: then as part of the package that its folder belongs to, if it does."""
    if not where.endswith(".py"):
        return importlib.import_module(where)
    path = Path(where).resolve()
    if not path.exists():
        raise UnknownScenario(f"there is no file {where}")
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == str(path):
            return module
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))  # first: packages called `tests` are many
    return importlib.import_module(".".join(parts))


def _all_of(module: ModuleType) -> Iterator[Scenario]:
    seen: set[int] = set()
    for value in list(vars(module).values()):
        for each in _members(value):
            if isinstance(each, Scenario) and id(each) not in seen:
                seen.add(id(each))
                yield each


def _members(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple):
        yield from value
    else:
        yield value
