"""Whose the port is."""

from hypothesis import given
from hypothesis import strategies as st

from kubeloop import ObjectMeta
from kuryr.daemon.arbiter import find_winner
from kuryr.model.resources import Address, Interface, KuryrPort, KuryrPortSpec


def claim(uid: str, created: str = "2026-01-01T00:00:00Z", *, deleting: bool = False, version: str = "1") -> KuryrPort:
    interface = Interface(
        port_id="port-1",
        mac_address="02:00:00:00:00:01",
        mtu=1442,
        addresses=(Address(ip="10.1.0.5", prefix_length=16),),
    )
    return KuryrPort(
        metadata=ObjectMeta(
            name=uid,
            namespace="d",
            uid=uid,
            creation_timestamp=created,
            deletion_timestamp=created if deleting else "",
            resource_version=version,
        ),
        spec=KuryrPortSpec(pod_uid=f"pod-{uid}", node="n", node_uid="u", pool="p", interfaces=(interface,)),
    )


def nobody(_claim: KuryrPort) -> bool:
    return False


def test_the_earlier_one_wins_and_of_two_of_one_second_the_one_with_the_lower_uid() -> None:
    early, late = claim("b", "2026-01-01T00:00:00Z"), claim("a", "2026-01-01T00:00:01Z")
    assert find_winner(late, [early, late], nobody) is early
    assert find_winner(early, [early, late], nobody) is None
    twin = claim("c", "2026-01-01T00:00:00Z")
    assert find_winner(twin, [early, twin], nobody) is early


def test_the_wired_one_wins_whenever_it_came() -> None:
    early, late = claim("b", "2026-01-01T00:00:00Z"), claim("a", "2026-01-01T00:00:01Z")
    assert find_winner(early, [early, late], lambda one: one is late) is late
    assert find_winner(late, [early, late], lambda one: one is late) is None


def test_one_that_is_being_deleted_takes_nothing_from_anybody() -> None:
    going, live = claim("a", deleting=True), claim("b")
    assert find_winner(live, [going, live], nobody) is None


times = st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"])


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.tuples(times, st.booleans()), min_size=1))
def test_exactly_one_of_all_live_claims_gives_way_to_nobody(drawn: dict[str, tuple[str, bool]]) -> None:
    claims = [claim(uid, created) for uid, (created, _wired) in drawn.items()]
    wired = {uid for uid, (_created, wired) in drawn.items() if wired}
    winners = [one for one in claims if find_winner(one, claims, lambda each: each.metadata.uid in wired) is None]
    assert len(winners) == 1
    assert not wired or winners[0].metadata.uid in wired
