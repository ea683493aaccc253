"""The contract on the simulated cloud: in this process, and over HTTP."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from kuryr.openstack.session import Exchange, HttpExchange
from kuryr.simulator.exchange import SimulatedExchange
from kuryr.simulator.first_look import HOSTS, PASSWORD, USERS, furnish
from kuryr.simulator.http import HttpCloud

from .bed import Bed, OpenExchange, Place, bed_of


def simulated(url: str, open_exchange: OpenExchange) -> Place:
    users = {name: (name, project) for name, project, _ in USERS}
    return Place(f"{url}/identity/v3", f"{url}/network", open_exchange, PASSWORD, users, HOSTS[0])


@pytest.fixture(scope="session", params=["in process", "over HTTP"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    cloud = furnish(random.Random(1))
    if request.param == "in process":

        @asynccontextmanager
        async def here() -> AsyncIterator[Exchange]:
            yield SimulatedExchange(cloud)

        yield simulated(cloud.url, here)
        return
    with Serving(HttpCloud(cloud)) as server:
        config = server.config("kuryr", PASSWORD, "kubernetes")

        @asynccontextmanager
        async def over_http() -> AsyncIterator[Exchange]:
            exchange = HttpExchange(config)
            try:
                yield exchange
            finally:
                await exchange.close()

        yield simulated(server.url, over_http)


class Serving:
    """In a thread with a loop of its own: each test has another."""

    def __init__(self, server: HttpCloud) -> None:
        self._server = server
        self._ready = threading.Event()
        self._over: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        async with self._server:
            self._ready.set()
            await self._over.wait()

    def __enter__(self) -> HttpCloud:
        self._thread.start()
        assert self._ready.wait(10)
        return self._server

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._over is not None
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)


@pytest.fixture
async def bed(place: Place) -> AsyncIterator[Bed]:
    async with bed_of(place) as bed:
        yield bed
