"""Which pools a node has: a pure function. One node, one network, one set of security groups: one pool."""

import hashlib

from kubeloop import ObjectMeta
from kuryr.model.resources import KuryrNode, KuryrPortPool, KuryrPortPoolSpec
from kuryr.openstack.placement import Placement


def desire_pool(node: KuryrNode, placement: Placement) -> KuryrPortPool | None:
    """The default pool of a node, or None while the node does not say where its ports are to be bound."""
    if not node.status.host_id or node.metadata.deleting:
        return None
    spec = KuryrPortPoolSpec(
        node=node.metadata.name,
        node_uid=node.spec.node_uid,
        network_id=placement.network.id,
        subnet_ids=tuple(subnet.id for subnet in placement.subnets),
        security_group_ids=tuple(sorted(placement.security_group_ids)),
    )
    return KuryrPortPool(metadata=ObjectMeta(name=_name(spec)), spec=spec)


def _name(spec: KuryrPortPoolSpec) -> str:
    """Deterministic, so that two creates meet; the node's UID in it, so that a new node of an old name gets a new
    pool.
    """
    facts = "/".join((spec.node_uid, spec.network_id, *spec.subnet_ids, *spec.security_group_ids))
    return f"{spec.node[:240]}-{hashlib.sha256(facts.encode()).hexdigest()[:10]}"
