"""What only the sweeper can clear away, and what it must leave. Without pods: these have scenarios enough."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kubeloop import Namespace, ObjectMeta, find_condition
from kubeloop.testing import World
from kuryr.model.ownership import ClusterId, PoolUid, Slot, device_id, device_owner, mac_address
from kuryr.model.resources import (
    CLUSTER_NAME,
    SANDBOX_FINALIZER,
    Address,
    Interface,
    KuryrCluster,
    KuryrPort,
    KuryrPortSpec,
)

from .invariants import each_pod_has_its_port
from .kuryr_world import KuryrWorld
from .system import system

LOST_POOL, THEIR_POOL = PoolUid("lost-pool"), PoolUid("their-pool")
THEIR_HOST = "theirs.example"


def add_port(world: World, pool: PoolUid, index: int, **fields: Any) -> Mapping[str, Any]:
    """A port with this cluster's mark, as a pool of that UID has them."""
    backend: KuryrWorld = world.backend
    kube_system = world.get(Namespace, "kube-system")
    assert kube_system is not None
    cluster, slot = ClusterId(kube_system.metadata.uid), Slot(pool, index)
    return backend.make(
        "ports",
        network_id=backend.pods["id"],
        device_owner=device_owner(cluster),
        device_id=device_id(slot),
        mac_address=mac_address(cluster, slot),
        **fields,
    )


async def leave_ports(world: World) -> None:
    """As a deposed leader's late creates do, whose pool is gone."""
    for index in range(3):
        add_port(world, LOST_POOL, index)


async def leave_claim(world: World) -> None:
    """Of a pod that there never was."""
    interface = Interface(
        port_id="none",
        mac_address="02:00:00:00:00:01",
        mtu=1442,
        addresses=(Address(ip="10.20.0.99", prefix_length=24),),
    )
    spec = KuryrPortSpec(pod_uid="nobody", node="node1", node_uid="none", pool="none", interfaces=(interface,))
    meta = ObjectMeta(name="nobody", namespace="default", finalizers=(SANDBOX_FINALIZER,))
    await world.client.create(KuryrPort(metadata=meta, spec=spec))


async def join_another_cluster(world: World) -> None:
    """With our id, and a node of its own, whose port is in use."""
    cloud = world.backend.cloud
    cloud.network.hosts.add(THEIR_HOST)
    theirs = add_port(world, THEIR_POOL, 0, **{"binding:host_id": THEIR_HOST})
    cloud.fabric.plugged(theirs["id"], THEIR_HOST)
    add_port(world, THEIR_POOL, 1)
    add_port(world, LOST_POOL, 0)


async def stay_a_while(world: World) -> None:
    """Longer than a sweep takes, so that one would have been."""
    await asyncio.sleep(250)


def nothing_is_swept_and_it_is_told(world: World) -> None:
    pools = Counter(one["device_id"].split(":")[1] for one in world.backend.ports())
    assert (pools[THEIR_POOL], pools[LOST_POOL]) == (2, 1), f"swept: {pools}"
    cluster = world.get(KuryrCluster, CLUSTER_NAME)
    told = find_condition(cluster.status.conditions, "SweepAllowed") if cluster is not None else None
    assert told is not None
    assert (told.status, told.reason) == ("False", "ClusterIdShared")


LEAKS = system("leaks-are-swept", leave_ports, leave_claim, nodes=("node1",), module=__name__)

SHARED = replace(
    system("a-shared-cluster-id", join_another_cluster, stay_a_while, nodes=("node1",), module=__name__),
    finally_=(each_pod_has_its_port, nothing_is_swept_and_it_is_told),
)
