"""The controller as a process: replicas, health, and a cloud that is not there yet, on a real API server."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import msgspec

from kubeloop import Fence
from kubeloop.testing import ControlPlane
from kuryr.cli.controller import control
from kuryr.model.configuration import Configuration, ControllerOptions, NeutronNetwork
from kuryr.openstack import errors
from kuryr.openstack.neutron import Api
from kuryr.openstack.session import Answer

from ..conftest import acting_as
from ..pools.neutron_server import NeutronServer


class Cloud(NeutronServer):
    """With one network, once it is there."""

    def __init__(self) -> None:
        super().__init__()
        self.is_there = False

    def open(self, fence: Fence) -> AbstractAsyncContextManager[Api]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Api]:
            yield self

        return opened()

    async def request(
        self, method: str, path: str, body: bytes = b"", *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Answer:
        if not self.is_there:
            raise errors.Unauthorised("no such user")
        subnet = {"id": "s", "network_id": "net", "cidr": "10.0.0.0/16", "ip_version": 4}
        for collection, one in (("networks", {"id": "net", "name": "pods", "mtu": 1442}), ("subnets", subnet)):
            if path.startswith(f"/v2.0/{collection}"):
                return Answer(200, msgspec.json.encode({collection: [one]}))
        return await super().request(method, path, body, timeout_s=timeout_s, headers=headers)


class Replica:
    """One of two, serving on a port of its own."""

    def __init__(self, plane: ControlPlane, cloud: Cloud) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        configuration = Configuration(
            neutron=NeutronNetwork(network="pods"), controller=ControllerOptions(http=f"127.0.0.1:{self._port}")
        )
        self.run = lambda: control(configuration, acting_as(plane, "kuryr-controller"), cloud.open)

    async def answers(self, path: str, expected: str) -> None:
        """As soon as it does."""
        async with aiohttp.ClientSession() as session, asyncio.timeout(30):
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{self._port}/{path}") as answer:
                        if expected in await answer.text():
                            return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.05)


async def test_a_leader_without_its_cloud_is_alive_and_not_ready_and_a_standby_is_both(
    control_plane: ControlPlane,
) -> None:
    cloud = Cloud()
    leader, standby = Replica(control_plane, cloud), Replica(control_plane, cloud)
    async with asyncio.TaskGroup() as group:
        leading = group.create_task(leader.run())
        await leader.answers("readyz", "[-]servers failed: no such user")
        await leader.answers("healthz", "ok")
        standing_by = group.create_task(standby.run())
        await standby.answers("readyz", "ok")
        await standby.answers("healthz", "ok")
        cloud.is_there = True
        await leader.answers("readyz", "ok")
        cloud.is_there = False
        leading.cancel()
        await standby.answers("readyz", "[-]servers failed: no such user")
        standing_by.cancel()
