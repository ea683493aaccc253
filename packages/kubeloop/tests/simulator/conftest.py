"""The real server, where the simulator's parts are held to it."""

from collections.abc import Iterator

import pytest

from kubeloop.testing import ControlPlane

from .real_server import RealServer


@pytest.fixture(scope="session")
def real(control_plane: ControlPlane) -> Iterator[RealServer]:
    found = RealServer(control_plane)
    yield found
    found.close()
