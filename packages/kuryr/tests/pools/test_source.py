import asyncio

import msgspec
import pytest

from kubeloop import ObjectMeta, Retry
from kuryr.model.ownership import ClusterId, PodUid, PoolUid, PortId, Slot, device_id, device_owner, mac_address
from kuryr.model.resources import KuryrNode, KuryrNodeSpec, KuryrNodeStatus, KuryrPortPool, KuryrPortPoolSpec
from kuryr.openstack import errors
from kuryr.openstack.neutron import Network, Neutron, Subnet
from kuryr.openstack.placement import Placement
from kuryr.pools.ledger import PortLedger
from kuryr.pools.source import DELETED, MOVED, PoolSource

from .neutron_server import NeutronServer

CLUSTER = ClusterId("c")
POOL_UID = PoolUid("pool-uid")
POOL = KuryrPortPool(
    metadata=ObjectMeta(name="pool", uid=POOL_UID),
    spec=KuryrPortPoolSpec(node="node1", node_uid="n", network_id="net", subnet_ids=("s",)),
)
PLACEMENT = Placement(Network("net", "pods", 1442), (Subnet("s", "net", "10.0.0.0/16", 4, "10.0.0.1"),), ())


class Case:
    """A source on a Neutron; a released port does not rest."""

    def __init__(self) -> None:
        self.server = NeutronServer()
        self.claimed: set[PortId] = set()
        self.host_id = "node1.example"
        self.ledger = PortLedger(self.claimed.__contains__, cool_down_s=0.0)
        self.source = PoolSource(
            Neutron(self.server),
            self.ledger,
            cluster=CLUSTER,
            placement=PLACEMENT,
            node=lambda key: KuryrNode(
                metadata=ObjectMeta(name=key.name),
                spec=KuryrNodeSpec(node_uid="n"),
                status=KuryrNodeStatus(host_id=self.host_id),
            ),
        )

    async def acquire(self, pod: str) -> str:
        return (await self.source.acquire(POOL, PodUid(pod))).port_id

    async def leave_free(self, *pods: str) -> None:
        """As many free ports."""
        for pod in pods:
            await self.acquire(pod)
        for pod in pods:
            self.source.release(PodUid(pod))


async def test_a_port_says_whose_it_is_and_where_it_is_bound_from_its_create_on() -> None:
    case = Case()
    interface = await case.source.acquire(POOL, PodUid("a"))
    port = case.server.ports[interface.port_id]
    slot = Slot(POOL_UID, 0)
    assert (port["device_owner"], port["device_id"]) == (device_owner(CLUSTER), device_id(slot))
    assert (port["mac_address"], port["binding:host_id"]) == (mac_address(CLUSTER, slot), "node1.example")
    assert (interface.mtu, interface.addresses[0].prefix_length, interface.addresses[0].gateway) == (
        1442,
        16,
        "10.0.0.1",
    )


async def test_a_create_whose_answer_was_lost_makes_no_second_port() -> None:
    case = Case()
    case.server.lost = 1
    with pytest.raises(errors.Unavailable):
        await case.acquire("a")
    assert await case.acquire("a") == "port-1"
    assert list(case.server.ports) == ["port-1"]


async def test_a_port_of_somebody_else_with_our_mac_is_left_alone_and_another_slot_taken() -> None:
    case = Case()
    mac = mac_address(CLUSTER, Slot(POOL_UID, 0))
    theirs = {"id": "theirs", "network_id": "net", "mac_address": mac, "device_owner": "compute:nova", "device_id": "x"}
    case.server.ports["theirs"] = theirs
    with pytest.raises(Retry):
        await case.acquire("a")
    port = case.server.ports[await case.acquire("a")]
    assert port["device_id"] == device_id(Slot(POOL_UID, 1))
    assert case.server.ports["theirs"] is theirs


async def test_a_mac_that_nobody_is_seen_to_have_costs_one_slot_and_no_more() -> None:
    case = Case()
    case.server.invisible.add(mac_address(CLUSTER, Slot(POOL_UID, 0)))  # a port of another project
    with pytest.raises(Retry):
        await case.acquire("a")
    assert case.server.ports[await case.acquire("a")]["device_id"] == device_id(Slot(POOL_UID, 1))


async def test_a_port_that_turns_up_with_the_mac_and_is_claimed_is_not_given_again() -> None:
    case = Case()
    await case.acquire("a")
    case.claimed.add(PortId("port-1"))
    case.source.release(PodUid("a"))
    case.ledger.forget(PortId("port-1"))  # as if the ledger had missed it
    with pytest.raises(Retry, match="in use"):
        await case.acquire("b")
    assert await case.acquire("b") == "port-2"


async def test_a_free_port_that_was_moved_to_another_host_is_made_anew() -> None:
    case = Case()
    await case.leave_free("a")
    case.server.ports["port-1"]["binding:host_id"] = "elsewhere"
    await case.source.resync()
    assert await case.acquire("b") == "port-2"
    await case.source.delete_surplus([POOL_UID])
    assert list(case.server.ports) == ["port-2"]


async def test_neutron_is_asked_what_became_of_a_port_and_only_of_one_that_seems_gone_or_moved() -> None:
    case = Case()
    port = PortId(await case.acquire("a"))
    case.server.ports[port]["binding:host_id"] = "elsewhere"
    assert await case.source.fetch_trouble(port, "node1") == "", "nothing seemed wrong"
    assert await case.source.resync() == {port}
    assert await case.source.fetch_trouble(port, "node1") == MOVED
    case.server.ports[port]["binding:host_id"] = "node1.example"
    assert await case.source.fetch_trouble(port, "node1") == ""
    del case.server.ports[port]
    assert await case.source.resync() == {port}
    assert await case.source.fetch_trouble(port, "node1") == DELETED


async def test_a_fence_deletes_a_claimed_port_of_ours_and_no_other() -> None:
    case = Case()
    port = PortId(await case.acquire("a"))
    case.claimed.add(port)
    theirs = {"id": "theirs", "network_id": "net", "mac_address": "m", "device_owner": "compute:nova", "device_id": "x"}
    case.server.ports["theirs"] = theirs
    for one in (port, PortId("theirs"), port):
        await case.source.fence(one)
    assert list(case.server.ports) == ["theirs"]
    assert case.ledger.find(port) is None


async def test_a_retired_pool_gives_nothing_out() -> None:
    case = Case()
    await case.leave_free("a")
    case.source.retire(POOL_UID)
    with pytest.raises(Retry):
        await case.acquire("b")


async def test_a_port_that_neutron_could_not_bind_is_deleted_and_made_anew() -> None:
    case = Case()
    case.server.vif_type = "binding_failed"
    with pytest.raises(errors.BindingFailed, match=r"host node1\.example.*\(req-1\)"):
        await case.acquire("a")
    assert case.server.ports == {}
    case.server.vif_type = "ovs"
    assert await case.acquire("a") == "port-2"


async def test_a_port_that_is_not_bound_is_given_to_nobody_however_it_came_to_be_there() -> None:
    case = Case()
    case.server.vif_type = "binding_failed"
    case.server.lost = 1
    with pytest.raises(errors.Unavailable):
        await case.acquire("a")
    await case.source.resync()
    assert case.ledger.find(PortId("port-1")) is not None
    case.server.vif_type = "ovs"
    assert await case.acquire("a") == "port-2"
    await case.source.delete_surplus([POOL_UID])
    assert list(case.server.ports) == ["port-2"]


async def test_a_port_that_seemed_elsewhere_and_is_not_is_given_out() -> None:
    case = Case()
    await case.leave_free("a")
    case.server.ports["port-1"]["binding:vif_type"] = "unbound"
    await case.source.resync()
    case.server.ports["port-1"]["binding:vif_type"] = "ovs"
    assert await case.acquire("b") == "port-1"


async def test_a_port_is_usable_while_neutron_has_it_of_that_pool_on_the_nodes_host() -> None:
    case = Case()
    port = PortId(await case.acquire("a"))
    other = msgspec.structs.replace(POOL, metadata=ObjectMeta(name="other", uid="other"))
    assert case.source.is_usable(POOL, port)
    assert not case.source.is_usable(other, port)
    case.host_id = "renamed.example"
    assert not case.source.is_usable(POOL, port)
    case.host_id = "node1.example"
    case.server.ports.clear()
    await case.source.resync()
    assert not case.source.is_usable(POOL, port)


async def test_no_port_is_made_while_the_node_does_not_say_where() -> None:
    case = Case()
    case.host_id = ""
    with pytest.raises(Retry):
        await case.acquire("a")
    assert case.server.ports == {}


async def test_a_new_controller_finds_free_what_the_one_before_left() -> None:
    before, after = Case(), Case()
    await before.acquire("a")
    after.server = before.server
    after.source = PoolSource(
        Neutron(before.server), after.ledger, cluster=CLUSTER, placement=PLACEMENT, node=lambda _: None
    )
    await after.source.resync()
    assert await after.acquire("b") == "port-1"


async def test_ports_that_nobody_claims_are_deleted_and_those_in_use_are_not() -> None:
    case = Case()
    await case.leave_free("a", "b", "c")
    case.claimed.add(PortId("port-2"))
    await case.acquire("c")
    await case.source.delete_surplus([POOL_UID])
    assert set(case.server.ports) == {"port-1", "port-2"}


async def test_a_port_given_to_a_pod_while_others_are_deleted_is_not_deleted() -> None:
    case = Case()
    await case.leave_free("a", "b")
    case.server.deletes_go_on.clear()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(case.source.delete_surplus([POOL_UID]))
        await case.server.deleting.wait()
        assert await case.acquire("c") == "port-2"
        case.server.deletes_go_on.set()
    assert set(case.server.ports) == {"port-2"}


async def test_a_port_whose_deletion_is_refused_or_fails_does_not_keep_the_others() -> None:
    case = Case()
    await case.leave_free("a", "b", "c")
    case.server.refused.add("port-1")
    case.server.broken.add("port-2")
    await case.source.delete_surplus([POOL_UID])
    assert set(case.server.ports) == {"port-1", "port-2"}
    case.server.refused.clear()
    case.server.broken.clear()
    await case.source.delete_surplus([POOL_UID])
    assert case.server.ports == {}


async def test_a_neutron_that_does_not_answer_is_asked_for_no_more() -> None:
    case = Case()
    await case.leave_free("a")
    case.server.away = True
    with pytest.raises(errors.Unavailable):
        await case.source.delete_surplus([POOL_UID])


async def test_ports_of_a_pool_that_is_not_there_are_left_alone() -> None:
    case = Case()
    await case.leave_free("a")
    await case.source.delete_surplus([PoolUid("another")])
    assert set(case.server.ports) == {"port-1"}


async def test_a_port_is_discarded_also_when_only_neutron_knew_of_it_and_never_while_a_pod_has_it() -> None:
    case = Case()
    await case.acquire("a")
    (port,) = await Neutron(case.server).fetch_ports()
    assert not await case.source.discard(port)
    case.ledger.release(PodUid("a"))
    case.ledger.removed(Slot(POOL_UID, 0))
    assert await case.source.discard(port)
    assert case.server.ports == {}
    assert case.ledger.port(Slot(POOL_UID, 0)) is None
