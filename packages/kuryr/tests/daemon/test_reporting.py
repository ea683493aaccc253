"""What a KuryrNode says, and when it is written."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import pytest

from kubeloop import Client, find_condition
from kuryr.daemon.ovn import OvnControllerStatus
from kuryr.daemon.reporting import NodeReporter, Observation, desire_status
from kuryr.daemon.vswitch import VswitchSystem
from kuryr.model.resources import KuryrNode, KuryrNodeStatus

from .fakes import FakeApi, FakeHost, FakeVswitch

NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
LATER = NOON + datetime.timedelta(hours=1)
SYSTEM = VswitchSystem(
    hostname="node1.example",
    system_id="node1",
    bridge="br-int",
    bridge_exists=True,
    ovs_version="3.5.0",
    encap_ips=("192.0.2.1",),
    encap_types=("geneve",),
    connected=True,
)
CONNECTED = OvnControllerStatus(True, "Connected")
HEALTHY = Observation(
    system=SYSTEM,
    switch_problem="",
    controller=CONNECTED,
    mtus={"192.0.2.1": 1500},
    families=("IPv4",),
    boot_id="boot",
)


def said(status: KuryrNodeStatus, kind: str) -> tuple[str, str]:
    found = find_condition(status.conditions, kind)
    assert found is not None
    return found.status, found.reason


@pytest.mark.parametrize(
    ("seen", "ovs", "ovn"),
    [
        (HEALTHY, ("True", "Applied"), ("True", "Connected")),
        (replace(HEALTHY, system=None), ("False", "Unavailable"), ("Unknown", "Unavailable")),
        (replace(HEALTHY, system=replace(SYSTEM, connected=False)), ("False", "Disconnected"), ("True", "Connected")),
        (replace(HEALTHY, switch_problem="it did not act"), ("False", "NoAnswer"), ("True", "Connected")),
        (replace(HEALTHY, system=replace(SYSTEM, encap_ips=())), ("True", "Applied"), ("False", "NoEncapsulation")),
        (
            replace(HEALTHY, system=replace(SYSTEM, bridge_exists=False)),
            ("True", "Applied"),
            ("False", "BridgeMissing"),
        ),
        (
            replace(HEALTHY, controller=OvnControllerStatus(False, "NotRunning", "x")),
            ("True", "Applied"),
            ("False", "NotRunning"),
        ),
        (
            replace(HEALTHY, controller=OvnControllerStatus(None, "NotVisible", "x")),
            ("True", "Applied"),
            ("Unknown", "NotVisible"),
        ),
    ],
)
def test_conditions_say_what_was_seen(seen: Observation, ovs: tuple[str, str], ovn: tuple[str, str]) -> None:
    status = desire_status(seen, KuryrNodeStatus(), NOON)
    assert (said(status, "OVSReady"), said(status, "OVNReady")) == (ovs, ovn)


def test_the_same_observation_later_is_no_news() -> None:
    first = desire_status(HEALTHY, KuryrNodeStatus(), NOON)
    assert desire_status(HEALTHY, first, LATER) == first


def test_only_the_condition_that_turns_gets_a_new_time() -> None:
    first = desire_status(HEALTHY, KuryrNodeStatus(), NOON)
    gone = replace(HEALTHY, controller=OvnControllerStatus(False, "NotRunning", "x"))
    second = desire_status(gone, first, LATER)
    times = {one.type: one.last_transition_time for one in second.conditions}
    assert times == {"OVSReady": "2026-01-01T12:00:00Z", "OVNReady": "2026-01-01T13:00:00Z"}


def test_another_reason_for_the_same_state_keeps_the_time() -> None:
    first = desire_status(replace(HEALTHY, switch_problem="x"), KuryrNodeStatus(), NOON)
    second = desire_status(replace(HEALTHY, system=replace(SYSTEM, connected=False)), first, LATER)
    found = find_condition(second.conditions, "OVSReady")
    assert found is not None
    assert (found.reason, found.last_transition_time) == ("Disconnected", "2026-01-01T12:00:00Z")


def test_the_facts_stay_while_ovsdb_was_not_reached_yet() -> None:
    before = desire_status(HEALTHY, KuryrNodeStatus(), NOON)
    after = desire_status(replace(HEALTHY, system=None), before, LATER)
    assert (after.host_id, after.mtu, after.families) == ("node1.example", 1442, ("IPv4",))


class Node:
    """A node whose health the test decides, and its reporter."""

    def __init__(self) -> None:
        self.api = FakeApi({"/api/v1/nodes/n1": {"metadata": {"name": "n1", "uid": "node-uid"}}})
        self.vswitch = FakeVswitch("br-int")
        self.mtus: dict[str, int] = {"192.0.2.1": 1500}
        self.ovn = CONNECTED

    async def get_mtus(self) -> Mapping[str, int]:
        return self.mtus

    async def fetch_status(self) -> OvnControllerStatus:
        return self.ovn

    @asynccontextmanager
    async def reported(self, *, look_every_s: float) -> AsyncIterator[None]:
        client = Client(self.api)
        reporter = NodeReporter(client, FakeHost(self, self.vswitch, self), node="n1", look_every_s=look_every_s)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(reporter.run())
            yield
            running.cancel()

    def status(self) -> KuryrNodeStatus:
        found = self.api.objects.get("/apis/kuryr.openstack.org/v1alpha1/kuryrnodes/n1", {})
        return msgspec.convert(found.get("status", {}), KuryrNodeStatus)

    async def until(self, kind: str, expected: str) -> None:
        def there() -> bool:
            found = find_condition(self.status().conditions, kind)
            return found is not None and found.status == expected

        await self.api.until(there)


async def test_a_node_is_reported_with_its_owner_and_what_it_has() -> None:
    node = Node()
    async with node.reported(look_every_s=60):
        await node.until("OVNReady", "True")
    assert (node.status().host_id, node.status().mtu) == ("node1.example", 1442)
    made = msgspec.convert(node.api.objects["/apis/kuryr.openstack.org/v1alpha1/kuryrnodes/n1"], KuryrNode)
    assert made.spec.node_uid == made.metadata.owner_references[0].uid == "node-uid"


async def test_news_from_ovsdb_are_reported_without_waiting_for_the_next_look() -> None:
    node = Node()
    async with node.reported(look_every_s=3600):
        await node.until("OVSReady", "True")
        await node.vswitch.set_connected(False)
        await node.until("OVSReady", "False")
        await node.vswitch.set_connected(True)
        await node.until("OVSReady", "True")


async def test_what_ovsdb_does_not_know_is_seen_at_the_next_look() -> None:
    node = Node()
    async with node.reported(look_every_s=0.02):
        await node.until("OVNReady", "True")
        node.ovn = OvnControllerStatus(False, "NotRunning", "x")
        await node.until("OVNReady", "False")


async def test_a_healthy_node_is_written_once_and_a_new_daemon_writes_nothing() -> None:
    node = Node()
    for _daemon in range(2):
        async with node.reported(look_every_s=0.01):
            await node.until("OVNReady", "True")
            await node.api.until(lambda: len(node.api.asked) >= 3)
            await node.vswitch.looked(times=5)
    assert [verb for verb, path in node.api.asked if path.endswith("/status")] == ["PATCH"]


async def test_what_is_no_longer_known_is_taken_back() -> None:
    node = Node()
    async with node.reported(look_every_s=0.02):
        await node.api.until(lambda: node.status().mtu == 1442)
        node.mtus = {}
        await node.api.until(lambda: node.status().mtu == 0)


async def test_a_report_that_fails_is_made_again() -> None:
    node = Node()
    node.api.failures = 3
    async with node.reported(look_every_s=0.02):
        await node.until("OVSReady", "True")
