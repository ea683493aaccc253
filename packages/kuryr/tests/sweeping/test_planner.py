"""What is unexplained, and that no interleaving of lists with what others do makes anything else so."""

from collections.abc import Callable, Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuryr.model.ownership import PodUid, PoolUid, parse_device_id
from kuryr.openstack.neutron import Port
from kuryr.sweeping.planner import DeleteClaim, DeletePort, Found, digest, due, find_unexplained, note_look

from .examples import claim, port


def found(*ports: Port, pools: str = "", named: str = "") -> Found:
    return Found(ports=ports, pools=frozenset(map(PoolUid, pools.split())), named=frozenset(named.split()))


@pytest.mark.parametrize(
    "explained",
    [
        found(port(1, "a"), pools="a b"),
        found(port(1, "gone"), named="port-1"),
        found(msgspec.structs.replace(port(1, "gone"), device_id="by-hand")),
        Found(claims=(claim("p", "u"),), pods=frozenset({PodUid("u")})),
        Found(claims=(claim("p", "u", deleting=True),)),
    ],
)
def test_what_a_pool_a_name_or_a_pod_explains_is_left_alone(explained: Found) -> None:
    assert find_unexplained(explained) == ()


def test_a_port_of_a_pool_that_is_gone_and_a_claim_without_its_pod_go_and_say_why() -> None:
    leaked, orphan = port(1, "gone", created_at="2026-01-01T00:00:00Z"), claim("p", "u")
    steps = find_unexplained(Found(ports=(leaked,), claims=(orphan,), pods=frozenset({PodUid("another")})))
    assert steps == (DeleteClaim(orphan), DeletePort(leaked))
    assert [step.reason for step in steps] == [
        "there is no pod of UID u",
        "kuryr:gone:1: there is no such pool, made 2026-01-01T00:00:00Z",
    ]


def test_a_digest_is_of_the_things_and_not_of_their_order_or_state() -> None:
    one, two = DeletePort(port(1, "gone")), DeletePort(port(2, "gone"))
    assert digest([one, two]) == digest([two, DeletePort(port(1, "gone", status="ACTIVE"))])
    assert len({digest([one]), digest([two]), digest([one, two]), digest([])}) == 4
    assert digest([]) == ""


@given(
    looks=st.lists(
        st.tuples(st.sets(st.integers(0, 4)), st.floats(0.1, 100, allow_nan=False)), min_size=1, max_size=12
    ),
    after_s=st.floats(1, 100),
)
def test_due_is_what_every_look_of_that_long_has_found(looks: list[tuple[set[int], float]], after_s: float) -> None:
    seen: dict[str, float] = {}
    history: list[tuple[float, set[int]]] = []
    now = 0.0
    for numbers, wait_s in looks:
        now += wait_s
        history.append((now, numbers))
        steps = tuple(DeletePort(port(number, "gone")) for number in sorted(numbers))
        seen = note_look(seen, steps, now)
        for step in due(steps, seen, now, after_s=after_s):
            assert isinstance(step, DeletePort)
            unbroken = [at for at, there in history if step.port.id in {f"port-{one}" for one in there}]
            since = max(
                (at for at, there in history if step.port.id not in {f"port-{one}" for one in there}), default=0
            )
            assert now - min(at for at in unbroken if at > since) >= after_s


class World:
    """What others may do, by the rules of their rooms."""

    def __init__(self) -> None:
        self.pools: dict[str, bool] = {}  # whether it is there; a UID never comes back
        self.ports: dict[str, Port] = {}
        self.claimed: set[str] = set()
        self.made = 0

    def act(self, what: str, number: int) -> None:
        pool = f"pool-{number % 3}-{sum(not there for there in self.pools.values())}"
        mine = [one for one in self.ports.values() if self.pool_of(one) == pool]
        port_id = f"port-{number}"
        if what == "make pool":
            self.pools.setdefault(pool, True)
        elif what == "make port" and self.pools.get(pool):
            self.make_port(pool)
        elif what == "claim" and port_id in self.ports and self.pools[self.pool_of(self.ports[port_id])]:
            self.claimed.add(port_id)
        elif what == "release":
            self.claimed.discard(port_id)
        elif what == "delete port" and port_id not in self.claimed:
            self.ports.pop(port_id, None)
        elif what == "lose pool" and self.pools.get(pool) and not mine:
            self.pools[pool] = False
        elif what == "late create" and pool in self.pools:
            self.make_port(pool)

    def make_port(self, pool: str) -> None:
        self.ports[f"port-{self.made}"] = port(self.made, pool)
        self.made += 1

    def pool_of(self, one: Port) -> str:
        slot = parse_device_id(one.device_id)
        assert slot is not None
        return slot.pool_uid

    def live(self) -> frozenset[PoolUid]:
        return frozenset(PoolUid(uid) for uid, there in self.pools.items() if there)


def look(world: World, act: Callable[[], None], *, pools_first: bool = False) -> Found:
    """Lists as the sweeper does, in pages of two by id, while others act between any two requests."""
    early = world.live()
    act()
    ports: list[Port] = []
    while page := sorted(one for one in world.ports if not ports or one > ports[-1].id)[:2]:
        ports += [world.ports[one] for one in page]
        act()
    pools = early if pools_first else world.live()
    act()
    return Found(ports=tuple(ports), pools=pools, named=frozenset(world.claimed))


_ACTIONS = ("make pool", "make port", "claim", "release", "delete port", "lose pool", "late create")
_acts = st.lists(st.tuples(st.sampled_from(_ACTIONS), st.integers(0, 8)), max_size=60)


def acting(world: World, acts: list[tuple[str, int]], at_once: int) -> Callable[[], None]:
    left: Iterator[tuple[str, int]] = iter(acts)

    def act() -> None:
        for what, number in [one for _, one in zip(range(at_once), left, strict=False)]:
            world.act(what, number)

    return act


@given(acts=_acts, at_once=st.integers(0, 8))
def test_however_a_list_interleaves_with_others_only_ports_that_nobody_can_get_are_unexplained(
    acts: list[tuple[str, int]], at_once: int
) -> None:
    world = World()
    act = acting(world, acts, at_once)
    act()
    for step in find_unexplained(look(world, act)):
        assert isinstance(step, DeletePort)
        assert PoolUid(world.pool_of(step.port)) not in world.live()


def test_with_the_pools_listed_first_a_port_just_made_would_be_unexplained() -> None:
    world = World()
    act = acting(world, [("make pool", 0), ("make port", 0)], 2)
    assert find_unexplained(look(world, act, pools_first=True)) != ()


@given(acts=_acts)
def test_every_port_of_a_pool_that_is_gone_is_found_once_the_others_rest(acts: list[tuple[str, int]]) -> None:
    world = World()
    for what, number in acts:
        world.act(what, number)
    unexplained = {step.identity for step in find_unexplained(look(world, lambda: None))}
    leaked = {one.id for one in world.ports.values() if world.pool_of(one) not in world.live()} - world.claimed
    assert unexplained == {f"Port/{one}" for one in leaked}
