"""A kernel in the test's hand, and a fake vswitch. The same contract tests run against them and the real ones: a fake
that differs is a bug.

Before and after every effect there is one await, so that a test can cancel at each.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from kubeloop import Request, Response
from kubeloop import errors as kube
from kuryr.daemon.cni.server import CniHandler
from kuryr.daemon.host import CniService
from kuryr.daemon.local_copy import CopyFile
from kuryr.daemon.ovn import OvnControllerStatus
from kuryr.daemon.records import SandboxRecord
from kuryr.daemon.sandbox import Address
from kuryr.daemon.vswitch import (
    BridgeMissing,
    InterfaceFailed,
    InternalPort,
    NameTaken,
    NotInstalled,
    PortInUse,
    PortState,
    VswitchSystem,
)
from kuryr.simulator.node.kernel import SimulatedKernel
from kuryr.simulator.node.namespaces import HOST, Device, Namespaces

T = TypeVar("T")


async def _yielding(what: str, act: Callable[[], T], *, changes: bool = True) -> T:
    await asyncio.sleep(0)
    done = act()
    await asyncio.sleep(0)
    return done


class HandKernel(SimulatedKernel):
    """The simulated kernel, with its namespaces in the test's hand."""

    def __init__(self, *netns: str) -> None:
        self.namespaces = Namespaces()
        for path in netns:
            self.namespaces.make(path)
        super().__init__(self.namespaces, _yielding)

    @property
    def taps(self) -> list[str]:
        """The host's ends of pairs."""
        return [one.name for one in self.namespaces.host.devices.values() if one.kind == "veth"]

    def make_device(self, name: str) -> None:
        """As a switch makes an internal one."""
        index = self.namespaces.new_index()
        device = Device(index=index, name=name, kind="openvswitch", mac_address="0a:00:00:00:00:01", mtu=1500)
        self.namespaces.add(HOST, device)

    def addresses(self, name: str) -> list[Address]:
        return [address for device, address in self.namespaces.host.addresses if device == name]


class FakeVswitch:
    def __init__(self, *bridges: str, installs: bool = True) -> None:
        self.bridges = set(bridges)
        self.installs = installs
        self.connected = True
        self._looks = 0
        self.foreign: dict[str, str] = {}
        self._rows: dict[str, SandboxRecord] = {}
        self.bound: dict[str, str] = {}
        self.internal: dict[str, InternalPort] = {}
        self._sent: list[Callable[[], None]] = []
        self._changed = asyncio.Condition()
        self._installed: set[str] = set()
        self._unapplied: set[str] = set()
        self._finished: set[str] = set()
        self.deletions = 0
        """How many transactions took a port away, or tried to."""
        self.with_old_device: set[str] = set()
        """Ports that ovs-vswitchd takes for the ones it had under that name: it keeps their old devices open."""

    async def _transact(self, effect: Callable[[], None]) -> None:
        """Cancelled after it was sent, an effect still takes place, before any later one."""
        self._sent.append(effect)
        await asyncio.sleep(0)
        while self._sent:
            self._sent.pop(0)()
        async with self._changed:
            self._changed.notify_all()
        await asyncio.sleep(0)

    async def add_port(self, bridge: str, name: str, record: SandboxRecord) -> None:
        if bridge not in self.bridges:
            raise BridgeMissing(bridge)
        if name in self.foreign:
            raise NameTaken(name)
        for holder, port_id in {**self.bound, **self.foreign}.items():
            if port_id == record.port_id and (holder in self.foreign or self._rows[holder].pod_uid != record.pod_uid):
                raise PortInUse(holder)

        def effect() -> None:
            if self._rows.get(name) != record:
                self._installed.discard(name)
                self._finished.discard(name)
            if name in self._unapplied:
                self.with_old_device.add(name)
            self._rows[name] = record
            self.bound = {other: port for other, port in self.bound.items() if port != record.port_id}
            self.bound[name] = record.port_id
            if self.installs:
                self._installed.add(name)

        await self._transact(effect)

    async def ensure_internal_port(self, bridge: str, port: InternalPort) -> bool:
        if bridge not in self.bridges:
            raise BridgeMissing(bridge)
        if port.name in self.foreign:
            raise NameTaken(port.name)
        if any(
            holder != port.name and bound == port.port_id for holder, bound in {**self.bound, **self.foreign}.items()
        ):
            raise PortInUse(port.port_id)
        if self.internal.get(port.name) == port:
            return False

        def effect() -> None:
            self.internal[port.name] = port
            self.bound[port.name] = port.port_id
            self._installed.discard(port.name)
            if self.installs:
                self._installed.add(port.name)

        await self._transact(effect)
        return True

    async def del_port(self, name: str) -> None:
        self.deletions += 1

        def effect() -> None:
            if self._rows.pop(name, None):
                self._unapplied.add(name)
            self.bound.pop(name, None)
            self._installed.discard(name)
            self._finished.discard(name)

        await self._transact(effect)

    async def mark_finished(self, name: str) -> None:
        if name not in self._rows:
            raise InterfaceFailed(name)
        await self._transact(lambda: self._finished.add(name))

    async def bind_again(self, name: str) -> None:
        if name not in self._rows:
            return
        port_id = self._rows[name].port_id
        if port_id in {bound for other, bound in {**self.bound, **self.foreign}.items() if other != name}:
            raise PortInUse(name)
        await self._transact(lambda: self.bound.__setitem__(name, port_id))

    async def wait_applied(self) -> None:
        await asyncio.sleep(0)
        self._unapplied.clear()
        async with self._changed:
            self._looks += 1
            self._changed.notify_all()

    async def looked(self, *, times: int) -> None:
        """Until somebody has asked that often more whether all is applied."""
        async with asyncio.timeout(10), self._changed:
            wanted = self._looks + times
            await self._changed.wait_for(lambda: self._looks >= wanted)

    async def wait_installed(self, name: str, *, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                while name not in self._installed:
                    if name not in self._rows and name not in self.internal:
                        raise InterfaceFailed(name)
                    await self._changed.wait()
        except TimeoutError as error:
            raise NotInstalled(name) from error

    async def install(self, name: str) -> None:
        self._installed.add(name)
        async with self._changed:
            self._changed.notify_all()

    def ports(self) -> Mapping[str, SandboxRecord]:
        return dict(self._rows)

    def finished(self) -> Collection[str]:
        return self._finished & self.bound.keys()

    def port(self, bridge: str, name: str) -> PortState | None:
        if name not in self._rows:
            return None
        return PortState(
            record=self._rows[name],
            bound_to=self.bound.get(name, ""),
            installed=name in self._installed,
            on_bridge=bridge in self.bridges,
            error="",
        )

    def system(self) -> VswitchSystem:
        return VswitchSystem(
            hostname="node1.example",
            system_id="node1",
            bridge="br-int",
            bridge_exists="br-int" in self.bridges,
            ovs_version="3.5",
            encap_ips=("192.0.2.1",),
            encap_types=("geneve",),
            connected=self.connected,
        )

    async def wait_system_changed(self, seen: VswitchSystem | None) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.system() != seen)

    async def set_connected(self, connected: bool) -> None:
        self.connected = connected
        async with self._changed:
            self._changed.notify_all()


class FakeOvn:
    def __init__(self) -> None:
        self.status = OvnControllerStatus(True, "Connected")

    async def fetch_status(self) -> OvnControllerStatus:
        return self.status


class MemoryFile:
    """A `CopyFile`. `writes` are all that were whole; while `fails` is set there are no more."""

    def __init__(self, content: bytes | None = None) -> None:
        self.writes: list[bytes] = [] if content is None else [content]
        self.fails: OSError | None = None

    async def read(self) -> bytes | None:
        await asyncio.sleep(0)
        return self.writes[-1] if self.writes else None

    async def write(self, content: bytes) -> None:
        await asyncio.sleep(0)
        if self.fails:
            raise self.fails
        self.writes.append(content)


@dataclass
class FakeHost:
    """A `Host` of such parts."""

    kernel: Any
    vswitch: Any
    ovn: Any
    boot_id: str = "boot-1"
    families: tuple[str, ...] = ("IPv4", "IPv6")
    copy: CopyFile = field(default_factory=MemoryFile)

    def cni(self, handler: CniHandler) -> CniService:
        raise NotImplementedError("nobody calls CNI here")

    def install(self) -> None:
        return


class FakeApi:
    """An API server's objects by path: get, create and merge patches. A transport of `Client`."""

    def __init__(self, objects: Mapping[str, dict[str, Any]]) -> None:
        self.objects = dict(objects)
        self.asked: list[tuple[str, str]] = []
        self.failures = 0
        """How many requests from now on get no answer."""
        self._changed = asyncio.Condition()

    async def request(self, request: Request, *, timeout_s: float) -> Response:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise kube.Unavailable("no answer")
        self.asked.append((request.method, request.path))
        async with self._changed:
            answer = self._answer(request)
            self._changed.notify_all()
        return Response(200, msgspec.json.encode(answer))

    def _answer(self, request: Request) -> dict[str, Any]:
        body = msgspec.json.decode(request.body) if request.body else {}
        if request.method == "POST":
            path = f"{request.path}/{body['metadata']['name']}"
            if path in self.objects:
                raise kube.AlreadyExists("it is there")
            self.objects[path] = body
            return dict(body)
        path = request.path.removesuffix("/status")
        if path not in self.objects:
            raise kube.NotFound("it is not there")
        if request.method == "DELETE":
            return self.objects.pop(path)
        if request.method == "PATCH":
            self.objects[path] = _merged(self.objects[path], body)
        return self.objects[path]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Until the condition holds after some request, or at once."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(condition)

    def stream(
        self, request: Request, *, open_timeout_s: float, idle_timeout_s: float
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        raise NotImplementedError("nothing is watched here")

    async def close(self) -> None:
        return


def _merged(old: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7396, without nulls."""
    return {
        **old,
        **{
            key: _merged(old[key], new) if isinstance(new, dict) and isinstance(old.get(key), dict) else new
            for key, new in patch.items()
        },
    }
