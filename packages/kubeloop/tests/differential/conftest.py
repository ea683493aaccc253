"""Both servers, with the kind of the tests served, and numbers for what each run calls its own."""

import itertools
from collections.abc import Iterator

import pytest

from kubeloop.simulator import ApiServer, Storage
from kubeloop.testing import ControlPlane

from . import shelves
from .servers import Real, Server, Simulated


@pytest.fixture(scope="session")
def servers(control_plane: ControlPlane) -> Iterator[tuple[Server, Server]]:
    """The real one and the simulated one."""
    real, simulated = Real(control_plane), Simulated(ApiServer(Storage()))
    for server in (real, simulated):
        shelves.serve(server)
    yield real, simulated
    real.close()


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    """Numbers that no run has had."""
    return itertools.count()
