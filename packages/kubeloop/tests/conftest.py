"""A real API server for the tests that want one, started once."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubeloop.testing import Assets, ControlPlane, MissingAssets, find_assets


@pytest.fixture(scope="session")
def assets() -> Assets:
    """The control plane's programs: envtest's, or those that the lab has built. Without them: skipped, in CI failed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        return find_assets([cache / "kuryr-lab" / "bin"])
    except MissingAssets as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def control_plane(assets: Assets) -> Iterator[ControlPlane]:
    """One API server for all tests that leave it in peace: they take namespaces and names of their own."""
    plane = ControlPlane(assets=assets)
    asyncio.run(plane.start())
    try:
        yield plane
    finally:
        plane.stop()
