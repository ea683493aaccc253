"""The real kernel and the simulated one are left in the same state by the same calls, and refuse the same."""

import ipaddress
import os
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import pytest

from kuryr.daemon.kernel import AttachRequest, KernelError, NetnsGone, NetnsState
from kuryr.daemon.netlink.kernel import NetlinkKernel
from kuryr.daemon.sandbox import Address, Route
from kuryr.simulator.node.gate import open_gate
from kuryr.simulator.node.kernel import SimulatedKernel
from kuryr.simulator.node.namespaces import HOST, Device, Namespaces

from .conftest import run

TAPS = ("tapalike0", "tapalike1", "tapalike2")
ADDRESSES = (
    (),
    (Address("10.1.0.5", 24),),
    (Address("10.1.0.6", 32), Address("fd00:1::6", 128)),
    (Address("10.1.0.7", 16), Address("fd00:1::7", 64)),
)
ROUTES = (
    (),
    (Route("0.0.0.0/0", "10.1.0.1"),),
    (Route("10.9.0.1/32"), Route("0.0.0.0/0", "10.8.0.1", onlink=True)),
    (Route("0.0.0.0/0", "10.1.0.1"), Route("::/0", "fd00:1::1")),
)


@dataclass
class Both:
    """Two machines that are treated alike. A namespace of one has the path of the other's."""

    real: NetlinkKernel
    simulated: SimulatedKernel
    namespaces: Namespaces
    make_netns: Callable[[], str]

    def make(self) -> str:
        path = self.make_netns()
        self.namespaces.make(path)
        return path

    def remove(self, path: str) -> None:
        run("ip", "netns", "del", os.path.basename(path))
        self.namespaces.remove(path)

    def add_bridge(self, path: str, name: str) -> None:
        """A device of somebody else's."""
        run("ip", "-n", os.path.basename(path), "link", "add", name, "type", "bridge")
        device = Device(
            index=self.namespaces.new_index(), name=name, kind="bridge", mac_address="0a:00:00:00:00:00", mtu=1500
        )
        self.namespaces.add(path, device)

    async def attach(self, request: AttachRequest) -> type[Exception] | None:
        """What both raise."""
        outcomes: list[type[Exception] | None] = []
        for kernel in (self.real, self.simulated):
            try:
                await kernel.attach(request)
                outcomes.append(None)
            except NetnsGone:
                outcomes.append(NetnsGone)
            except KernelError:
                outcomes.append(KernelError)
        assert outcomes[0] == outcomes[1], request
        return outcomes[0]

    async def detach(self, name: str) -> None:
        await self.real.detach(name)
        await self.simulated.detach(name)

    async def compare(self, *paths: str) -> None:
        assert await self.real.get_owners() == await self.simulated.get_owners()
        for path in (None, *paths):
            real, simulated = await self.real.get_state(path), await self.simulated.get_state(path)
            assert comparable(real, is_host=path is None) == comparable(simulated, is_host=path is None)


def comparable(state: NetnsState, *, is_host: bool) -> object:
    """Not the index, nor the MAC of the host's end: they are the kernel's to choose. Link-local addresses come when it
    has noticed the carrier.
    """
    ours = {link.name for link in state.links if link.kind != "bridge"}
    links = {
        (link.name, link.kind, link.mac_address if not is_host else "", link.mtu, link.up, link.alias)
        for link in state.links
        if link.name in ours
    }
    addresses = {(name, one) for name, one in state.addresses if name in ours and not one.ip.startswith("fe80:")}
    routes = {(name, one) for name, one in state.routes if name in ours and one.destination != "fe80::/64"}
    return links, addresses, routes


@pytest.fixture
def both(netlink_kernel: NetlinkKernel, host_netns: str, make_netns: Callable[[], str]) -> Both:
    run("ip", "-n", os.path.basename(host_netns), "link", "set", "lo", "up")
    namespaces = Namespaces()
    return Both(netlink_kernel, SimulatedKernel(namespaces, open_gate), namespaces, make_netns)


def by_chance(random: Random, netns: str) -> AttachRequest:
    return AttachRequest(
        host_ifname=random.choice(TAPS),
        netns=netns,
        ifname=random.choice(("eth0", "eth1")),
        mac_address=f"02:00:00:00:00:{random.randrange(1, 9):02x}",
        mtu=random.choice((1442, 1500)),
        owner=f"c{random.randrange(3)}/eth0",
        addresses=random.choice(ADDRESSES),
        routes=random.choice(ROUTES),
    )


async def test_calls_by_chance_leave_the_same_and_are_refused_alike(both: Both) -> None:
    refused = 0
    for seed in range(3):
        random = Random(seed)
        paths = [both.make(), both.make()]
        both.add_bridge(paths[1], "eth1")
        for _ in range(40):
            if random.random() < 0.75:
                refused += await both.attach(by_chance(random, random.choice(paths))) is not None
            else:
                await both.detach(random.choice(TAPS))
            await both.compare(*paths)
        for name in TAPS:
            await both.detach(name)
    assert refused > 10


async def test_a_namespace_that_is_gone_is_refused_alike(both: Both) -> None:
    path = both.make()
    both.remove(path)
    assert await both.attach(by_chance(Random(1), path)) is NetnsGone
    await both.compare()


async def test_the_hosts_own_namespace_is_no_sandbox(both: Both, host_netns: str) -> None:
    request = by_chance(Random(1), HOST)
    with pytest.raises(KernelError, match="host's own"):
        await both.simulated.attach(request)
    with pytest.raises(KernelError, match="host's own"):
        await both.real.attach(by_chance(Random(1), host_netns))


async def test_a_link_of_the_host_is_configured_alike(both: Both, host_netns: str) -> None:
    run("ip", "-n", os.path.basename(host_netns), "link", "add", "kuryr0", "type", "bridge")
    both.namespaces.add(
        HOST,
        Device(
            index=both.namespaces.new_index(),
            name="kuryr0",
            kind="openvswitch",
            mac_address="0a:00:00:00:00:01",
            mtu=1500,
        ),
    )
    random = Random(1)
    for _ in range(12):
        wanted = random.choice(ADDRESSES)
        for kernel in (both.real, both.simulated):
            await kernel.configure_host_link("kuryr0", wanted)
            state = await kernel.get_state()
            assert {address for name, address in state.addresses if name == "kuryr0"} == set(wanted), kernel
            routes = {route for name, route in state.routes if name == "kuryr0"}
            prefixes = {ipaddress.ip_interface(f"{one.ip}/{one.prefix_length}").network for one in wanted}
            assert routes == {Route(str(one)) for one in prefixes if one.prefixlen != 32}, kernel
        mtus = [await kernel.get_mtus() for kernel in (both.real, both.simulated)]
        assert mtus[0] == mtus[1] == {"127.0.0.1": 65536, "::1": 65536, **{one.ip: 1500 for one in wanted}}


async def test_a_link_that_is_not_there_cannot_be_configured(both: Both) -> None:
    for kernel in (both.real, both.simulated):
        with pytest.raises(KernelError):
            await kernel.configure_host_link("kuryr0", ())
