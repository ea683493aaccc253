"""The kernel's contract, for the simulated and the real one; then what only the real one shows."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuryr.daemon.kernel import AttachRequest, Kernel, KernelError, NetnsGone
from kuryr.daemon.netlink import codec, messages
from kuryr.daemon.netlink.connection import NetlinkConnection, NetlinkError
from kuryr.daemon.netlink.kernel import NetlinkKernel
from kuryr.daemon.sandbox import Address, Route

from .conftest import run
from .fakes import HandKernel


def request(netns: str, host_ifname: str = "tapkuryrtest1", **changes: object) -> AttachRequest:
    base = AttachRequest(
        host_ifname=host_ifname,
        netns=netns,
        ifname="eth0",
        mac_address="02:00:00:00:00:01",
        mtu=1442,
        owner="c0/eth0",
        addresses=(Address("10.1.0.5", 24), Address("fd00:1::5", 64)),
        routes=(Route("0.0.0.0/0", "10.1.0.1"), Route("::/0", "fd00:1::1")),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.fixture(params=["simulated", "real"])
async def kernel_and_netns(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Kernel, str, str]]:
    if request.param == "simulated":
        yield HandKernel("/one", "/two"), "/one", "/two"
        return
    make_netns = request.getfixturevalue("make_netns")
    yield request.getfixturevalue("netlink_kernel"), make_netns(), make_netns()


class TestContract:
    async def test_an_attached_link_is_known_by_its_owner(self, kernel_and_netns: tuple[Kernel, str, str]) -> None:
        kernel, netns, _ = kernel_and_netns
        link = await kernel.attach(request(netns))
        assert link.host_ifname == "tapkuryrtest1"
        assert await kernel.get_owners() == {"tapkuryrtest1": "c0/eth0"}

    async def test_attach_may_be_repeated(self, kernel_and_netns: tuple[Kernel, str, str]) -> None:
        kernel, netns, _ = kernel_and_netns
        await kernel.attach(request(netns))
        await kernel.attach(request(netns))
        assert await kernel.get_owners() == {"tapkuryrtest1": "c0/eth0"}

    async def test_attach_replaces_what_an_earlier_attempt_left_in_the_sandbox(
        self, kernel_and_netns: tuple[Kernel, str, str]
    ) -> None:
        kernel, netns, _ = kernel_and_netns
        await kernel.attach(request(netns, "tapkuryrtest1"))
        await kernel.attach(request(netns, "tapkuryrtest2"))
        assert list(await kernel.get_owners()) == ["tapkuryrtest2"]

    async def test_sandboxes_are_independent(self, kernel_and_netns: tuple[Kernel, str, str]) -> None:
        kernel, one, two = kernel_and_netns
        await asyncio.gather(
            kernel.attach(request(one, "tapkuryrtest1")), kernel.attach(request(two, "tapkuryrtest2", owner="c1/eth0"))
        )
        await kernel.detach("tapkuryrtest1")
        assert await kernel.get_owners() == {"tapkuryrtest2": "c1/eth0"}

    async def test_detach_of_a_missing_link_is_success(self, kernel_and_netns: tuple[Kernel, str, str]) -> None:
        kernel, netns, _ = kernel_and_netns
        await kernel.attach(request(netns))
        await kernel.detach("tapkuryrtest1")
        await kernel.detach("tapkuryrtest1")
        assert await kernel.get_owners() == {}

    async def test_a_vanished_netns_is_told_apart(self, kernel_and_netns: tuple[Kernel, str, str]) -> None:
        kernel, netns, _ = kernel_and_netns
        with pytest.raises(NetnsGone):
            await kernel.attach(request("/run/netns/kuryr-test-none"))
        assert await kernel.is_netns(netns)
        assert not await kernel.is_netns("/run/netns/kuryr-test-none")

    async def test_a_cancelled_attach_can_be_detached(self, kernel_and_netns: tuple[Kernel, str, str]) -> None:
        kernel, netns, _ = kernel_and_netns
        for turns in range(4):
            task = asyncio.ensure_future(kernel.attach(request(netns)))
            for _turn in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            await kernel.detach("tapkuryrtest1")
            assert await kernel.get_owners() == {}


class TestNetlink:
    async def test_the_pod_has_what_was_asked(
        self, netlink_kernel: NetlinkKernel, make_netns: Callable[[], str]
    ) -> None:
        netns = make_netns()
        await netlink_kernel.attach(request(netns))
        inside = await netlink_kernel.get_state(netns)
        links = {link.name: link for link in inside.links}
        assert links["lo"].up
        assert links["eth0"].up
        assert (links["eth0"].mac_address, links["eth0"].mtu) == ("02:00:00:00:00:01", 1442)
        assert ("eth0", Address("10.1.0.5", 24)) in inside.addresses
        assert ("eth0", Address("fd00:1::5", 64)) in inside.addresses
        assert ("eth0", Route("0.0.0.0/0", "10.1.0.1")) in inside.routes
        assert ("eth0", Route("::/0", "fd00:1::1")) in inside.routes
        assert "tentative" not in run("ip", "-n", os.path.basename(netns), "-6", "addr", "show", "to", "fd00:1::/64")

    async def test_the_host_end_is_up_silent_and_as_wide(
        self, netlink_kernel: NetlinkKernel, make_netns: Callable[[], str]
    ) -> None:
        attached = await netlink_kernel.attach(request(make_netns()))
        outside = await netlink_kernel.get_state()
        (tap,) = [link for link in outside.links if link.name == "tapkuryrtest1"]
        assert (tap.up, tap.mtu, tap.index) == (True, 1442, attached.host_ifindex)
        assert tap.mac_address == attached.host_mac_address
        assert not [address for name, address in outside.addresses if name == "tapkuryrtest1"]

    async def test_the_mtu_of_each_address_of_the_host_is_known(
        self, netlink_kernel: NetlinkKernel, host_netns: str
    ) -> None:
        name = host_netns.rpartition("/")[2]
        run("ip", "-n", name, "link", "add", "ul", "mtu", "1600", "type", "veth", "peer", "name", "peer")
        run("ip", "-n", name, "address", "add", "192.0.2.1/24", "dev", "ul")
        run("ip", "-n", name, "address", "add", "2001:db8::1/64", "dev", "ul")
        mtus = await netlink_kernel.get_mtus()
        assert (mtus["192.0.2.1"], mtus["2001:db8::1"]) == (1600, 1600)

    async def test_a_gateway_outside_the_prefix_is_reached_on_the_link(
        self, netlink_kernel: NetlinkKernel, make_netns: Callable[[], str]
    ) -> None:
        netns = make_netns()
        routes = (Route("10.9.0.1/32"), Route("0.0.0.0/0", "10.8.0.1", onlink=True))
        await netlink_kernel.attach(request(netns, addresses=(Address("10.1.0.5", 32),), routes=routes))
        inside = await netlink_kernel.get_state(netns)
        assert {route for _name, route in inside.routes} >= set(routes)

    async def test_a_failure_in_the_middle_leaves_no_link(
        self, netlink_kernel: NetlinkKernel, make_netns: Callable[[], str]
    ) -> None:
        unreachable = (Route("0.0.0.0/0", "10.8.0.1"),)
        with pytest.raises(NetlinkError) as caught:
            await netlink_kernel.attach(request(make_netns(), routes=unreachable))
        assert caught.value.errno == errno.ENETUNREACH
        assert "0.0.0.0/0 via 10.8.0.1" in str(caught.value)
        assert "Nexthop has invalid gateway" in caught.value.message
        assert await netlink_kernel.get_owners() == {}

    async def test_a_foreign_device_of_that_name_in_the_sandbox_is_left_alone(
        self, netlink_kernel: NetlinkKernel, make_netns: Callable[[], str]
    ) -> None:
        netns = make_netns()
        run("ip", "-n", os.path.basename(netns), "link", "add", "eth0", "type", "bridge")
        with pytest.raises(KernelError, match="not ours"):
            await netlink_kernel.attach(request(netns))
        kinds = {link.name: link.kind for link in (await netlink_kernel.get_state(netns)).links}
        assert kinds["eth0"] == "bridge"
        assert await netlink_kernel.get_owners() == {}

    async def test_the_hosts_own_namespace_is_never_a_sandbox(
        self, netlink_kernel: NetlinkKernel, host_netns: str
    ) -> None:
        with pytest.raises(KernelError, match="host's own"):
            await netlink_kernel.attach(request(host_netns))

    async def test_an_ordinary_file_is_no_namespace(
        self, netlink_kernel: NetlinkKernel, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        left_over = tmp_path_factory.mktemp("netns") / "cni-1"
        left_over.touch()
        with pytest.raises(NetnsGone, match="not a network namespace"):
            await netlink_kernel.attach(request(str(left_over)))

    async def test_a_path_that_cannot_be_opened_says_nothing_about_the_namespace(
        self, netlink_kernel: NetlinkKernel, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """As when a process has too many open files: its sandboxes live."""
        loop = tmp_path_factory.mktemp("netns") / "cni-1"
        loop.symlink_to(loop)
        with pytest.raises(KernelError, match="cannot open"):
            await netlink_kernel.is_netns(str(loop))

    async def test_the_event_loops_thread_never_leaves_home(
        self, netlink_kernel: NetlinkKernel, make_netns: Callable[[], str]
    ) -> None:
        home = os.readlink("/proc/thread-self/ns/net")
        await netlink_kernel.attach(request(make_netns()))
        assert os.readlink("/proc/thread-self/ns/net") == home

    async def test_a_removed_namespace_takes_its_link_along(
        self, netlink_kernel: NetlinkKernel, make_netns: Callable[[], str]
    ) -> None:
        netns = make_netns()
        await netlink_kernel.attach(request(netns))
        run("ip", "netns", "del", os.path.basename(netns))
        # Nothing of ours pins it; the kernel cleans up a little later.
        async with asyncio.timeout(10):
            while await netlink_kernel.get_owners():  # noqa: ASYNC110 - the kernel tells nobody
                await asyncio.sleep(0.02)


attributes = st.dictionaries(st.integers(0, codec.NLA_TYPE_MASK), st.binary(max_size=64))


@given(attributes)
def test_attributes_survive_encoding(values: dict[int, bytes]) -> None:
    data = b"".join(codec.encode_attribute(kind, payload) for kind, payload in values.items())
    assert codec.parse_attributes(data) == values


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 2**32 - 1), st.binary())))
def test_messages_survive_encoding(fields: list[tuple[int, int, int, bytes]]) -> None:
    messages = [codec.Message(*each) for each in fields]
    assert list(codec.parse_messages(b"".join(map(codec.encode_message, messages)))) == messages


@given(st.binary())
def test_garbage_is_refused_in_one_way(data: bytes) -> None:
    for parse in (codec.parse_attributes, lambda data: list(codec.parse_messages(data))):
        try:
            parse(data)
        except codec.NetlinkFormatError:
            continue


def test_a_socket_that_fails_is_an_error_of_the_kernel_as_any_other() -> None:
    """As without buffer space: the daemon lives on, and its caller asks again."""
    connection = NetlinkConnection()
    connection.close()
    for ask in (connection.request, connection.dump):
        with pytest.raises(KernelError, match="could not list links"):
            ask(messages.list_links())
