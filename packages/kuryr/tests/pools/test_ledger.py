import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kuryr.model.ownership import PodUid, PoolUid, PortId, Slot, device_id
from kuryr.openstack.neutron import Port
from kuryr.pools.ledger import PortLedger

POOL = PoolUid("pool")
COOL_DOWN_S = 20.0


def _port(index: int, port_id: str = "") -> Port:
    return Port(
        id=port_id or f"port-{index}",
        network_id="n",
        mac_address=f"02:00:00:00:00:{index:02x}",
        device_owner="compute:kuryr-c",
        device_id=device_id(Slot(POOL, index)),
    )


class Case:
    """A ledger and the KuryrPorts of the store."""

    def __init__(self) -> None:
        self.claimed: set[str] = set()
        self.ledger = PortLedger(lambda port: port in self.claimed, cool_down_s=COOL_DOWN_S)

    def reserve(self, pod: str, now: float = 0.0) -> int:
        return self.ledger.reserve(POOL, PodUid(pod), now).index

    def give(self, pod: str, now: float = 0.0) -> str:
        """Reserves, makes the port, records the claim."""
        index = self.reserve(pod, now)
        self.ledger.add(_port(index))
        self.claimed.add(f"port-{index}")
        self.ledger.release(PodUid(pod))
        return f"port-{index}"

    def take_back(self, port: str, now: float) -> None:
        self.claimed.remove(port)
        self.ledger.released(PortId(port), now)


def test_two_pods_never_get_the_same_slot() -> None:
    case = Case()
    assert [case.reserve("a"), case.reserve("b")] == [0, 1]


def test_a_pod_that_asks_again_gets_the_slot_of_before() -> None:
    case = Case()
    assert [case.reserve("a"), case.reserve("b"), case.reserve("a")] == [0, 1, 0]


def test_a_port_left_by_a_killed_controller_goes_to_the_next_pod() -> None:
    case = Case()
    case.ledger.replace([_port(4)], unchanged_since=())
    assert case.reserve("a") == 4


def test_what_a_new_leader_finds_goes_to_nobody_before_the_last_ones_calls_are_over_but_may_be_deleted() -> None:
    case = Case()
    case.claimed.add("port-5")
    case.ledger.replace([_port(4), _port(5)], unchanged_since=())
    case.ledger.rest_all(until=60.0)
    case.take_back("port-5", now=1.0)
    assert [case.reserve("a", now=59.0), case.reserve("b", now=60.0), case.reserve("c", now=60.0)] == [0, 4, 5]
    case.ledger.release(PodUid("b"))
    case.ledger.rest_all(until=1000.0)
    case.ledger.surplus(POOL, keep=0, now=60.0)
    assert [port.id for port in case.ledger.surplus(POOL, keep=0, now=60.0 + COOL_DOWN_S)] == ["port-4"]


def test_a_claimed_port_is_not_free_although_nothing_here_remembers_who_has_it() -> None:
    case = Case()
    case.claimed.add("port-4")
    case.ledger.replace([_port(4)], unchanged_since=())
    assert case.reserve("a") == 0


def test_a_released_port_goes_to_nobody_before_its_cool_down() -> None:
    case = Case()
    port = case.give("a")
    case.take_back(port, now=100.0)
    assert case.reserve("b", now=100.0 + COOL_DOWN_S - 1) == 1
    assert case.reserve("c", now=100.0 + COOL_DOWN_S) == 0


def test_a_port_nobody_claims_is_surplus_after_the_cool_down_and_not_before() -> None:
    case = Case()
    port = case.give("a")
    case.take_back(port, now=100.0)
    assert case.ledger.surplus(POOL, keep=0, now=100.0 + COOL_DOWN_S - 1) == []
    assert [one.id for one in case.ledger.surplus(POOL, keep=0, now=100.0 + COOL_DOWN_S)] == [port]


def test_a_port_that_is_reserved_or_claimed_is_never_surplus() -> None:
    case = Case()
    case.give("a")
    case.ledger.replace([_port(0), _port(1)], unchanged_since=())
    case.reserve("b")
    case.ledger.surplus(POOL, keep=0, now=0.0)
    assert case.ledger.surplus(POOL, keep=0, now=1000.0) == []


def test_a_port_being_deleted_goes_to_nobody_and_is_asked_for_again() -> None:
    case = Case()
    case.ledger.replace([_port(0)], unchanged_since=())
    case.ledger.mark_deleting(Slot(POOL, 0))
    assert case.reserve("a") == 1
    assert [port.id for port in case.ledger.surplus(POOL, keep=0, now=0.0)] == ["port-0"]


def test_a_list_does_not_drop_a_port_made_while_it_was_read() -> None:
    case = Case()
    known = set(case.ledger.port_ids())
    case.give("a")
    case.ledger.replace([], unchanged_since=known)
    assert case.ledger.port(Slot(POOL, 0)) is not None


def test_a_list_does_not_bring_back_a_port_deleted_while_it_was_read() -> None:
    case = Case()
    case.ledger.replace([_port(0)], unchanged_since=())
    known = set(case.ledger.port_ids())
    case.ledger.mark_deleting(Slot(POOL, 0))
    case.ledger.removed(Slot(POOL, 0))
    case.ledger.replace([_port(0)], unchanged_since=known)
    assert case.ledger.port(Slot(POOL, 0)) is None


def test_a_list_takes_away_no_port_that_was_made_anew_while_it_was_read() -> None:
    case = Case()
    case.ledger.replace([_port(0)], unchanged_since=())
    known = set(case.ledger.port_ids())
    case.ledger.forget(PortId("port-0"))
    case.ledger.add(_port(0, "another"))
    for listed in ([], [_port(0)]):
        case.ledger.replace(listed, unchanged_since=known)
        assert [port.id for port in case.ledger.ports(POOL)] == ["another"]


def test_a_list_says_nothing_of_a_port_that_was_made_while_it_was_read() -> None:
    case = Case()
    case.ledger.add(_port(0))
    unbound = msgspec.structs.replace(_port(0), host_id="", vif_type="unbound")  # so Neutron has it for a moment
    case.ledger.replace([unbound], unchanged_since=())
    assert case.ledger.ports(POOL) == [_port(0)]


def test_a_list_tells_which_ports_are_gone_or_bound_elsewhere() -> None:
    case = Case()
    case.ledger.replace([_port(0), _port(1), _port(2), _port(3)], unchanged_since=())
    moved = msgspec.structs.replace(_port(1), host_id="elsewhere")
    active = msgspec.structs.replace(_port(2), status="ACTIVE")
    changed = case.ledger.replace([moved, active, _port(3, "another")], unchanged_since=set(case.ledger.port_ids()))
    assert changed == {"port-0", "port-1", "port-3"}
    assert case.ledger.ports(POOL) == [moved, active, _port(3, "another")]


def test_a_retired_pool_is_empty_when_it_has_no_port_and_nobody_waits_for_one() -> None:
    case = Case()
    assert case.ledger.is_empty(POOL)
    case.reserve("a")
    assert not case.ledger.is_empty(POOL)
    case.ledger.add(_port(0))
    case.ledger.release(PodUid("a"))
    assert not case.ledger.is_empty(POOL)
    case.ledger.forget(PortId("port-0"))
    assert case.ledger.is_empty(POOL)


def test_a_port_that_something_claims_is_given_to_nobody_although_it_is_reserved() -> None:
    case = Case()
    case.reserve("a")
    case.ledger.add(_port(0))
    case.claimed.add("port-0")  # by an earlier leader's claim that was not seen before
    assert case.reserve("a") == 1


def test_a_port_that_vanished_from_neutron_vanishes_here() -> None:
    case = Case()
    case.ledger.replace([_port(0)], unchanged_since=())
    case.ledger.replace([], unchanged_since=set(case.ledger.port_ids()))
    assert case.ledger.port(Slot(POOL, 0)) is None


def test_a_slot_whose_mac_somebody_else_has_is_never_tried_again() -> None:
    case = Case()
    case.reserve("a")
    case.ledger.burn(Slot(POOL, 0))
    assert case.reserve("a") == 1


def test_counts_add_up() -> None:
    case = Case()
    port = case.give("a")
    case.give("b")
    case.take_back(port, now=100.0)
    case.ledger.add(_port(7))
    case.reserve("c", now=100.0)
    case.reserve("d", now=100.0)
    counts = case.ledger.counts(POOL, 100.0)
    assert (counts.ready, counts.in_use, counts.growing, counts.cooling) == (0, 1, 2, 1)


_steps = st.lists(
    st.tuples(st.sampled_from(["give", "reserve", "take back", "remove", "list"]), st.integers(0, 5)), max_size=40
)


@given(steps=_steps)
def test_whatever_happens_every_port_is_counted_once_and_no_two_pods_share_one(steps: list[tuple[str, int]]) -> None:
    case, there = Case(), dict[int, Port]()
    for now, (step, number) in enumerate(steps):
        pod, port = f"pod-{now}-{number}", f"port-{number}"
        if step == "give":
            index = int(case.give(pod, float(now)).removeprefix("port-"))
            there[index] = _port(index)
        elif step == "reserve":
            assert case.reserve(pod, float(now)) == case.reserve(pod, float(now))
        elif step == "take back" and port in case.claimed:
            case.take_back(port, float(now))
        elif step == "remove" and port not in case.claimed:
            there.pop(number, None)
            case.ledger.removed(Slot(POOL, number))
        elif step == "list":
            there.pop(number, None)
            case.claimed.discard(port)
            case.ledger.replace(there.values(), unchanged_since=set(case.ledger.port_ids()))
        assert case.ledger.ports(POOL) == [there[index] for index in sorted(there)]
        counts = case.ledger.counts(POOL, float(now))
        reserved_and_there = len(there) - counts.ready - counts.in_use - counts.cooling
        assert 0 <= reserved_and_there <= counts.growing
        assert counts.in_use == sum(f"port-{index}" in case.claimed for index in there)
