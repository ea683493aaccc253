"""The product's client on the simulated cloud in process: tokens that end, calls that do not come through."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest

from kuryr.openstack import errors
from kuryr.openstack.neutron import Neutron, PortRequest
from kuryr.openstack.session import Answer, Session
from kuryr.simulator.cloud import Cloud
from kuryr.simulator.exchange import Reach, SimulatedExchange, SimulatedToken, directly


@dataclass
class Time:
    now: float = 1_700_000_000.0


@dataclass
class Bed:
    """A cloud with a network for pods, and a host that ports can be bound to."""

    cloud: Cloud
    time: Time
    network_id: str
    subnet_id: str

    def neutron(self, reach: Reach = directly) -> Neutron:
        token = SimulatedToken(self.cloud, "kuryr", "secret", "kubernetes", reach=reach)
        return Neutron(Session(token, SimulatedExchange(self.cloud, reach=reach), "network", user_agent="test/1"))

    def request(self, slot: int = 0, *, host: str = "node1.test") -> PortRequest:
        return PortRequest(
            name=f"port-{slot}",
            network_id=self.network_id,
            subnet_ids=(self.subnet_id,),
            mac_address=f"02:00:00:00:00:{slot:02x}",
            device_owner="compute:kuryr-c",
            device_id=f"kuryr:pool:{slot}",
            host_id=host,
            security_groups=(),
        )


@pytest.fixture
def bed() -> Bed:
    time = Time()
    cloud = Cloud(random.Random(1), lambda: time.now)
    cloud.identity.add_user("kuryr", "secret", "kubernetes", "member", "service")
    cloud.network.hosts.add("node1.test")
    made = cloud.make_network("kubernetes", "pods", "10.0.0.0/24")
    return Bed(cloud, time, made["id"], made["subnets"][0])


async def test_a_port_is_made_bound_found_by_its_owner_and_deleted(bed: Bed) -> None:
    neutron = bed.neutron()
    port = await neutron.create_port(bed.request())
    assert (port.host_id, port.vif_type, port.status) == ("node1.test", "ovs", "DOWN")
    (listed,) = await neutron.fetch_ports(device_owner="compute:kuryr-c")
    assert msgspec.to_builtins(listed).items() <= msgspec.to_builtins(port).items()
    await neutron.delete_port(port.id)
    assert await neutron.fetch_ports(device_owner="compute:kuryr-c") == ()


async def test_a_token_that_has_expired_is_renewed_in_the_middle_and_one_of_a_changed_password_is_not(bed: Bed) -> None:
    neutron = bed.neutron()
    await neutron.create_port(bed.request(0))
    bed.time.now += 3601
    await neutron.create_port(bed.request(1))
    bed.cloud.tokens.revoke_all()
    await neutron.create_port(bed.request(2))
    bed.cloud.identity.set_password("kuryr", "another")
    bed.cloud.tokens.revoke_all()
    with pytest.raises(errors.Unauthorised):
        await neutron.create_port(bed.request(3))


async def test_a_revoked_token_is_refused_five_minutes_later_at_the_latest(bed: Bed) -> None:
    neutron = bed.neutron()
    await neutron.create_port(bed.request(0))
    bed.cloud.tokens.revoke_where(lambda _: True)
    bed.cloud.identity.set_password("kuryr", "another")
    bed.time.now += 299
    await neutron.create_port(bed.request(1))
    bed.time.now += 2
    with pytest.raises(errors.Unauthorised):
        await neutron.create_port(bed.request(2))


async def test_a_create_whose_answer_is_lost_is_there_and_refused_again(bed: Bed) -> None:
    calls: list[str] = []

    async def losing(what: str, action: Callable[[], Answer], *, changes: bool) -> Answer:
        calls.append(what)
        answer = action()
        if changes:
            raise ConnectionError("lost")
        return answer

    with pytest.raises(errors.Unavailable) as lost:
        await bed.neutron(losing).create_port(bed.request())
    assert lost.value.sent
    assert calls == ["POST /identity/v3/auth/tokens", "POST /network/v2.0/ports"]
    with pytest.raises(errors.Conflict) as again:
        await bed.neutron().create_port(bed.request())
    assert again.value.reason == "MacAddressInUse"


async def test_a_call_that_takes_too_long_is_given_up_at_its_deadline(bed: Bed) -> None:
    async def slow(what: str, action: Callable[[], Answer], *, changes: bool) -> Answer:
        answer = action()
        if "identity" not in what:
            await asyncio.Event().wait()
        return answer

    token = SimulatedToken(bed.cloud, "kuryr", "secret", "kubernetes")
    session = Session(token, SimulatedExchange(bed.cloud, reach=slow), "network", user_agent="test/1")
    with pytest.raises(errors.Unavailable, match="no answer within"):
        await Neutron(session, timeout_s=0.01).create_port(bed.request())


async def test_a_port_is_active_while_the_host_it_is_bound_to_has_it_plugged(bed: Bed) -> None:
    neutron, fabric = bed.neutron(), bed.cloud.fabric
    changed: list[str] = []
    undo = fabric.subscribe(changed.append)
    port = await neutron.create_port(bed.request())
    assert fabric.port_bound(port.id, "node2.test") is None
    bound = fabric.port_bound(port.id, "node1.test")
    assert bound is not None
    assert (bound.mac_address, bound.ip_addresses) == (port.mac_address, (port.fixed_ips[0].ip_address,))
    fabric.plugged(port.id, "node2.test")
    assert (await neutron.fetch_ports(device_id=port.device_id))[0].status == "DOWN"
    fabric.plugged(port.id, "node1.test")
    assert (await neutron.fetch_ports(device_id=port.device_id))[0].status == "ACTIVE"
    undo()
    await neutron.delete_port(port.id)
    fabric.unplugged(port.id, "node1.test")
    assert changed == [port.id, port.id]


async def test_no_port_is_bound_where_the_chassis_is_dead_or_gone_and_bound_ones_stay(bed: Bed) -> None:
    neutron, hosts = bed.neutron(), bed.cloud.network.hosts
    await neutron.create_port(bed.request(0))
    before = await neutron.fetch_ports()
    hosts.chassis["node1.test"].alive = False
    assert (await neutron.create_port(bed.request(1))).vif_type == "binding_failed"
    hosts.remove("node1.test")
    assert (await neutron.create_port(bed.request(2))).vif_type == "binding_failed"
    hosts.add("node1.test")
    assert (await neutron.create_port(bed.request(3))).vif_type == "ovs"
    assert await neutron.fetch_ports(id=before[0].id) == before


async def test_the_same_seed_gives_the_same_answers() -> None:
    def answers() -> list[bytes]:
        cloud = Cloud(random.Random(7), lambda: 1_700_000_000.0)
        cloud.identity.add_user("kuryr", "secret", "kubernetes", "member", "service")
        made = cloud.make_network("kubernetes", "pods", "10.0.0.0/24")
        token = cloud.tokens.issue("u", made["project_id"], ("member", "service"))
        body = f'{{"port": {{"network_id": "{made["id"]}"}}}}'.encode()
        headers = {"X-Auth-Token": token.secret}
        return [cloud.handle("POST", "/network/v2.0/ports", (), headers, body).body for _ in range(20)]

    assert answers() == answers()
