from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from kubeloop import ObjectMeta
from kuryr.model.machines import OUT_OF_SERVICE, Machine, MachineSpec, Taint
from kuryr.model.resources import (
    SANDBOX_FINALIZER,
    Address,
    Interface,
    KuryrPort,
    KuryrPortPool,
    KuryrPortPoolSpec,
    KuryrPortPoolStatus,
    KuryrPortSpec,
    QuarantinedPort,
)
from kuryr.nodes.planner import (
    ConfirmLost,
    DeletePool,
    FenceClaim,
    FenceQuarantine,
    LetGo,
    Quarantine,
    RetirePool,
    Step,
    plan_pool,
)

NODE = Machine(metadata=ObjectMeta(name="node1", uid="n1"))
ANOTHER = Machine(metadata=ObjectMeta(name="node1", uid="n2"))
OFF = Machine(metadata=NODE.metadata, spec=MachineSpec(taints=(Taint(key=OUT_OF_SERVICE),)))
TIRED = Machine(metadata=NODE.metadata, spec=MachineSpec(taints=(Taint(key="node.kubernetes.io/unreachable"),)))


def _claim(number: int = 1, *, deleting: bool = True, receipt: bool = False) -> KuryrPort:
    interface = Interface(
        port_id=f"port-{number}",
        mac_address="02:00:00:00:00:01",
        mtu=1442,
        addresses=(Address(ip="10.0.0.2", prefix_length=16),),
    )
    return KuryrPort(
        metadata=ObjectMeta(
            name=f"p{number}",
            namespace="d",
            uid=f"claim-{number}",
            deletion_timestamp="2026-01-01T00:00:00Z" if deleting else "",
            finalizers=() if receipt else (SANDBOX_FINALIZER,),
        ),
        spec=KuryrPortSpec(pod_uid=f"pod-{number}", node="node1", node_uid="n1", pool="pool", interfaces=(interface,)),
    )


def _entry(number: int = 1) -> QuarantinedPort:
    return QuarantinedPort(port_id=f"port-{number}", claim_uid=f"claim-{number}", pod_uid=f"pod-{number}")


def _pool(*quarantine: QuarantinedPort) -> KuryrPortPool:
    return KuryrPortPool(
        metadata=ObjectMeta(name="pool", uid="pool-uid"),
        spec=KuryrPortPoolSpec(node="node1", node_uid="n1", network_id="net", subnet_ids=("s",)),
        status=KuryrPortPoolStatus(quarantine=quarantine),
    )


def test_a_node_that_is_there_gives_its_receipts_itself_however_long_it_takes() -> None:
    for machine in (NODE, TIRED):
        assert plan_pool(_pool(_entry(7)), [_claim()], machine) == ()


def test_without_a_node_a_deleting_claim_goes_but_its_port_is_deleted_first() -> None:
    claim = _claim()
    steps = plan_pool(_pool(), [claim, _claim(2, deleting=False), _claim(3, receipt=True)], None)
    assert steps == (ConfirmLost("node1"), FenceClaim(claim), RetirePool(_pool()))


def test_a_node_that_is_out_of_service_is_lost_and_its_pool_stays() -> None:
    claim = _claim()
    assert plan_pool(_pool(), [claim], OFF, has_ports=False) == (ConfirmLost("node1"), FenceClaim(claim))


def test_claims_of_a_pool_that_somebody_deleted_go_with_their_node_too() -> None:
    assert plan_pool(None, [_claim()], None) == (ConfirmLost("node1"), FenceClaim(_claim()))


def test_a_lost_nodes_quarantine_is_emptied_when_its_ports_are_deleted() -> None:
    pool = _pool(_entry(1), _entry(2))
    assert plan_pool(pool, [], OFF) == (ConfirmLost("node1"), FenceQuarantine(pool, (_entry(1), _entry(2))))


def test_a_new_node_of_the_name_gives_the_receipts_and_gets_nothing_of_the_old_pool() -> None:
    pool = _pool(_entry(7))
    assert plan_pool(pool, [_claim()], ANOTHER, has_ports=False) == (RetirePool(pool),)


def test_a_pool_of_a_node_that_is_no_more_goes_when_nothing_of_it_is_left_and_not_before() -> None:
    assert plan_pool(_pool(), [], ANOTHER, has_ports=True) == (RetirePool(_pool()),)
    assert plan_pool(_pool(), [_claim(deleting=False)], ANOTHER, has_ports=False) == (RetirePool(_pool()),)
    for machine in (ANOTHER, None):
        assert plan_pool(_pool(), [], machine, has_ports=False) == (RetirePool(_pool()), DeletePool(_pool()))


def test_an_overdue_claim_goes_only_when_its_port_is_seen_in_quarantine() -> None:
    claim, other = _claim(), _claim(2)
    assert plan_pool(_pool(), [claim, other], NODE, overdue={"claim-1"}) == (Quarantine(_pool(), (_entry(),)),)
    seen = _pool(_entry())
    assert plan_pool(seen, [claim, other], NODE, overdue={"claim-1"}) == (LetGo(claim),)


def test_an_entry_of_another_claim_on_the_same_port_does_not_count() -> None:
    entry = QuarantinedPort(port_id="port-1", claim_uid="an older claim", pod_uid="an older pod")
    pool = _pool(entry)
    assert plan_pool(pool, [_claim()], NODE, overdue={"claim-1"}) == (Quarantine(pool, (_entry(),)),)


def test_without_its_pool_a_claim_waits_for_its_receipt() -> None:
    assert plan_pool(None, [_claim()], NODE, overdue={"claim-1"}) == ()


_machines = st.sampled_from([None, NODE, ANOTHER, OFF, TIRED])
_claims = st.lists(
    st.builds(_claim, st.integers(0, 5), deleting=st.booleans(), receipt=st.booleans()),
    unique_by=lambda claim: claim.key,
)
_entries = st.sets(st.integers(0, 8))


def _lets_go(steps: Collection[Step]) -> list[KuryrPort]:
    return [step.claim for step in steps if isinstance(step, FenceClaim | LetGo)]


@given(machine=_machines, claims=_claims, entries=_entries, overdue=st.sets(st.integers(0, 5)), ports=st.booleans())
def test_no_port_is_ever_free_that_a_node_may_still_use(
    machine: Machine | None, claims: list[KuryrPort], entries: set[int], overdue: set[int], ports: bool
) -> None:
    pool = _pool(*(_entry(number) for number in sorted(entries)))
    steps = plan_pool(pool, claims, machine, overdue={f"claim-{number}" for number in overdue}, has_ports=ports)
    for claim in _lets_go(steps):
        assert claim.metadata.deleting, "a living pod's"
    fences = [step for step in steps if isinstance(step, FenceClaim | FenceQuarantine)]
    assert not fences or (machine in (None, OFF) and steps[0] == ConfirmLost("node1"))
    for step in steps:
        if isinstance(step, LetGo):
            assert {interface.port_id for interface in step.claim.spec.interfaces} <= {
                entry.port_id for entry in pool.status.quarantine
            }
        if isinstance(step, DeletePool):
            assert (claims, entries, ports) == ([], set(), False)
            assert machine not in (NODE, OFF, TIRED)
