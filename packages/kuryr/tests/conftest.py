"""A real API server that serves our kinds, started once."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubeloop import connect, ensure_definitions
from kubeloop.testing import ControlPlane, MissingAssets, find_assets
from kuryr.model.resources import KINDS


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """Without its programs, which the lab builds: skipped, in CI failed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        plane = ControlPlane(assets=find_assets([cache / "kuryr-lab" / "bin"]))
    except MissingAssets as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    asyncio.run(_start(plane))
    try:
        yield plane
    finally:
        plane.stop()


async def _start(plane: ControlPlane) -> None:
    await plane.start()
    async with connect(plane.config(), user_agent="test/1", field_manager="test") as client:
        await ensure_definitions(client, KINDS)
