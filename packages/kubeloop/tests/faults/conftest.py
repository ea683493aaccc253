"""A control plane for each test of faults: what one breaks, another must not meet."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from kubeloop.testing import Assets, ControlPlane

from .network import Network, missing


@pytest.fixture
async def plane(assets: Assets) -> AsyncIterator[ControlPlane]:
    async with ControlPlane(assets=assets) as plane:
        yield plane


@pytest.fixture
def network() -> Iterator[Network]:
    """Needs root and nftables. Without them: skipped, in CI failed."""
    if lacking := missing():
        if os.environ.get("CI"):
            pytest.fail(f"needs {lacking}")
        pytest.skip(f"needs {lacking}")
    made = Network()
    try:
        yield made
    finally:
        made.remove()
