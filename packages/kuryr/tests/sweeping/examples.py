"""Ports and claims as a sweeper meets them."""

from kubeloop import ObjectMeta
from kuryr.model.ownership import ClusterId, PoolUid, Slot, device_id, device_owner, mac_address
from kuryr.model.resources import SANDBOX_FINALIZER, Address, Interface, KuryrPort, KuryrPortSpec
from kuryr.openstack.neutron import Port

CLUSTER = ClusterId("c")


def port(number: int, pool: str, *, status: str = "DOWN", created_at: str | None = None) -> Port:
    slot = Slot(PoolUid(pool), number)
    return Port(
        id=f"port-{number}",
        network_id="net",
        mac_address=mac_address(CLUSTER, slot),
        device_owner=device_owner(CLUSTER),
        device_id=device_id(slot),
        status=status,
        created_at=created_at,
    )


def claim(name: str, pod_uid: str, *, deleting: bool = False) -> KuryrPort:
    meta = ObjectMeta(
        name=name,
        namespace="ns",
        uid=f"claim-of-{pod_uid}",
        finalizers=(SANDBOX_FINALIZER,),
        deletion_timestamp="2026-01-01T00:00:00Z" if deleting else "",
    )
    interface = Interface(
        port_id=f"port-of-{pod_uid}",
        mac_address="02:00:00:00:00:01",
        mtu=1442,
        addresses=(Address(ip="10.0.0.9", prefix_length=24),),
    )
    spec = KuryrPortSpec(pod_uid=pod_uid, node="n", node_uid="u", pool="p", interfaces=(interface,))
    return KuryrPort(metadata=meta, spec=spec)
