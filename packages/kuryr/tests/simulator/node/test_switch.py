"""ovs-vswitchd and ovn-controller of a simulated machine, by hand: without a daemon.

What is said of `ovn-installed` was seen with OVN 25.03: northd, ovn-controller, and an ovs-vswitchd with dummy devices.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import pytest

from kubeloop.testing import World, simulate
from kuryr.daemon.kernel import AttachRequest
from kuryr.daemon.records import SandboxRecord
from kuryr.daemon.sandbox import Address
from kuryr.daemon.vswitch import InterfaceFailed, InternalPort, NotInstalled, VswitchUnavailable
from kuryr.simulator.node.gate import open_gate
from kuryr.simulator.node.host import SimulatedHost
from kuryr.simulator.node.machine import BRIDGE, SimulatedMachine

from ...daemon.databases import insert_port
from .clouds import Ports

HOST = "node1.example"
NODE_PORT = InternalPort(name="kuryr0", port_id="port-9", mac_address="02:00:00:00:00:09", mtu=1442)
RECORD = SandboxRecord(
    container_id="c0",
    ifname="eth0",
    netns="/run/netns/c0",
    pod_namespace="default",
    pod_name="web-0",
    pod_uid="uid-1",
    port_id="port-1",
    mac_address="02:00:00:00:00:01",
)
LINK = AttachRequest(
    host_ifname="tap0", netns=RECORD.netns, ifname="eth0", mac_address=RECORD.mac_address, mtu=1442, owner="c0/eth0"
)


@asynccontextmanager
async def connected(machine: SimulatedMachine) -> AsyncIterator[SimulatedHost]:
    async with machine.host(open_gate, over=asyncio.Event()) as host, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(host.vswitch.run())
        await host.vswitch.wait_connected()
        yield host
        running.cancel()


def made(cloud: Ports) -> SimulatedMachine:
    machine = SimulatedMachine("node1", fabric=cloud, random=Random(1))
    machine.namespaces.make(RECORD.netns)
    return machine


def test_flows_come_for_a_port_of_this_host_with_a_device_and_go_with_it() -> None:
    async def scene(_: World) -> None:
        cloud = Ports()
        machine = made(cloud)
        async with connected(machine) as host:
            await host.kernel.attach(LINK)
            await host.vswitch.add_port(BRIDGE, "tap0", RECORD)
            with pytest.raises(NotInstalled):
                await host.vswitch.wait_installed("tap0", timeout_s=5)
            cloud.make("port-1", "another.example")
            with pytest.raises(NotInstalled):
                await host.vswitch.wait_installed("tap0", timeout_s=5)
            cloud.make("port-1", HOST)
            await host.vswitch.wait_installed("tap0", timeout_s=5)
            assert cloud.active == {("port-1", HOST)}
            await host.vswitch.del_port("tap0")
            await asyncio.sleep(1)
            assert not cloud.active

    simulate(scene, seed=1)


def test_a_port_without_its_device_has_failed() -> None:
    async def scene(_: World) -> None:
        async with connected(made(Ports())) as host:
            await host.vswitch.add_port(BRIDGE, "tap0", RECORD)
            with pytest.raises(InterfaceFailed, match="No such device"):
                await host.vswitch.wait_installed("tap0", timeout_s=5)

    simulate(scene, seed=1)


def test_a_device_that_takes_the_place_of_one_that_is_open_is_not_noticed() -> None:
    async def scene(_: World) -> None:
        machine = made(Ports())
        async with connected(machine) as host:
            await host.kernel.attach(LINK)
            await host.vswitch.add_port(BRIDGE, "tap0", RECORD)
            await host.vswitch.wait_applied()
            assert machine.switch.forwards("tap0")
            await host.kernel.attach(LINK)  # in no time
            await host.vswitch.wait_applied()
            assert not machine.switch.forwards("tap0")
            await host.vswitch.del_port("tap0")
            await host.vswitch.wait_applied()
            await host.vswitch.add_port(BRIDGE, "tap0", RECORD)
            await host.vswitch.wait_applied()
            assert machine.switch.forwards("tap0")

    simulate(scene, seed=1)


def test_a_switch_that_is_dead_acts_on_nothing() -> None:
    async def scene(_: World) -> None:
        machine = made(Ports())
        async with connected(machine) as host:
            machine.switch.stop()
            with pytest.raises(VswitchUnavailable, match="is it running"):
                await host.vswitch.wait_applied()
            machine.switch.start()
            await host.vswitch.wait_applied()

    simulate(scene, seed=1)


def test_an_internal_port_is_made_anew_without_addresses_when_the_switch_restarts() -> None:
    async def scene(_: World) -> None:
        machine = made(Ports())
        async with connected(machine) as host:
            assert await host.vswitch.ensure_internal_port(BRIDGE, NODE_PORT)
            await host.vswitch.wait_applied()
            await host.kernel.configure_host_link("kuryr0", (Address("10.1.0.9", 16),))
            device = machine.namespaces.host.devices["kuryr0"]
            assert (device.mac_address, device.mtu) == (NODE_PORT.mac_address, NODE_PORT.mtu)
            assert machine.namespaces.host.ips("kuryr0") == ("10.1.0.9",)
            machine.switch.stop()
            assert "kuryr0" not in machine.namespaces.host.devices
            machine.switch.start()
            await host.vswitch.wait_applied()
            assert machine.namespaces.host.devices["kuryr0"].mac_address == NODE_PORT.mac_address
            assert machine.namespaces.host.ips("kuryr0") == ()

    simulate(scene, seed=1)


def test_an_internal_port_that_is_changed_in_place_keeps_its_flows() -> None:
    """ovn-controller says only once that they are installed."""

    async def scene(_: World) -> None:
        cloud = Ports()
        cloud.make("port-9", HOST)
        cloud.make("port-8", HOST)
        async with connected(made(cloud)) as host:
            for port in (NODE_PORT, replace(NODE_PORT, mtu=1400), replace(NODE_PORT, port_id="port-8")):
                assert await host.vswitch.ensure_internal_port(BRIDGE, port)
                await host.vswitch.wait_applied()
                await host.vswitch.wait_installed("kuryr0", timeout_s=5)
                assert not await host.vswitch.ensure_internal_port(BRIDGE, port)

    simulate(scene, seed=1)


def is_installed(machine: SimulatedMachine, name: str) -> bool:
    row = machine.ovsdb.named("Interface", name)
    return row is not None and row["external_ids"].get("ovn-installed") == "true"


def change_ids(machine: SimulatedMachine, name: str, how: str, value: object) -> None:
    """By some other hand."""
    where = [["name", "==", name]]
    mutations = [["external_ids", how, value]]
    machine.ovsdb.transact({"op": "mutate", "table": "Interface", "where": where, "mutations": mutations})


@asynccontextmanager
async def installed() -> AsyncIterator[tuple[SimulatedMachine, SimulatedHost]]:
    """tap0 has flows."""
    cloud = Ports()
    cloud.make("port-1", HOST)
    machine = made(cloud)
    async with connected(machine) as host:
        await host.kernel.attach(LINK)
        await host.vswitch.add_port(BRIDGE, "tap0", RECORD)
        await host.vswitch.wait_installed("tap0", timeout_s=5)
        yield machine, host


def test_an_interface_that_its_port_is_taken_from_loses_its_flows_and_the_next_has_them() -> None:
    async def scene(_: World) -> None:
        async with installed() as (machine, host):
            machine.namespaces.make("/run/netns/c1")
            await host.kernel.attach(replace(LINK, host_ifname="tap1", netns="/run/netns/c1"))
            await host.vswitch.add_port(BRIDGE, "tap1", replace(RECORD, container_id="c1"))
            await host.vswitch.wait_installed("tap1", timeout_s=5)
            assert not is_installed(machine, "tap0")
            assert machine.chassis.flows == {"port-1": "tap1"}

    simulate(scene, seed=1)


def test_both_that_name_a_port_are_said_to_have_it_and_the_first_does() -> None:
    async def scene(_: World) -> None:
        async with installed() as (machine, host):
            machine.namespaces.make("/run/netns/c1")
            await host.kernel.attach(replace(LINK, host_ifname="tap1", netns="/run/netns/c1"))
            machine.ovsdb.transact(*insert_port("tap1", external_ids=["map", [["iface-id", "port-1"]]]))
            await asyncio.sleep(1)
            assert is_installed(machine, "tap0")
            assert is_installed(machine, "tap1")
            assert machine.chassis.flows == {"port-1": "tap0"}

    simulate(scene, seed=1)


def test_what_others_take_away_ovn_controller_does_not_say_again() -> None:
    async def scene(_: World) -> None:
        async with installed() as (machine, _host):
            change_ids(machine, "tap0", "delete", ["set", ["ovn-installed"]])
            await asyncio.sleep(5)
            assert not is_installed(machine, "tap0")
            assert machine.chassis.flows == {"port-1": "tap0"}

    simulate(scene, seed=1)


def test_a_device_that_went_while_ovn_controller_was_dead_is_seen_by_the_next() -> None:
    async def scene(_: World) -> None:
        async with installed() as (machine, host):
            machine.chassis.stop()
            await host.kernel.detach("tap0")
            await asyncio.sleep(5)
            assert is_installed(machine, "tap0")
            machine.chassis.start()
            await asyncio.sleep(1)
            assert not is_installed(machine, "tap0")

    simulate(scene, seed=1)


def test_what_a_dead_ovn_controller_has_said_of_a_port_stays_when_it_is_gone_meanwhile() -> None:
    async def scene(_: World) -> None:
        cloud = Ports()
        cloud.make("port-1", HOST)
        machine = made(cloud)
        async with connected(machine) as host:
            await host.kernel.attach(LINK)
            await host.vswitch.add_port(BRIDGE, "tap0", RECORD)
            await host.vswitch.wait_installed("tap0", timeout_s=5)
            machine.chassis.stop()
            cloud.delete("port-1", HOST)
            machine.chassis.start()
            await asyncio.sleep(1)
            assert machine.chassis.flows == {}
            assert is_installed(machine, "tap0")  # so it says, and wrongly

    simulate(scene, seed=1)


def test_what_ovn_said_before_the_machine_went_off_does_not_hold_after() -> None:
    async def scene(_: World) -> None:
        cloud = Ports()
        cloud.make("port-1", HOST)
        machine = made(cloud)
        async with connected(machine) as host:
            await host.kernel.attach(LINK)
            await host.vswitch.add_port(BRIDGE, "tap0", RECORD)
            await host.vswitch.wait_installed("tap0", timeout_s=5)
        machine.power_off()
        assert cloud.active
        machine.power_on()
        await asyncio.sleep(1)
        assert not cloud.active
        row = machine.ovsdb.named("Interface", "tap0")
        assert row is not None
        assert row["ofport"] == (-1,)
        assert "ovn-installed" not in row["external_ids"]

    simulate(scene, seed=1)
