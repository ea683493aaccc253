"""For tests against a real API server: `ControlPlane` starts one. Needs `kubeloop[testing]`."""

from kubeloop.testing.assets import Assets, MissingAssets, find_assets
from kubeloop.testing.control_plane import ControlPlane
from kubeloop.testing.process import Process, StartFailed

__all__ = ["Assets", "ControlPlane", "MissingAssets", "Process", "StartFailed", "find_assets"]
