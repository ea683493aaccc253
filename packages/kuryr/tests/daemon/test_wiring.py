"""The wiring over fakes, which pass the same contract tests as the real parts: undoing, order, late calls, sweeps."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from kuryr.daemon.checking import diff_sandbox
from kuryr.daemon.cni.results import Result, ResultInterface, ResultIp, ResultRoute
from kuryr.daemon.kernel import KernelError, NetnsGone
from kuryr.daemon.netlink.kernel import NetlinkKernel
from kuryr.daemon.ovsdb.vswitch import OvsdbVswitch
from kuryr.daemon.records import SandboxRecord
from kuryr.daemon.sandbox import Address, desire_routes, host_ifname
from kuryr.daemon.shield import finish
from kuryr.daemon.vswitch import NotInstalled, PortInUse, VswitchUnavailable
from kuryr.daemon.wiring import KeyedLock, Wiring

from .conftest import OvsdbServer, run
from .examples import interface, record, sandbox
from .fakes import FakeVswitch, HandKernel

HOST0 = host_ifname("c0", "eth0")
HOST1 = host_ifname("c1", "eth0")


@pytest.fixture
def kernel() -> HandKernel:
    return HandKernel("/run/netns/c0", "/run/netns/c1")


@pytest.fixture
def vswitch() -> FakeVswitch:
    return FakeVswitch("br-int")


@pytest.fixture
def wiring(kernel: HandKernel, vswitch: FakeVswitch) -> Wiring:
    return Wiring(kernel, vswitch)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is looked at announces nothing
            await asyncio.sleep(0)


class Losing(FakeVswitch):
    """OVSDB goes away when the port was sent, and comes back with it; meanwhile the copy is behind."""

    away = True
    commits = True

    async def add_port(self, bridge: str, name: str, record: SandboxRecord) -> None:
        if self.commits:
            await super().add_port(bridge, name, record)
        if self.away:
            raise VswitchUnavailable("the connection broke")

    async def del_port(self, name: str) -> None:
        if self.away:
            self.deletions += 1
            raise VswitchUnavailable("no connection")
        await super().del_port(name)

    def ports(self) -> Mapping[str, SandboxRecord]:
        return {} if self.away else super().ports()


class TestPlug:
    async def test_a_plugged_interface_has_a_link_and_a_port(
        self, wiring: Wiring, kernel: HandKernel, vswitch: FakeVswitch
    ) -> None:
        plugged = await wiring.plug(sandbox(), interface(), timeout_s=5)
        assert plugged.host_ifname == HOST0
        assert kernel.namespaces.host.devices[HOST0].peer == ("/run/netns/c0", "eth0")
        assert wiring.records() == (record(),)
        assert vswitch.bound == {HOST0: "port-1"}

    async def test_without_flows_in_time_nothing_is_left(self, kernel: HandKernel) -> None:
        vswitch = FakeVswitch("br-int", installs=False)
        with pytest.raises(NotInstalled):
            await Wiring(kernel, vswitch).plug(sandbox(), interface(), timeout_s=0.01)
        assert not kernel.taps
        assert not vswitch.ports()

    async def test_a_refused_port_leaves_no_link_and_its_owner_untouched(
        self, wiring: Wiring, kernel: HandKernel, vswitch: FakeVswitch
    ) -> None:
        await wiring.plug(sandbox("c0"), interface(), timeout_s=5)
        with pytest.raises(PortInUse):
            await wiring.plug(sandbox("c1", netns="/run/netns/c1", pod_uid="uid-2"), interface(), timeout_s=5)
        assert kernel.taps == [HOST0]
        assert vswitch.bound == {HOST0: "port-1"}

    async def test_a_vanished_sandbox_leaves_nothing(self, wiring: Wiring, vswitch: FakeVswitch) -> None:
        with pytest.raises(NetnsGone):
            await wiring.plug(sandbox(netns="/run/netns/gone"), interface(), timeout_s=5)
        assert not vswitch.ports()

    async def test_cancelled_at_any_await_nothing_is_left(self) -> None:
        turns = 0
        while True:
            kernel, vswitch = HandKernel("/run/netns/c0"), FakeVswitch("br-int")
            plug = asyncio.ensure_future(Wiring(kernel, vswitch).plug(sandbox(), interface(), timeout_s=5))
            for _turn in range(turns):
                await asyncio.sleep(0)
            if plug.done():
                break
            plug.cancel()
            with pytest.raises(asyncio.CancelledError):
                await plug
            assert not kernel.taps, f"cancelled after {turns} turns of the loop"
            assert not vswitch.ports(), f"cancelled after {turns} turns of the loop"
            turns += 1
        assert turns > 4, "the plug has fewer awaits than it has effects"

    async def test_cancelled_twice_at_any_two_awaits_nothing_is_left(self) -> None:
        for first in range(8):
            for between in range(8):
                kernel, vswitch = HandKernel("/run/netns/c0"), FakeVswitch("br-int", installs=False)
                plug = asyncio.ensure_future(Wiring(kernel, vswitch).plug(sandbox(), interface(), timeout_s=5))
                for turns in (first, between):
                    for _turn in range(turns):
                        await asyncio.sleep(0)
                    plug.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await plug
                assert not kernel.taps, (first, between)
                assert not vswitch.ports(), (first, between)

    async def test_a_repeated_addition_gives_the_same(
        self, wiring: Wiring, kernel: HandKernel, vswitch: FakeVswitch
    ) -> None:
        first = await wiring.plug(sandbox(), interface(), timeout_s=5)
        second = await wiring.plug(sandbox(), interface(), timeout_s=5)
        assert replace(second, host_mac_address=first.host_mac_address) == first  # it is the kernel's to choose
        assert kernel.taps == list(vswitch.ports()) == [HOST0]
        assert not vswitch.with_old_device


class TestUnplug:
    async def test_unplug_removes_both_and_may_be_repeated(
        self, wiring: Wiring, kernel: HandKernel, vswitch: FakeVswitch
    ) -> None:
        await wiring.plug(sandbox(), interface(), timeout_s=5)
        for _time in range(2):
            await wiring.unplug("c0", "eth0")
            assert not kernel.taps
            assert not vswitch.ports()

    async def test_a_late_delete_of_attempt_0_leaves_attempt_1(
        self, wiring: Wiring, kernel: HandKernel, vswitch: FakeVswitch
    ) -> None:
        await wiring.plug(sandbox("c0"), interface(), timeout_s=5)
        await wiring.plug(sandbox("c1", netns="/run/netns/c1"), interface(), timeout_s=5)
        await wiring.unplug("c0", "eth0")
        assert kernel.taps == [HOST1]
        assert vswitch.bound == {HOST1: "port-1"}

    async def test_a_delete_waits_for_the_addition_it_undoes(self, kernel: HandKernel) -> None:
        vswitch = FakeVswitch("br-int", installs=False)
        wiring = Wiring(kernel, vswitch)
        async with asyncio.TaskGroup() as tasks:
            plug = tasks.create_task(wiring.plug(sandbox(), interface(), timeout_s=5))
            await until(lambda: bool(vswitch.ports()))
            unplug = tasks.create_task(wiring.unplug("c0", "eth0"))
            for _turn in range(10):
                await asyncio.sleep(0)
            assert not unplug.done()
            await vswitch.install(HOST0)
        assert plug.done()
        assert not kernel.taps
        assert not vswitch.ports()

    async def test_other_keys_do_not_wait(self, kernel: HandKernel) -> None:
        vswitch = FakeVswitch("br-int", installs=False)
        wiring = Wiring(kernel, vswitch)
        plug = asyncio.ensure_future(wiring.plug(sandbox("c0"), interface(), timeout_s=5))
        await until(lambda: bool(vswitch.ports()))
        await wiring.unplug("c1", "eth0")
        assert not plug.done()
        plug.cancel()
        await asyncio.wait({plug})

    async def test_a_cancelled_unplug_is_done_nevertheless(
        self, wiring: Wiring, kernel: HandKernel, vswitch: FakeVswitch
    ) -> None:
        await wiring.plug(sandbox(), interface(), timeout_s=5)
        unplug = asyncio.ensure_future(wiring.unplug("c0", "eth0"))
        await asyncio.sleep(0)
        unplug.cancel()
        await asyncio.wait({unplug})
        assert unplug.cancelled()
        assert not kernel.taps
        assert not vswitch.ports()

    async def test_what_nobody_knows_costs_no_transaction(
        self, wiring: Wiring, vswitch: FakeVswitch, kernel: HandKernel
    ) -> None:
        await wiring.plug(sandbox(), interface(), timeout_s=5)
        for _time in range(5):
            await wiring.unplug("c0", "eth0")
            await wiring.unplug("never", "eth0")
        assert vswitch.deletions == 1

    async def test_a_port_that_could_not_be_undone_is_deleted_though_the_copy_does_not_show_it(
        self, kernel: HandKernel
    ) -> None:
        vswitch = Losing("br-int")
        wiring = Wiring(kernel, vswitch)
        with pytest.raises(VswitchUnavailable):
            await wiring.plug(sandbox(), interface(), timeout_s=5)
        for times in (2, 3):
            with pytest.raises(VswitchUnavailable):
                await wiring.unplug("c0", "eth0")
            assert vswitch.deletions == times

    async def test_a_port_that_could_not_be_undone_may_be_wired_until_it_is_swept(self, kernel: HandKernel) -> None:
        vswitch = Losing("br-int")
        wiring = Wiring(kernel, vswitch)
        with pytest.raises(VswitchUnavailable):
            await wiring.plug(sandbox(), interface(), timeout_s=5)
        assert wiring.records() == (record(),), "no receipt for it"
        assert wiring.finished() == ()
        with pytest.raises(VswitchUnavailable):
            await wiring.sweep()
        assert wiring.records() == (record(),)
        vswitch.away = False
        assert await wiring.sweep() == (record(),)
        assert (wiring.records(), vswitch.bound) == ((), {})

    async def test_what_is_plugged_after_it_could_not_be_undone_is_not_swept(self, kernel: HandKernel) -> None:
        vswitch = Losing("br-int")
        vswitch.commits = False
        wiring = Wiring(kernel, vswitch)
        with pytest.raises(VswitchUnavailable):
            await wiring.plug(sandbox(), interface(), timeout_s=5)
        vswitch.away, vswitch.commits = False, True
        await wiring.plug(sandbox(), interface(), timeout_s=5)
        assert await wiring.sweep() == ()
        assert vswitch.bound == {HOST0: "port-1"}

    async def test_an_unreachable_database_is_an_error_so_that_the_runtime_asks_again(self, kernel: HandKernel) -> None:
        wiring = Wiring(kernel, OvsdbVswitch("unix:/nonexistent/db.sock", timeout_s=0.01))
        with pytest.raises(VswitchUnavailable):
            await wiring.unplug("c0", "eth0")


class TestSweep:
    async def test_a_daemon_killed_in_the_middle_of_an_addition_leaves_no_link(
        self, wiring: Wiring, kernel: HandKernel, vswitch: FakeVswitch
    ) -> None:
        await wiring.plug(sandbox("c1", netns="/run/netns/c1"), interface("port-2"), timeout_s=5)
        other = FakeVswitch("br-int", installs=False)
        killed = asyncio.ensure_future(Wiring(kernel, other).plug(sandbox(), interface(), timeout_s=5))
        await until(lambda: HOST0 in kernel.taps)
        assert await wiring.sweep() == ()
        assert kernel.taps == [HOST1]
        killed.cancel()
        await asyncio.wait({killed})

    async def test_a_record_without_its_namespace_is_removed(
        self, wiring: Wiring, kernel: HandKernel, vswitch: FakeVswitch
    ) -> None:
        await wiring.plug(sandbox("c0"), interface("port-1"), timeout_s=5)
        await wiring.plug(sandbox("c1", netns="/run/netns/c1"), interface("port-2"), timeout_s=5)
        kernel.namespaces.remove("/run/netns/c0")
        removed = await wiring.sweep()
        assert [each.container_id for each in removed] == ["c0"]
        assert list(vswitch.ports()) == [HOST1]

    async def test_a_sandbox_whose_path_cannot_be_seen_lives_as_long_as_its_link(self, vswitch: FakeVswitch) -> None:
        class Blind(HandKernel):
            async def is_netns(self, path: str) -> bool:
                return False

        kernel = Blind("/run/netns/c0")
        wiring = Wiring(kernel, vswitch)
        await wiring.plug(sandbox(), interface(), timeout_s=5)
        assert await wiring.sweep() == ()
        assert kernel.taps == list(vswitch.ports()) == [HOST0]

    async def test_a_kernel_that_cannot_tell_costs_no_sandbox_its_port(self, vswitch: FakeVswitch) -> None:
        class Exhausted(HandKernel):
            async def is_netns(self, path: str) -> bool:
                raise KernelError("too many open files")

        kernel = Exhausted("/run/netns/c0")
        wiring = Wiring(kernel, vswitch)
        await wiring.plug(sandbox(), interface(), timeout_s=5)
        kernel.namespaces.remove("/run/netns/c0")
        with pytest.raises(KernelError):
            await wiring.sweep()
        assert list(vswitch.ports()) == [HOST0]

    async def test_an_addition_under_way_is_left_alone(self, kernel: HandKernel, vswitch: FakeVswitch) -> None:
        for turns in range(12):
            wiring = Wiring(kernel, vswitch)
            plug = asyncio.ensure_future(wiring.plug(sandbox(), interface(), timeout_s=5))
            for _turn in range(turns):
                await asyncio.sleep(0)
            assert await wiring.sweep() == ()
            await plug
            assert kernel.taps == [HOST0]
            assert list(vswitch.ports()) == [HOST0]
            await wiring.unplug("c0", "eth0")

    async def test_nothing_is_swept_before_the_database_was_read(self, kernel: HandKernel) -> None:
        """An empty copy of OVSDB would make every link look as if it had no port."""
        await Wiring(kernel, FakeVswitch("br-int")).plug(sandbox(), interface(), timeout_s=5)
        with pytest.raises(VswitchUnavailable):
            await Wiring(kernel, OvsdbVswitch("unix:/nonexistent/db.sock")).sweep()
        assert kernel.taps == [HOST0]


async def test_a_key_is_forgotten_when_nobody_holds_it() -> None:
    keys = KeyedLock()
    async with keys.hold(("c0", "eth0")):
        assert len(keys) == 1
    assert len(keys) == 0


async def test_shielded_work_ends_before_its_cancellation_is_raised() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        for _turn in range(5):
            await asyncio.sleep(0)
        ended.set()

    caller = asyncio.ensure_future(finish(work()))
    for _time in range(3):
        await asyncio.sleep(0)
        caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()


async def test_a_time_limit_around_shielded_work_still_says_timeout() -> None:
    ended = asyncio.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await finish(asyncio.sleep(0.05))
    assert not ended.is_set()


class TestWithTheRealParts:
    async def test_one_interface_from_nothing_to_nothing(
        self,
        netlink_kernel: NetlinkKernel,
        make_netns: Callable[[], str],
        ovsdb_server: OvsdbServer,
        ovsdb_vswitch: OvsdbVswitch,
    ) -> None:
        wiring = Wiring(netlink_kernel, ovsdb_vswitch)
        netns = make_netns()
        async with asyncio.TaskGroup() as tasks:
            plug = tasks.create_task(wiring.plug(sandbox(netns=netns), interface(), timeout_s=10))
            await until(lambda: HOST0 in ovsdb_vswitch.ports())
            await ovsdb_server.vsctl("set", "Interface", HOST0, 'external_ids:ovn-installed="true"')
        assert plug.result().host_ifname == HOST0
        assert await netlink_kernel.get_owners() == {HOST0: "c0/eth0"}
        await wiring.unplug("c0", "eth0")
        assert await netlink_kernel.get_owners() == {}
        assert await ovsdb_server.vsctl("list-ports", "br-int") == ""

    async def test_what_was_plugged_is_as_check_wants_it_until_it_is_changed(
        self,
        netlink_kernel: NetlinkKernel,
        make_netns: Callable[[], str],
        ovsdb_server: OvsdbServer,
        ovsdb_vswitch: OvsdbVswitch,
    ) -> None:
        wiring = Wiring(netlink_kernel, ovsdb_vswitch)
        netns = make_netns()
        addresses = (Address("10.1.0.5", 16, "10.1.0.1"), Address("fd00:1::5", 64, "fd00:1::1"))
        spec = replace(interface(), addresses=addresses)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(wiring.plug(sandbox(netns=netns), spec, timeout_s=10))
            await until(lambda: HOST0 in ovsdb_vswitch.ports())
            await ovsdb_server.vsctl("set", "Interface", HOST0, 'external_ids:ovn-installed="true"')
        told = ResultInterface(name="eth0", mac=spec.mac_address, mtu=spec.mtu, sandbox=netns)
        routes = tuple(ResultRoute(dst=one.destination, gw=one.gateway) for one in desire_routes(spec))
        ips = (ResultIp(address="10.1.0.5/16", interface=0), ResultIp(address="fd00:1:0::5/64", interface=0))
        previous = Result(interfaces=(told,), ips=ips, routes=routes)

        async def differences() -> tuple[str, ...]:
            return diff_sandbox("eth0", netns, previous, spec, await wiring.observe("c0", "eth0", netns))

        assert await differences() == ()
        inside = ("ip", "netns", "exec", Path(netns).name, "ip")
        await asyncio.to_thread(run, *inside, "route", "del", "default")
        await asyncio.to_thread(run, *inside, "link", "set", "eth0", "mtu", "1400")
        await asyncio.to_thread(run, *inside, "addr", "del", "10.1.0.5/16", "dev", "eth0")
        await ovsdb_server.vsctl("del-port", HOST0)
        await until(lambda: HOST0 not in ovsdb_vswitch.ports())
        assert await differences() == (
            f"Open vSwitch has no port {HOST0}",
            "eth0 has MTU 1400, not 1442",
            "eth0 lacks the address 10.1.0.5/16",
            "the sandbox lacks the route to 0.0.0.0/0 via 10.1.0.1",
        )

    async def test_cancelled_at_many_moments_nothing_is_left(
        self,
        netlink_kernel: NetlinkKernel,
        make_netns: Callable[[], str],
        ovsdb_server: OvsdbServer,
        ovsdb_vswitch: OvsdbVswitch,
    ) -> None:
        wiring = Wiring(netlink_kernel, ovsdb_vswitch)
        netns = make_netns()
        for millisecond in range(0, 20, 2):
            plug = asyncio.ensure_future(wiring.plug(sandbox(netns=netns), interface(), timeout_s=10))
            await asyncio.sleep(millisecond / 1000)
            plug.cancel()
            with pytest.raises(asyncio.CancelledError):
                await plug
            assert await netlink_kernel.get_owners() == {}
            assert await ovsdb_server.vsctl("list-ports", "br-int") == ""

    async def test_a_failed_attach_leaves_no_port(
        self, netlink_kernel: NetlinkKernel, ovsdb_server: OvsdbServer, ovsdb_vswitch: OvsdbVswitch
    ) -> None:
        with pytest.raises(KernelError):
            await Wiring(netlink_kernel, ovsdb_vswitch).plug(sandbox(netns="/nowhere"), interface(), timeout_s=5)
        assert await ovsdb_server.vsctl("list-ports", "br-int") == ""
