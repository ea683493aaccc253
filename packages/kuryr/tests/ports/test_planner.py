import pytest

from kubeloop import Condition, ObjectMeta, Pod, PodSpec, PodStatus, condition
from kuryr.model.ownership import PodUid
from kuryr.model.resources import (
    PORT_CONFLICT,
    PORT_MISSING,
    Address,
    Interface,
    KuryrPort,
    KuryrPortPool,
    KuryrPortPoolSpec,
    KuryrPortSpec,
    KuryrPortStatus,
)
from kuryr.ports.planner import DeleteClaim, MakeClaim, ReleaseReservations, Step, TellTrouble, WaitForPool, plan_claim

POOL = KuryrPortPool(
    metadata=ObjectMeta(name="pool", uid="pool-uid"),
    spec=KuryrPortPoolSpec(node="node1", node_uid="n", network_id="net", subnet_ids=("s",)),
)


def _pod(
    *, uid: str = "pod-uid", node: str = "node1", host: bool = False, phase: str = "", deleting: bool = False
) -> Pod:
    meta = ObjectMeta(name="p", namespace="d", uid=uid, deletion_timestamp="2026-01-01T00:00:00Z" if deleting else "")
    return Pod(metadata=meta, spec=PodSpec(node_name=node, host_network=host), status=PodStatus(phase=phase))


def _claim(
    *, pod_uid: str = "pod-uid", deleting: bool = False, plugged: bool = False, conditions: tuple[Condition, ...] = ()
) -> KuryrPort:
    meta = ObjectMeta(
        name="p", namespace="d", uid="claim-uid", deletion_timestamp="2026-01-01T00:00:00Z" if deleting else ""
    )
    interface = Interface(
        port_id="port", mac_address="02:00:00:00:00:01", mtu=1442, addresses=(Address(ip="10.0.0.2", prefix_length=16),)
    )
    return KuryrPort(
        metadata=meta,
        spec=KuryrPortSpec(pod_uid=pod_uid, node="node1", node_uid="n1", pool="pool", interfaces=(interface,)),
        status=KuryrPortStatus(plugged=plugged, conditions=conditions),
    )


def _acts(steps: tuple[Step, ...]) -> list[Step]:
    return [step for step in steps if not isinstance(step, ReleaseReservations)]


def test_a_scheduled_pod_is_given_a_port_of_its_nodes_pool() -> None:
    assert _acts(plan_claim(_pod(), None, POOL)) == [MakeClaim(PodUid("pod-uid"), POOL)]


@pytest.mark.parametrize(
    "pod",
    [_pod(host=True), _pod(node=""), _pod(phase="Succeeded"), _pod(phase="Failed"), _pod(deleting=True), None],
    ids=["host network", "not scheduled", "succeeded", "failed", "terminating", "gone"],
)
def test_such_a_pod_gets_no_port(pod: Pod | None) -> None:
    assert _acts(plan_claim(pod, None, POOL)) == []


@pytest.mark.parametrize("pod", [_pod(phase="Succeeded"), _pod(phase="Failed"), None, _pod(uid="another")], ids=str)
def test_the_claim_of_a_pod_that_is_over_is_deleted(pod: Pod | None) -> None:
    assert _acts(plan_claim(pod, _claim(), POOL)) == [DeleteClaim("claim-uid")]


def test_a_terminating_pod_keeps_its_claim_until_it_is_gone() -> None:
    assert _acts(plan_claim(_pod(deleting=True), _claim(), POOL)) == []


def test_a_pod_that_has_its_claim_needs_nothing() -> None:
    assert _acts(plan_claim(_pod(), _claim(), POOL)) == []


def test_a_pod_of_an_old_name_waits_until_the_old_claim_is_gone() -> None:
    assert _acts(plan_claim(_pod(uid="another"), _claim(deleting=True), POOL)) == []


def test_a_pod_of_a_node_without_a_pool_waits_for_it() -> None:
    assert _acts(plan_claim(_pod(), None, None)) == [WaitForPool("node1")]


def test_a_static_pod_is_claimed_for_by_the_uid_that_its_runtime_uses() -> None:
    meta = ObjectMeta(
        name="p",
        namespace="d",
        uid="mirror",
        annotations={"kubernetes.io/config.mirror": "h", "kubernetes.io/config.hash": "h"},
    )
    pod = Pod(metadata=meta, spec=PodSpec(node_name="node1"))
    assert _acts(plan_claim(pod, None, POOL)) == [MakeClaim(PodUid("h"), POOL)]
    assert _acts(plan_claim(pod, _claim(pod_uid="h"), POOL)) == []


def test_a_reservation_lasts_as_long_as_its_pod_waits_and_no_longer() -> None:
    assert ReleaseReservations(but=PodUid("pod-uid")) in plan_claim(_pod(), None, POOL)
    assert ReleaseReservations(but=None) in plan_claim(_pod(), _claim(), POOL)
    assert ReleaseReservations(but=None) in plan_claim(None, None, POOL)


def test_a_claim_that_its_node_refuses_is_replaced_when_it_is_gone() -> None:
    refused = (condition(PORT_CONFLICT, True, reason="PortInUse"),)
    assert _acts(plan_claim(_pod(), _claim(conditions=refused), POOL)) == [DeleteClaim("claim-uid")]
    assert _acts(plan_claim(_pod(), _claim(conditions=refused, deleting=True), POOL)) == []
    over = (condition(PORT_CONFLICT, False, reason="PortFree"),)
    assert _acts(plan_claim(_pod(), _claim(conditions=over), POOL)) == []


def test_a_claim_whose_port_somebody_deleted_is_replaced_while_its_pod_is_not_wired() -> None:
    assert _acts(plan_claim(_pod(), _claim(), POOL, trouble="Deleted")) == [DeleteClaim("claim-uid")]


def test_of_a_running_pod_whose_port_somebody_deleted_people_are_told_once_and_nothing_is_done() -> None:
    claim = _claim(plugged=True)
    assert _acts(plan_claim(_pod(), claim, POOL, trouble="Moved")) == [TellTrouble(claim, "Moved")]
    told = _claim(plugged=True, conditions=(condition(PORT_MISSING, True, reason="Moved"),))
    assert _acts(plan_claim(_pod(), told, POOL, trouble="Moved")) == []
    assert _acts(plan_claim(_pod(), told, POOL, trouble="Deleted")) == [TellTrouble(told, "Deleted")]
    assert _acts(plan_claim(_pod(), told, POOL)) == [TellTrouble(told, "")]
    over = _claim(plugged=True, conditions=(condition(PORT_MISSING, False, reason="Found"),))
    assert _acts(plan_claim(_pod(), over, POOL)) == []
