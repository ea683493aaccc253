"""Two sandboxes plugged into a real ovs-vswitchd (userspace datapath) reach each other. Without OVN: its part, saying
that flows are installed, is played by the test; the bridge learns by itself.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kuryr.daemon.netlink.kernel import NetlinkKernel
from kuryr.daemon.ovsdb.vswitch import OvsdbVswitch
from kuryr.daemon.sandbox import Address, InterfaceSpec, Sandbox, host_ifname
from kuryr.daemon.vswitch import InterfaceFailed, InternalPort
from kuryr.daemon.wiring import Wiring

from .conftest import OvsdbServer, OvsPrograms, run
from .examples import interface, record, sandbox


@pytest.fixture
async def vswitchd(
    ovs_programs: OvsPrograms, ovsdb_server: OvsdbServer, host_netns: str, tmp_path: Path
) -> AsyncIterator[None]:
    await ovsdb_server.vsctl(
        *("set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true"),
        *("--", "set", "Bridge", "br-int", "datapath_type=netdev", "fail-mode=standalone"),
    )
    process = await asyncio.create_subprocess_exec(
        *("nsenter", f"--net={host_netns}", ovs_programs("ovs-vswitchd"), ovsdb_server.remote),
        *(f"--unixctl={tmp_path / 'vswitchd.ctl'}", f"--log-file={tmp_path / 'vswitchd.log'}", "-vconsole:off"),
        env={**os.environ, "OVS_RUNDIR": str(tmp_path)},
    )
    try:
        await ovsdb_server.vsctl("--timeout=20", "add", "Open_vSwitch", ".", "external_ids", "tested=true", wait=True)
        yield
    finally:
        process.terminate()
        await process.wait()


class Plugging:
    def __init__(self, wiring: Wiring, server: OvsdbServer) -> None:
        self._wiring = wiring
        self._server = server

    async def __call__(self, container: Sandbox, spec: InterfaceSpec) -> None:
        """Plug, and be ovn-controller meanwhile: flows are installed when the interface has a number."""
        name = host_ifname(container.container_id, container.ifname)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._wiring.plug(container, spec, timeout_s=20))
            await self._server.vsctl("--timeout=20", "wait-until", "Interface", name, "ofport>0", wait=True)
            await self._server.vsctl("set", "Interface", name, 'external_ids:ovn-installed="true"')


def spec(number: int) -> InterfaceSpec:
    return replace(
        interface(f"port-{number}"),
        mac_address=f"02:00:00:00:00:{number:02x}",
        addresses=(Address(f"10.1.0.{number}", 24), Address(f"fd00:1::{number}", 64)),
    )


async def test_two_sandboxes_reach_each_other_and_leave_no_trace(
    vswitchd: None,
    netlink_kernel: NetlinkKernel,
    make_netns: Callable[[], str],
    ovsdb_server: OvsdbServer,
    ovsdb_vswitch: OvsdbVswitch,
) -> None:
    wiring = Wiring(netlink_kernel, ovsdb_vswitch)
    plug = Plugging(wiring, ovsdb_server)
    one, two = make_netns(), make_netns()
    for _round in range(2):  # the second time over the same names
        await asyncio.gather(
            plug(sandbox("c1", netns=one, pod_uid="uid-1"), spec(1)),
            plug(sandbox("c2", netns=two, pod_uid="uid-2"), spec(2)),
        )
        for target in ("10.1.0.2", "fd00:1::2"):
            await asyncio.to_thread(
                run, "ip", "netns", "exec", Path(one).name, "ping", "-c2", "-i0.2", "-W2", "-q", target
            )
        for container_id in ("c1", "c2"):
            await wiring.unplug(container_id, "eth0")
        assert await ovsdb_server.vsctl("list-ports", "br-int") == ""
        assert await netlink_kernel.get_owners() == {}


async def test_an_addition_that_is_repeated_works_again(
    vswitchd: None,
    netlink_kernel: NetlinkKernel,
    make_netns: Callable[[], str],
    ovsdb_server: OvsdbServer,
    ovsdb_vswitch: OvsdbVswitch,
) -> None:
    """Open vSwitch had the earlier device of that name open; it must notice that there is another one now."""
    plug = Plugging(Wiring(netlink_kernel, ovsdb_vswitch), ovsdb_server)
    one, two = make_netns(), make_netns()
    await plug(sandbox("c2", netns=two, pod_uid="uid-2"), spec(2))
    for _time in range(3):
        await plug(sandbox("c1", netns=one, pod_uid="uid-1"), spec(1))
        await asyncio.to_thread(
            run, "ip", "netns", "exec", Path(one).name, "ping", "-c5", "-i0.2", "-W2", "-q", "10.1.0.2"
        )


async def test_a_port_without_a_device_is_reported_not_awaited(vswitchd: None, ovsdb_vswitch: OvsdbVswitch) -> None:
    await ovsdb_vswitch.add_port("br-int", "tapmissing", record())
    with pytest.raises(InterfaceFailed, match="tapmissing"):
        await ovsdb_vswitch.wait_installed("tapmissing", timeout_s=20)


async def test_the_node_reaches_a_sandbox_through_its_own_port_by_icmp_and_tcp(
    vswitchd: None,
    netlink_kernel: NetlinkKernel,
    make_netns: Callable[[], str],
    host_netns: str,
    ovsdb_server: OvsdbServer,
    ovsdb_vswitch: OvsdbVswitch,
) -> None:
    inside = make_netns()
    await Plugging(Wiring(netlink_kernel, ovsdb_vswitch), ovsdb_server)(sandbox("c1", netns=inside), spec(1))
    port = InternalPort(name="kuryr0", port_id="port-9", mac_address="02:00:00:00:00:09", mtu=1442)
    assert await ovsdb_vswitch.ensure_internal_port("br-int", port)
    await ovsdb_vswitch.wait_applied()
    own = (Address("10.1.0.9", 24), Address("fd00:1::9", 64))
    # another address first: what is not wanted goes
    for addresses in ((Address("10.1.0.8", 24),), own, own):
        await netlink_kernel.configure_host_link("kuryr0", addresses)
    shown = await asyncio.to_thread(run, "ip", "-n", Path(host_netns).name, "-brief", "address", "show", "kuryr0")
    assert sorted(shown.split()[2:]) == ["10.1.0.9/24", "fd00:1::9/64"]
    at_host = ("ip", "netns", "exec", Path(host_netns).name)
    for target in ("10.1.0.1", "fd00:1::1"):
        await asyncio.to_thread(run, *at_host, "ping", "-c2", "-i0.2", "-W2", "-q", target)
    listener = (
        "import socket; s = socket.create_server(('10.1.0.1', 8080)); print('up', flush=True); "
        "c, _ = s.accept(); c.sendall(b'x' * 100000)"
    )
    caller = (
        "import socket; s = socket.create_connection(('10.1.0.1', 8080), 5); s.settimeout(5)\n"
        "n = 0\nwhile d := s.recv(65536): n += len(d)\nassert n == 100000, n"
    )
    server = await asyncio.create_subprocess_exec(
        *("ip", "netns", "exec", Path(inside).name, sys.executable, "-c", listener), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        await server.stdout.readline()
        await asyncio.to_thread(run, *at_host, sys.executable, "-c", caller)
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()
