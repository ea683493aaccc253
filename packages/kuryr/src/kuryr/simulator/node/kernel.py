"""`HostKernel` on simulated namespaces: what of it the daemon does passes the gate, message by message.

As on netlink's thread, calls run one after another, and to their end although their caller is cancelled.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from kuryr.daemon.kernel import AttachedLink, AttachRequest, KernelError, Link, NetnsState
from kuryr.daemon.sandbox import Address
from kuryr.simulator.node.gate import Gate
from kuryr.simulator.node.namespaces import HOST, Device, Namespaces

T = TypeVar("T")

_ALIAS_PREFIX = "kuryr:"
_LONGEST_NAME = 15


class SimulatedKernel:
    """The kernel as one incarnation of the daemon reaches it."""

    def __init__(self, namespaces: Namespaces, gate: Gate) -> None:
        self._namespaces = namespaces
        self._gate = gate
        self._last: asyncio.Task[Any] | None = None

    async def attach(self, request: AttachRequest) -> AttachedLink:
        return await self._in_turn(lambda: self._attach(request))

    async def detach(self, host_ifname: str) -> None:
        await self._in_turn(lambda: self._delete(host_ifname))

    async def configure_host_link(self, ifname: str, addresses: tuple[Address, ...]) -> None:
        await self._in_turn(lambda: self._configure_host_link(ifname, addresses))

    async def get_owners(self) -> Mapping[str, str]:
        return await self._in_turn(lambda: self._look("list links", self._owners))

    async def is_netns(self, path: str) -> bool:
        return await self._in_turn(
            lambda: self._look(f"look for {path}", lambda: self._namespaces.find(path) is not None)
        )

    async def get_state(self, netns: str | None = None) -> NetnsState:
        return await self._in_turn(lambda: self._look("look at a namespace", lambda: self._state(netns)))

    async def get_mtus(self) -> Mapping[str, int]:
        return await self._in_turn(lambda: self._look("list addresses", self._mtus))

    async def ended(self) -> None:
        """Until what was begun has ended, as its thread does."""
        if self._last is not None:
            await asyncio.wait({self._last})

    async def _in_turn(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        before = self._last

        async def run() -> T:
            if before is not None and not before.done():
                await asyncio.wait({before})
            return await call()

        task = asyncio.ensure_future(run())
        task.add_done_callback(_retrieve)  # where its caller has gone nobody else asks what came of it
        self._last = task
        return await asyncio.shield(task)

    async def _look(self, what: str, act: Callable[[], T]) -> T:
        return await self._pass(what, act, changes=False)

    async def _pass(self, what: str, act: Callable[[], T], *, changes: bool = True) -> T:
        try:
            return await self._gate(f"kernel: {what}", act, changes=changes)
        except ConnectionError as error:
            raise KernelError(f"could not {what}: {error}") from error

    async def _attach(self, request: AttachRequest) -> AttachedLink:
        index = self._namespaces.new_index()
        made = await self._pass(f"create {request.host_ifname}", lambda: self._create(request, index))
        try:
            await self._pass(f"configure {request.host_ifname}", lambda: self._configure_outside(request))
            await self._pass(f"configure {request.ifname} in {request.netns}", lambda: self._configure_inside(request))
        except BaseException:
            await self._delete(request.host_ifname)
            raise
        return AttachedLink(
            host_ifname=request.host_ifname, host_ifindex=index, host_mac_address=made.mac_address, ifindex=index
        )

    async def _delete(self, host_ifname: str) -> None:
        there = host_ifname in self._namespaces.host.devices  # most are not: runtimes repeat DEL
        await self._pass(f"delete {host_ifname}", lambda: self._namespaces.delete(HOST, host_ifname), changes=there)

    def _create(self, request: AttachRequest, index: int) -> Device:
        """In place of what an earlier attempt has left under these names."""
        inside = self._namespaces.enter(request.netns)
        if inside is self._namespaces.host:
            message = f"{request.netns!r} is the host's own network namespace: refused to wire it as a sandbox"
            raise KernelError(message)
        if len(request.host_ifname) > _LONGEST_NAME:
            raise KernelError(f"could not create {request.host_ifname}: Numerical result out of range")
        self._namespaces.delete(HOST, request.host_ifname)
        stale = inside.devices.get(request.ifname)
        if stale is not None and stale.kind != "veth":
            raise KernelError(f"the sandbox already has a device {request.ifname!r} which is not ours")
        self._namespaces.delete(request.netns, request.ifname)
        tap = Device(
            index=index, name=request.host_ifname, kind="veth", mac_address=_mac_address(index), mtu=request.mtu
        )
        pod = Device(index=index, name=request.ifname, kind="veth", mac_address=request.mac_address, mtu=request.mtu)
        self._namespaces.add_pair((HOST, tap), (request.netns, pod))
        return tap

    def _configure_outside(self, request: AttachRequest) -> None:
        self._namespaces.set_up(HOST, request.host_ifname, link_local=False)
        self._namespaces.host.devices[request.host_ifname].alias = _ALIAS_PREFIX + request.owner

    def _configure_inside(self, request: AttachRequest) -> None:
        for name in ("lo", request.ifname):
            self._namespaces.set_up(request.netns, name)
        for address in request.addresses:
            self._namespaces.add_address(request.netns, request.ifname, address)
        for route in request.routes:
            self._namespaces.add_route(request.netns, request.ifname, route)

    async def _configure_host_link(self, ifname: str, wanted: tuple[Address, ...]) -> None:
        """What is right already is only looked at."""
        bare = {Address(one.ip, one.prefix_length) for one in wanted}
        device = self._namespaces.host.devices.get(ifname)
        there = {address for name, address in self._namespaces.host.addresses if name == ifname}
        changes = device is not None and (not device.up or there != bare)
        await self._pass(f"configure {ifname}", lambda: self._set_host_link(ifname, bare), changes=changes)

    def _set_host_link(self, ifname: str, wanted: set[Address]) -> None:
        self._namespaces.set_up(HOST, ifname, link_local=False)
        host = self._namespaces.host
        there = {address for name, address in host.addresses if name == ifname}
        for one in sorted(there - wanted, key=str):
            self._namespaces.delete_address(HOST, ifname, one)
        for one in sorted(wanted - there, key=str):
            self._namespaces.add_address(HOST, ifname, one)

    def _owners(self) -> dict[str, str]:
        devices = self._namespaces.host.devices.values()
        return {
            one.name: one.alias.removeprefix(_ALIAS_PREFIX) for one in devices if one.alias.startswith(_ALIAS_PREFIX)
        }

    def _mtus(self) -> dict[str, int]:
        host = self._namespaces.host
        return {address.ip: host.devices[name].mtu for name, address in host.addresses}

    def _state(self, path: str | None) -> NetnsState:
        netns = self._namespaces.enter(path or HOST)
        if path is not None and netns is self._namespaces.host:
            raise KernelError(f"{path!r} is the host's own network namespace")
        return NetnsState(
            links=tuple(map(_link, netns.devices.values())),
            addresses=tuple(netns.addresses),
            routes=tuple(netns.routes),
        )


def _link(device: Device) -> Link:
    return Link(
        index=device.index,
        name=device.name,
        kind=device.kind,
        mac_address=device.mac_address,
        mtu=device.mtu,
        up=device.up,
        alias=device.alias,
    )


def _mac_address(index: int) -> str:
    return ":".join(f"{byte:02x}" for byte in (0x0A, 0, *index.to_bytes(4, "big")))


def _retrieve(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()
