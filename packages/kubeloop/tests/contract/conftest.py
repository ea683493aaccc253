"""The servers that are held to the contract, and a namespace of its own for each test."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from kubeloop.client.client import Client
from kubeloop.client.definitions import ensure_definitions
from kubeloop.testing import ControlPlane

from .api import Api, ApiServer
from .kinds import Gadget, Seal
from .kube_apiserver import KubeApiserver
from .simulator import Simulator
from .simulator_over_http import SimulatorOverHttp


@pytest.fixture(scope="session", params=["kube-apiserver", "simulator", "simulator over HTTP"])
def server(request: pytest.FixtureRequest) -> Iterator[ApiServer]:
    """Each server that claims to be one; the suite's kinds are served."""
    found: ApiServer
    with ExitStack() as stack:
        if request.param == "simulator":
            found = Simulator()
        elif request.param == "simulator over HTTP":
            found = over_http = SimulatorOverHttp()
            stack.callback(over_http.stop)
        else:
            plane: ControlPlane = request.getfixturevalue("control_plane")
            found = KubeApiserver(plane)
        asyncio.run(_define(found))
        yield found


async def _define(server: ApiServer) -> None:
    transport = server.transport()
    try:
        await ensure_definitions(Client(transport), (Gadget, Seal))
    finally:
        await transport.close()


@pytest.fixture(scope="session")
def namespaces() -> Iterator[str]:
    """Names that no test has had."""
    return (f"contract-{number}" for number in itertools.count())


@pytest.fixture
async def api(server: ApiServer, namespaces: Iterator[str]) -> AsyncIterator[Api]:
    """Raw calls, in a namespace of the test's own."""
    transport = server.transport()
    try:
        api = Api(server, transport, next(namespaces))
        await api.make_namespace()
        yield api
    finally:
        await transport.close()


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    """Kubeloop's client on the same server."""
    transport = server.transport()
    try:
        yield Client(transport, field_manager="suite")
    finally:
        await transport.close()
