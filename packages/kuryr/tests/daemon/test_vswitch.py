"""The vswitch's contract, for the fake and for a real ovsdb-server; then what only the real one shows."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import pytest

from kuryr.daemon.ovsdb.client import parse_remote
from kuryr.daemon.ovsdb.vswitch import OvsdbVswitch
from kuryr.daemon.vswitch import (
    BridgeMissing,
    InterfaceFailed,
    InternalPort,
    NameTaken,
    NotInstalled,
    PortInUse,
    PortState,
    Vswitch,
    VswitchUnavailable,
)
from kuryr.simulator.node.ovsdb.server import OvsdbServer as SimulatedServer

from .conftest import OvsdbServer, connected, running_vswitch, started_ovsdb_server
from .databases import connect_to, insert_port, simulated_server
from .examples import record
from .fakes import FakeVswitch

NODE_PORT = InternalPort(name="kuryr0", port_id="port-9", mac_address="02:00:00:00:00:09", mtu=1442)


@dataclass(frozen=True)
class Subject:
    """What is tested, and the hands of those who are not us: ovn-controller and some other agent."""

    vswitch: Vswitch
    install: Callable[[str], Awaitable[object]]
    add_foreign: Callable[[str, str], Awaitable[object]]
    bound_to: Callable[[str], Awaitable[list[str]]]
    misbind: Callable[[str, str], Awaitable[object]]


def fake_subject() -> Subject:
    fake = FakeVswitch("br-int", installs=False)

    async def add_foreign(name: str, port_id: str) -> None:
        fake.foreign[name] = port_id

    async def bound_to(port_id: str) -> list[str]:
        return [name for name, bound in fake.bound.items() if bound == port_id]

    async def misbind(name: str, port_id: str) -> None:
        fake.bound[name] = port_id

    return Subject(fake, fake.install, add_foreign, bound_to, misbind)


def real_subject(server: OvsdbServer, vswitch: OvsdbVswitch) -> Subject:
    async def install(name: str) -> None:
        await server.vsctl("set", "Interface", name, 'external_ids:ovn-installed="true"')

    async def add_foreign(name: str, port_id: str) -> None:
        await server.vsctl(
            "add-port", "br-int", name, "--", "set", "Interface", name, f"external_ids:iface-id={port_id}"
        )

    async def bound_to(port_id: str) -> list[str]:
        found = await server.vsctl("--bare", "--columns=name", "find", "Interface", f"external_ids:iface-id={port_id}")
        return found.split()

    async def misbind(name: str, port_id: str) -> None:
        await server.vsctl("set", "Interface", name, f"external_ids:iface-id={port_id}")

    return Subject(vswitch, install, add_foreign, bound_to, misbind)


def simulated_subject(server: SimulatedServer, vswitch: OvsdbVswitch) -> Subject:
    async def install(name: str) -> None:
        mutation = ["external_ids", "insert", ["map", [["ovn-installed", "true"]]]]
        where = [["name", "==", name]]
        server.transact({"op": "mutate", "table": "Interface", "where": where, "mutations": [mutation]})

    async def add_foreign(name: str, port_id: str) -> None:
        server.transact(*insert_port(name, external_ids=["map", [["iface-id", port_id]]]))

    async def bound_to(port_id: str) -> list[str]:
        rows = server.rows("Interface").values()
        return [row["name"] for row in rows if row["external_ids"].get("iface-id") == port_id]

    async def misbind(name: str, port_id: str) -> None:
        mutations = [
            ["external_ids", "delete", ["set", ["iface-id"]]],
            ["external_ids", "insert", ["map", [["iface-id", port_id]]]],
        ]
        where = [["name", "==", name]]
        server.transact({"op": "mutate", "table": "Interface", "where": where, "mutations": mutations})

    return Subject(vswitch, install, add_foreign, bound_to, misbind)


@pytest.fixture(params=["fake", "simulated", "real"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "fake":
        yield fake_subject()
        return
    if request.param == "simulated":
        simulated = simulated_server()
        async with running_vswitch(OvsdbVswitch("", database=connect_to(simulated))) as vswitch:
            yield simulated_subject(simulated, vswitch)
        return
    programs, folder = request.getfixturevalue("ovs_programs"), request.getfixturevalue("tmp_path")
    async with started_ovsdb_server(programs, folder) as server, connected(server.remote) as vswitch:
        yield real_subject(server, vswitch)


class TestContract:
    async def test_an_added_port_is_seen_with_its_record_at_once(self, subject: Subject) -> None:
        await subject.vswitch.add_port("br-int", "tap0", record())
        assert subject.vswitch.ports() == {"tap0": record()}
        assert await subject.bound_to("port-1") == ["tap0"]

    async def test_adding_again_changes_nothing(self, subject: Subject) -> None:
        await subject.vswitch.add_port("br-int", "tap0", record())
        await subject.install("tap0")
        await subject.vswitch.add_port("br-int", "tap0", record())
        await subject.vswitch.wait_installed("tap0", timeout_s=5)
        assert subject.vswitch.ports() == {"tap0": record()}

    async def test_a_port_with_another_record_is_replaced(self, subject: Subject) -> None:
        await subject.vswitch.add_port("br-int", "tap0", record())
        await subject.install("tap0")
        await subject.vswitch.add_port("br-int", "tap0", record(port_id="port-2"))
        assert subject.vswitch.ports() == {"tap0": record(port_id="port-2")}
        with pytest.raises(NotInstalled):
            await subject.vswitch.wait_installed("tap0", timeout_s=0.05)

    async def test_a_deleted_port_is_gone_at_once_and_may_be_deleted_again(self, subject: Subject) -> None:
        await subject.vswitch.add_port("br-int", "tap0", record())
        await subject.vswitch.del_port("tap0")
        assert subject.vswitch.ports() == {}
        await subject.vswitch.del_port("tap0")
        assert await subject.bound_to("port-1") == []

    async def test_waiting_ends_when_the_flows_are_installed(self, subject: Subject) -> None:
        await subject.vswitch.add_port("br-int", "tap0", record())
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(subject.vswitch.wait_installed("tap0", timeout_s=10))
            await asyncio.sleep(0)
            assert not waiting.done()
            await subject.install("tap0")

    async def test_waiting_ends_when_the_port_is_removed(self, subject: Subject) -> None:
        await subject.vswitch.add_port("br-int", "tap0", record())
        waiting = asyncio.ensure_future(subject.vswitch.wait_installed("tap0", timeout_s=10))
        await asyncio.sleep(0)
        await subject.vswitch.del_port("tap0")
        with pytest.raises(InterfaceFailed):
            await waiting

    async def test_waiting_has_an_end(self, subject: Subject) -> None:
        await subject.vswitch.add_port("br-int", "tap0", record())
        with pytest.raises(NotInstalled):
            await subject.vswitch.wait_installed("tap0", timeout_s=0.05)

    async def test_a_newer_sandbox_of_the_same_pod_takes_the_neutron_port(self, subject: Subject) -> None:
        await subject.vswitch.add_port("br-int", "tap0", record("c0"))
        await subject.vswitch.add_port("br-int", "tap1", record("c1"))
        assert await subject.bound_to("port-1") == ["tap1"]
        assert subject.vswitch.ports() == {"tap0": record("c0"), "tap1": record("c1")}

    async def test_a_late_delete_of_the_old_sandbox_leaves_the_new_one_bound(self, subject: Subject) -> None:
        await subject.vswitch.add_port("br-int", "tap0", record("c0"))
        await subject.vswitch.add_port("br-int", "tap1", record("c1"))
        await subject.vswitch.del_port("tap0")
        assert await subject.bound_to("port-1") == ["tap1"]

    async def test_an_internal_port_is_made_once_and_is_no_sandboxs(self, subject: Subject) -> None:
        assert await subject.vswitch.ensure_internal_port("br-int", NODE_PORT)
        assert not await subject.vswitch.ensure_internal_port("br-int", NODE_PORT)
        assert await subject.bound_to("port-9") == ["kuryr0"]
        assert subject.vswitch.ports() == {}

    async def test_an_internal_port_is_changed_in_place(self, subject: Subject) -> None:
        await subject.vswitch.ensure_internal_port("br-int", NODE_PORT)
        other = replace(NODE_PORT, port_id="port-8", mtu=1400)
        assert await subject.vswitch.ensure_internal_port("br-int", other)
        assert not await subject.vswitch.ensure_internal_port("br-int", other)
        assert await subject.bound_to("port-8") == ["kuryr0"]
        assert await subject.bound_to("port-9") == []

    async def test_an_internal_port_is_not_made_of_somebody_elses(self, subject: Subject) -> None:
        await subject.add_foreign("kuryr0", "port-7")
        with pytest.raises(NameTaken):
            await subject.vswitch.ensure_internal_port("br-int", NODE_PORT)

    async def test_an_internal_port_takes_no_pods_neutron_port(self, subject: Subject) -> None:
        await subject.vswitch.add_port("br-int", "tap0", record())
        with pytest.raises(PortInUse):
            await subject.vswitch.ensure_internal_port("br-int", replace(NODE_PORT, port_id="port-1"))
        assert await subject.bound_to("port-1") == ["tap0"]

    async def test_another_pods_neutron_port_is_refused(self, subject: Subject) -> None:
        await subject.vswitch.add_port("br-int", "tap0", record("c0"))
        with pytest.raises(PortInUse):
            await subject.vswitch.add_port("br-int", "tap1", record("c1", pod_uid="uid-2"))
        assert await subject.bound_to("port-1") == ["tap0"]
        assert list(subject.vswitch.ports()) == ["tap0"]

    async def test_a_neutron_port_of_something_foreign_is_refused(self, subject: Subject) -> None:
        await subject.add_foreign("tapvm", "port-1")
        with pytest.raises(PortInUse):
            await subject.vswitch.add_port("br-int", "tap0", record())

    async def test_a_foreign_port_of_that_name_is_neither_replaced_nor_deleted(self, subject: Subject) -> None:
        await subject.add_foreign("tap0", "port-9")
        with pytest.raises(NameTaken):
            await subject.vswitch.add_port("br-int", "tap0", record())
        assert subject.vswitch.ports() == {}

    async def test_an_addition_is_finished_when_it_was_marked_and_until_it_is_another(self, subject: Subject) -> None:
        await subject.vswitch.add_port("br-int", "tap0", record())
        assert not subject.vswitch.finished()
        await subject.vswitch.mark_finished("tap0")
        assert set(subject.vswitch.finished()) == {"tap0"}
        assert subject.vswitch.ports() == {"tap0": record()}
        await subject.vswitch.add_port("br-int", "tap0", record(port_id="port-2"))
        assert not subject.vswitch.finished()

    async def test_what_a_newer_sandbox_replaced_is_not_finished_any_more(self, subject: Subject) -> None:
        await subject.vswitch.add_port("br-int", "tap0", record("c0"))
        await subject.vswitch.mark_finished("tap0")
        await subject.vswitch.add_port("br-int", "tap1", record("c1"))
        assert not subject.vswitch.finished()

    async def test_what_was_removed_meanwhile_cannot_be_marked(self, subject: Subject) -> None:
        with pytest.raises(InterfaceFailed):
            await subject.vswitch.mark_finished("tap0")

    async def test_a_port_is_seen_as_it_is(self, subject: Subject) -> None:
        assert subject.vswitch.port("br-int", "tap0") is None
        await subject.vswitch.add_port("br-int", "tap0", record())
        state = subject.vswitch.port("br-int", "tap0")
        assert state == PortState(record=record(), bound_to="port-1", installed=False, on_bridge=True, error="")
        await subject.install("tap0")
        await subject.vswitch.wait_installed("tap0", timeout_s=5)
        state = subject.vswitch.port("br-int", "tap0")
        assert state is not None
        assert state.installed

    async def test_a_port_is_bound_again_and_what_it_was_bound_to_let_go(self, subject: Subject) -> None:
        await subject.vswitch.add_port("br-int", "tap0", record())
        await subject.misbind("tap0", "port-9")
        async with asyncio.timeout(5):
            while (state := subject.vswitch.port("br-int", "tap0")) is None or state.bound_to != "port-9":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for _time in range(2):
            await subject.vswitch.bind_again("tap0")
            assert await subject.bound_to("port-1") == ["tap0"]
            assert await subject.bound_to("port-9") == []

    async def test_a_neutron_port_is_not_taken_back_from_who_has_it(self, subject: Subject) -> None:
        await subject.vswitch.add_port("br-int", "tap0", record("c0"))
        await subject.vswitch.add_port("br-int", "tap1", record("c1"))
        with pytest.raises(PortInUse):
            await subject.vswitch.bind_again("tap0")
        assert await subject.bound_to("port-1") == ["tap1"]

    async def test_a_missing_bridge_is_named(self, subject: Subject) -> None:
        with pytest.raises(BridgeMissing, match="br-none"):
            await subject.vswitch.add_port("br-none", "tap0", record())

    async def test_a_cancelled_addition_does_not_outlive_a_deletion(self, subject: Subject) -> None:
        for turns in range(8):
            task = asyncio.ensure_future(subject.vswitch.add_port("br-int", "tap0", record()))
            for _turn in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            await subject.vswitch.del_port("tap0")
            assert subject.vswitch.ports() == {}
            assert await subject.bound_to("port-1") == []

    async def test_the_nodes_binding_host_is_known(self, subject: Subject) -> None:
        system = subject.vswitch.system()
        assert (system.hostname, system.bridge, system.connected) == ("node1.example", "br-int", True)
        assert system.bridge_exists

    async def test_waiting_for_news_of_the_system_ends_at_once_when_it_is_another_already(
        self, subject: Subject
    ) -> None:
        async with asyncio.timeout(10):
            await subject.vswitch.wait_system_changed(None)

    async def test_ports_are_no_news_of_the_system(self, subject: Subject) -> None:
        waiting = asyncio.ensure_future(subject.vswitch.wait_system_changed(subject.vswitch.system()))
        await asyncio.sleep(0)
        await subject.vswitch.add_port("br-int", "tap0", record())
        assert not waiting.done()
        waiting.cancel()


class TestOvsdb:
    async def test_a_foreign_port_survives_our_delete(
        self, ovsdb_server: OvsdbServer, ovsdb_vswitch: OvsdbVswitch
    ) -> None:
        await ovsdb_server.vsctl("add-port", "br-int", "tap0")
        await ovsdb_vswitch.del_port("tap0")
        assert await ovsdb_server.vsctl("list-ports", "br-int") == "tap0"

    async def test_the_decision_holds_at_the_commit_even_when_the_copy_is_behind(
        self, ovsdb_server: OvsdbServer
    ) -> None:
        """Two daemons at once, which must not be: the database decides, and one of them is refused."""
        async with connected(ovsdb_server.remote) as one, connected(ovsdb_server.remote) as other:
            outcomes = await asyncio.gather(
                one.add_port("br-int", "tap0", record("c0")),
                other.add_port("br-int", "tap1", record("c1", pod_uid="uid-2")),
                return_exceptions=True,
            )
        assert [type(outcome) for outcome in outcomes if outcome] == [PortInUse]

    async def test_many_ports_at_once(self, ovsdb_server: OvsdbServer, ovsdb_vswitch: OvsdbVswitch) -> None:
        numbers = range(50)
        await asyncio.gather(
            *(ovsdb_vswitch.add_port("br-int", f"tap{n}", record(f"c{n}", port_id=f"port-{n}")) for n in numbers)
        )
        assert len(ovsdb_vswitch.ports()) == 50
        await asyncio.gather(*(ovsdb_vswitch.del_port(f"tap{n}") for n in numbers))
        assert ovsdb_vswitch.ports() == {}
        assert await ovsdb_server.vsctl("list-ports", "br-int") == ""

    async def test_a_restart_of_the_database_is_survived(
        self, ovsdb_server: OvsdbServer, ovsdb_vswitch: OvsdbVswitch
    ) -> None:
        await ovsdb_vswitch.add_port("br-int", "tap0", record())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ovsdb_vswitch.wait_installed("tap0", timeout_s=20))
            await ovsdb_server.kill()
            await ovsdb_server.start()
            await ovsdb_vswitch.add_port("br-int", "tap1", record("c1", port_id="port-2"))
            await ovsdb_server.vsctl("set", "Interface", "tap0", 'external_ids:ovn-installed="true"')
        assert sorted(ovsdb_vswitch.ports()) == ["tap0", "tap1"]

    async def test_a_database_that_is_away_is_an_error_in_time(self, ovsdb_server: OvsdbServer) -> None:
        async with connected(ovsdb_server.remote, timeout_s=0.3) as vswitch:
            await vswitch.add_port("br-int", "tap0", record())
            await ovsdb_server.kill()
            with pytest.raises(VswitchUnavailable):
                await vswitch.del_port("tap0")
            assert not vswitch.system().connected
            assert list(vswitch.ports()) == ["tap0"]

    async def test_a_connection_that_goes_and_comes_is_news_of_the_system(
        self, ovsdb_server: OvsdbServer, ovsdb_vswitch: OvsdbVswitch
    ) -> None:
        async with asyncio.timeout(20):
            seen = ovsdb_vswitch.system()
            await ovsdb_server.kill()
            await ovsdb_vswitch.wait_system_changed(seen)
            assert not ovsdb_vswitch.system().connected
            await ovsdb_server.start()
            await ovsdb_vswitch.wait_system_changed(ovsdb_vswitch.system())
            assert ovsdb_vswitch.system() == seen

    async def test_a_bridge_that_goes_is_news_of_the_system(
        self, ovsdb_server: OvsdbServer, ovsdb_vswitch: OvsdbVswitch
    ) -> None:
        seen = ovsdb_vswitch.system()
        await ovsdb_server.vsctl("del-br", "br-int")
        async with asyncio.timeout(10):
            await ovsdb_vswitch.wait_system_changed(seen)
        assert not ovsdb_vswitch.system().bridge_exists

    async def test_an_option_of_this_chassis_goes_before_the_general_one(
        self, ovsdb_server: OvsdbServer, ovsdb_vswitch: OvsdbVswitch
    ) -> None:
        seen = ovsdb_vswitch.system()
        ids = ("system-id=n1", "ovn-encap-type=geneve", "ovn-encap-ip=192.0.2.9", "ovn-encap-ip-n1=192.0.2.1")
        await ovsdb_server.vsctl("set", "Open_vSwitch", ".", *(f"external_ids:{one}" for one in ids))
        async with asyncio.timeout(10):
            await ovsdb_vswitch.wait_system_changed(seen)
        system = ovsdb_vswitch.system()
        assert (system.encap_ips, system.encap_types) == (("192.0.2.1",), ("geneve",))

    async def test_an_ovs_vswitchd_that_is_away_is_an_error_in_time(self, ovsdb_server: OvsdbServer) -> None:
        async with connected(ovsdb_server.remote, timeout_s=0.3) as vswitch:
            with pytest.raises(VswitchUnavailable, match="is it running"):
                await vswitch.wait_applied()

    async def test_nothing_is_told_before_the_copy_is_complete(self) -> None:
        vswitch = OvsdbVswitch("unix:/nonexistent/db.sock")
        with pytest.raises(VswitchUnavailable):
            vswitch.ports()
        with pytest.raises(VswitchUnavailable):
            vswitch.system()

    async def test_a_device_that_cannot_be_opened_is_reported(
        self, ovsdb_server: OvsdbServer, ovsdb_vswitch: OvsdbVswitch
    ) -> None:
        await ovsdb_vswitch.add_port("br-int", "tap0", record())
        await ovsdb_server.vsctl("set", "Interface", "tap0", 'error="No such device"')
        with pytest.raises(InterfaceFailed, match="No such device"):
            await ovsdb_vswitch.wait_installed("tap0", timeout_s=10)


@pytest.mark.parametrize("remote", ["", "unix:relative", "tcp:host", "tcp::6640", "ssl:host:6640", "/run/db.sock"])
def test_a_wrong_remote_is_refused_with_what_to_write(remote: str) -> None:
    with pytest.raises(ValueError, match="write unix:/absolute/path or tcp:host:port"):
        parse_remote(remote)


def test_remotes_are_sockets_or_hosts() -> None:
    assert parse_remote("unix:/run/openvswitch/db.sock") == "/run/openvswitch/db.sock"
    assert parse_remote("tcp:[::1]:6640") == ("::1", 6640)
