"""`Kernel` over rtnetlink: a sandbox is wired by two batches, one on each side of the veth pair.

All calls run one after another on one thread of its own: RTNL serialises them anyway, the event loop never waits for
it, and a call that was cancelled after it began ends before any later one begins.

Both ends get an index we choose, so that a batch can refer to a link it has just made.
"""

import asyncio
import contextlib
import errno
import functools
import ipaddress
import os
import random
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from kuryr.daemon.kernel import AttachedLink, AttachRequest, KernelError, NetnsGone, NetnsState
from kuryr.daemon.netlink import messages
from kuryr.daemon.netlink.connection import NetlinkConnection, NetlinkError
from kuryr.daemon.netlink.netns import is_same_netns, open_netns, visit
from kuryr.daemon.sandbox import Address

T = TypeVar("T")

_ALIAS_PREFIX = "kuryr:"
_LOOPBACK_INDEX = 1
_FIRST_INDEX, _LAST_INDEX = 1 << 24, 1 << 30
_ATTEMPTS = 3


class NetlinkKernel:
    """The kernel of this host. Close it with `with`; the namespace it is made in is the host's."""

    def __init__(self) -> None:
        self._home_fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._host = NetlinkConnection()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="netlink")
        # Without IPv6 in the kernel, asking for no link-local address is refused.
        self._ipv6 = os.path.exists("/proc/sys/net/ipv6")

    def __enter__(self) -> "NetlinkKernel":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._thread.shutdown()
        self._host.close()
        os.close(self._home_fd)

    async def attach(self, request: AttachRequest) -> AttachedLink:
        return await self._run(functools.partial(self._attach, request))

    async def detach(self, host_ifname: str) -> None:
        await self._run(functools.partial(_delete_link, self._host, host_ifname))

    async def get_owners(self) -> Mapping[str, str]:
        return await self._run(self._get_owners)

    async def configure_host_link(self, ifname: str, addresses: tuple[Address, ...]) -> None:
        await self._run(functools.partial(self._configure_host_link, ifname, addresses))

    async def is_netns(self, path: str) -> bool:
        return await self._run(functools.partial(_is_netns, path))

    async def get_state(self, netns: str | None = None) -> NetnsState:
        """Everything in a namespace (a path), or in the host's. Raises NetnsGone, KernelError."""
        return await self._run(functools.partial(self._get_state, netns))

    async def get_mtus(self) -> Mapping[str, int]:
        """Address -> MTU in bytes of its link, of the host's own addresses. Raises KernelError."""
        return await self._run(self._get_mtus)

    async def _run(self, act: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, act)

    @contextlib.contextmanager
    def _enter(self, path: str) -> Iterator[tuple[int, NetlinkConnection]]:
        fd = open_netns(path)
        try:
            if is_same_netns(fd, self._home_fd):
                raise KernelError(f"{path!r} is the host's own network namespace: refused to wire it as a sandbox")
            with visit(fd, self._home_fd, NetlinkConnection) as connection:
                yield fd, connection
        finally:
            os.close(fd)

    def _attach(self, request: AttachRequest) -> AttachedLink:
        with self._enter(request.netns) as (netns_fd, inside):
            index = self._create(request, netns_fd, inside)
            try:
                return self._configure(request, index, inside)
            except BaseException:
                _delete_link(self._host, request.host_ifname)
                raise

    def _create(self, request: AttachRequest, netns_fd: int, inside: NetlinkConnection) -> int:
        """Make the pair, which as a rule works at once; else clear the names, or try another index."""
        for attempt in range(_ATTEMPTS):
            index = random.randrange(_FIRST_INDEX, _LAST_INDEX)  # noqa: S311 - a free number, not a secret one
            try:
                self._host.request(
                    messages.create_veth(
                        host_ifname=request.host_ifname,
                        ifname=request.ifname,
                        netns_fd=netns_fd,
                        mac_address=request.mac_address,
                        mtu=request.mtu,
                        index=index,
                    )
                )
            except NetlinkError as error:
                # EEXIST: a name is taken; EBUSY: the index is.
                if error.errno not in {errno.EEXIST, errno.EBUSY} or attempt == _ATTEMPTS - 1:
                    raise
                _delete_link(self._host, request.host_ifname)
                _delete_stale_veth(inside, request.ifname)
            else:
                return index
        raise AssertionError("unreachable")

    def _configure(self, request: AttachRequest, index: int, inside: NetlinkConnection) -> AttachedLink:
        quiet = [messages.set_no_link_local(index)] if self._ipv6 else []
        self._host.request(messages.set_alias(index, _ALIAS_PREFIX + request.owner), *quiet, messages.set_up(index))
        inside.request(
            messages.set_up(_LOOPBACK_INDEX),
            messages.set_up(index),
            *(messages.add_address(index, address) for address in request.addresses),
            *(messages.add_route(index, route) for route in request.routes),
        )
        link = messages.parse_link(self._host.request(messages.get_link(request.host_ifname))[0])
        return AttachedLink(
            host_ifname=request.host_ifname,
            host_ifindex=index,
            host_mac_address=link.mac_address,
            ifindex=index,
        )

    def _configure_host_link(self, ifname: str, wanted: tuple[Address, ...]) -> None:
        link = messages.parse_link(self._host.request(messages.get_link(ifname))[0])
        listed = map(messages.parse_address, self._host.dump(messages.list_addresses()))
        there = [one for index, one in listed if index == link.index and not ipaddress.ip_address(one.ip).is_link_local]
        bare = [Address(one.ip, one.prefix_length) for one in wanted]
        changes = [
            *(messages.delete_address(link.index, one) for one in there if one not in bare),
            *(messages.add_address(link.index, one) for one in bare if one not in there),
        ]
        if not link.up:
            quiet = [messages.set_no_link_local(link.index)] if self._ipv6 else []
            changes = [*quiet, messages.set_up(link.index), *changes]
        if changes:
            self._host.request(*changes)

    def _get_owners(self) -> dict[str, str]:
        links = map(messages.parse_link, self._host.dump(messages.list_links()))
        return {
            link.name: link.alias.removeprefix(_ALIAS_PREFIX) for link in links if link.alias.startswith(_ALIAS_PREFIX)
        }

    def _get_mtus(self) -> dict[str, int]:
        links = map(messages.parse_link, self._host.dump(messages.list_links()))
        mtus = {link.index: link.mtu for link in links}
        addresses = map(messages.parse_address, self._host.dump(messages.list_addresses()))
        return {address.ip: mtus.get(index, 0) for index, address in addresses}

    def _get_state(self, netns: str | None) -> NetnsState:
        if netns is None:
            return _state(self._host)
        with self._enter(netns) as (_fd, inside):
            return _state(inside)


def _delete_link(connection: NetlinkConnection, name: str) -> None:
    try:
        connection.request(messages.delete_link(name))
    except NetlinkError as error:
        if error.errno != errno.ENODEV:
            raise


def _delete_stale_veth(inside: NetlinkConnection, name: str) -> None:
    """Remove what an earlier attempt left in the sandbox; only a veth, for nothing else can be ours."""
    try:
        answer = inside.request(messages.get_link(name))
    except NetlinkError as error:
        if error.errno != errno.ENODEV:
            raise
        return
    kind = messages.parse_link(answer[0]).kind
    if kind != "veth":
        raise KernelError(f"the sandbox already has a device {name!r} which is not ours (kind {kind or 'unknown'!r})")
    _delete_link(inside, name)


def _is_netns(path: str) -> bool:
    try:
        os.close(open_netns(path))
    except NetnsGone:
        return False
    return True


def _state(connection: NetlinkConnection) -> NetnsState:
    links = tuple(map(messages.parse_link, connection.dump(messages.list_links())))
    names = {link.index: link.name for link in links}
    addresses = map(messages.parse_address, connection.dump(messages.list_addresses()))
    routes = [
        parsed
        for family in (socket.AF_INET, socket.AF_INET6)
        for payload in connection.dump(messages.list_routes(family))
        if (parsed := messages.parse_route(payload))
    ]
    return NetnsState(
        links=links,
        addresses=tuple((names.get(index, ""), address) for index, address in addresses),
        routes=tuple((names.get(index, ""), route) for index, route in routes),
    )
