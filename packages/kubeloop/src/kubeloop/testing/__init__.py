"""For tests: scenarios, which run controllers in a simulated cluster on virtual time; `ControlPlane` starts a real one.

Needs `kubeloop[testing]`. Each name is imported when it is asked for: pytest loads our plug-in in projects that use
none.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubeloop.testing.assets import Assets, MissingAssets, find_assets
    from kubeloop.testing.backends import backend_call
    from kubeloop.testing.control_plane import ControlPlane
    from kubeloop.testing.exploration import Exploration, explore
    from kubeloop.testing.failures import NotDeterministic, ScenarioFailed
    from kubeloop.testing.faults import Fault, FaultKind, ScriptedFaults, SeededFaults
    from kubeloop.testing.incarnation import Process
    from kubeloop.testing.naming import load_module
    from kubeloop.testing.program import Program, StartFailed
    from kubeloop.testing.pytest_plugin import Simulation
    from kubeloop.testing.scenario import Scenario
    from kubeloop.testing.trace import Trace
    from kubeloop.testing.workers import Workers
    from kubeloop.testing.world import SimulationFailed, World, simulate

__all__ = [
    "Assets",
    "ControlPlane",
    "Exploration",
    "Fault",
    "FaultKind",
    "MissingAssets",
    "NotDeterministic",
    "Process",
    "Program",
    "Scenario",
    "ScenarioFailed",
    "ScriptedFaults",
    "SeededFaults",
    "Simulation",
    "SimulationFailed",
    "StartFailed",
    "Trace",
    "Workers",
    "World",
    "backend_call",
    "explore",
    "find_assets",
    "load_module",
    "simulate",
]

_MODULES = {
    "assets": ("Assets", "MissingAssets", "find_assets"),
    "backends": ("backend_call",),
    "control_plane": ("ControlPlane",),
    "exploration": ("Exploration", "explore"),
    "failures": ("NotDeterministic", "ScenarioFailed"),
    "faults": ("Fault", "FaultKind", "ScriptedFaults", "SeededFaults"),
    "incarnation": ("Process",),
    "naming": ("load_module",),
    "program": ("Program", "StartFailed"),
    "pytest_plugin": ("Simulation",),
    "scenario": ("Scenario",),
    "trace": ("Trace",),
    "workers": ("Workers",),
    "world": ("SimulationFailed", "World", "simulate"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
