"""For tests: `simulate` runs controllers in a simulated cluster on virtual time; `ControlPlane` starts a real one.

Needs `kubeloop[testing]`. The real one is imported when it is asked for: it needs more.
"""

from typing import TYPE_CHECKING, Any

from kubeloop.testing.assets import Assets, MissingAssets, find_assets
from kubeloop.testing.program import Program, StartFailed

if TYPE_CHECKING:
    from kubeloop.testing.control_plane import ControlPlane

__all__ = ["Assets", "ControlPlane", "MissingAssets", "Program", "StartFailed", "find_assets"]


def __getattr__(name: str) -> Any:
    if name == "ControlPlane":
        from kubeloop.testing.control_plane import ControlPlane

        return ControlPlane
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
