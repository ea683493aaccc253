"""The machine as one incarnation of the daemon has it: the `Host` of `run_node`."""

import asyncio
import contextvars
from collections.abc import Callable
from types import TracebackType
from typing import Self

from kuryr.daemon.cni.server import CniHandler
from kuryr.daemon.ovsdb.client import Observer
from kuryr.daemon.ovsdb.vswitch import OvsdbVswitch
from kuryr.simulator.node.chassis import Chassis
from kuryr.simulator.node.cni import CniSocket, SimulatedCni
from kuryr.simulator.node.disk import Disk, SimulatedFile
from kuryr.simulator.node.gate import Gate
from kuryr.simulator.node.kernel import SimulatedKernel
from kuryr.simulator.node.namespaces import Namespaces
from kuryr.simulator.node.ovsdb.connection import OvsdbConnection
from kuryr.simulator.node.ovsdb.server import OvsdbServer


class SimulatedHost:
    """Made by `SimulatedMachine.host`. `async with` waits, as a thread of the kernel's would, for what was begun."""

    families = ("IPv4", "IPv6")

    def __init__(
        self,
        *,
        namespaces: Namespaces,
        ovsdb: OvsdbServer,
        chassis: Chassis,
        socket: CniSocket,
        installed: asyncio.Event,
        disk: Disk,
        boot_id: str,
        lag_s: Callable[[], float],
        gate: Gate,
        over: asyncio.Event,
    ) -> None:
        self._connections: list[OvsdbConnection] = []
        self._socket = socket
        self._installed = installed
        self._services: list[SimulatedCni] = []
        self.kernel = SimulatedKernel(namespaces, gate)
        self.ovn = chassis
        self.copy = SimulatedFile(disk, gate)
        self.boot_id = boot_id

        def connect(observer: Observer) -> OvsdbConnection:
            self._connections.append(OvsdbConnection(ovsdb, observer, gate, lag_s=lag_s))
            return self._connections[-1]

        self.vswitch = OvsdbVswitch("", database=connect)
        # not of the daemon's process, so that it outlives it
        loop = asyncio.get_running_loop()
        self._end = loop.create_task(self._close_at_the_end(over), context=contextvars.Context())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.kernel.ended()
        self.close()

    def cni(self, handler: CniHandler) -> SimulatedCni:
        self._services.append(SimulatedCni(self._socket, handler))
        return self._services[-1]

    def install(self) -> None:
        self._installed.set()

    def close(self) -> None:
        """What the kernel closes when the process has ended, however it did."""
        for service in self._services:
            service.close()
        for connection in self._connections:
            connection.close()
        self._end.cancel()

    async def _close_at_the_end(self, over: asyncio.Event) -> None:
        await over.wait()
        self.close()
