import pytest

from kubeloop import ObjectMeta, Pod, PodSpec, PodStatus
from kuryr.model.ownership import PodUid
from kuryr.model.resources import (
    Address,
    Interface,
    KuryrPort,
    KuryrPortPool,
    KuryrPortPoolSpec,
    KuryrPortSpec,
)
from kuryr.ports.planner import DeleteClaim, MakeClaim, ReleaseReservations, Step, WaitForPool, plan_claim

POOL = KuryrPortPool(
    metadata=ObjectMeta(name="pool", uid="pool-uid"),
    spec=KuryrPortPoolSpec(node="node1", node_uid="n", network_id="net", subnet_ids=("s",)),
)


def _pod(
    *, uid: str = "pod-uid", node: str = "node1", host: bool = False, phase: str = "", deleting: bool = False
) -> Pod:
    meta = ObjectMeta(name="p", namespace="d", uid=uid, deletion_timestamp="2026-01-01T00:00:00Z" if deleting else "")
    return Pod(metadata=meta, spec=PodSpec(node_name=node, host_network=host), status=PodStatus(phase=phase))


def _claim(*, pod_uid: str = "pod-uid", deleting: bool = False) -> KuryrPort:
    meta = ObjectMeta(
        name="p", namespace="d", uid="claim-uid", deletion_timestamp="2026-01-01T00:00:00Z" if deleting else ""
    )
    interface = Interface(
        port_id="port", mac_address="02:00:00:00:00:01", mtu=1442, addresses=(Address(ip="10.0.0.2", prefix_length=16),)
    )
    return KuryrPort(
        metadata=meta,
        spec=KuryrPortSpec(pod_uid=pod_uid, node="node1", node_uid="n1", pool="pool", interfaces=(interface,)),
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
