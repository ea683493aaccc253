"""The cloud, and the parts of a node, in trouble."""

import asyncio

import kubeloop as k
from kubeloop.testing import World
from kuryr.model.ownership import ClusterId, PoolUid, Slot, mac_address
from kuryr.model.resources import KuryrNode, KuryrPortPool

from .steps import WEB, delete, make, moment, recreate, step, until, upgrade
from .system import system

ONE = ("node1",)


async def delete_port(world: World) -> None:
    world.backend.delete_port(world.backend.port_of(k.ObjectKey("default", WEB)))


DELETED = system("port-deleted-in-neutron", make, delete_port, recreate, nodes=ONE, module=__name__)


async def move_port(world: World) -> None:
    world.backend.move_port(world.backend.port_of(k.ObjectKey("default", WEB)), "elsewhere")


MOVED = system("port-moved-in-neutron", make, move_port, recreate, nodes=ONE, module=__name__)


async def delete_node_port(world: World) -> None:
    for node in world.list(KuryrNode):
        if node.spec.interface is not None:
            world.backend.delete_port(node.spec.interface.port_id)
    await upgrade(world, *world.backend.controllers)  # by itself a leader lists Neutron only now and then


NODE_PORT = system("node-port-deleted-in-neutron", make, delete_node_port, nodes=ONE, module=__name__)


async def allow_no_ports(world: World) -> None:
    quotas = world.backend.cloud.network.quotas.own
    quotas[world.backend.project_id] = {"port": 0}
    await make(world, wait=False)
    await asyncio.sleep(15)
    del quotas[world.backend.project_id]


QUOTA = system("quota-zero", allow_no_ports, make, nodes=ONE, module=__name__)


async def fill_subnet(world: World) -> None:
    """It has an address for the node and one for a pod."""
    await make(world, "a", wait=True)
    await make(world, "b", wait=False)
    await asyncio.sleep(5)
    await delete(world, "a", wait=False)
    await until(lambda: world.backend.port_of(k.ObjectKey("default", "b")) != "")


FULL = system("subnet-full", fill_subnet, nodes=ONE, cidr="10.20.0.0/29", module=__name__)


async def answer_late(world: World) -> None:
    """Later than we wait: all takes effect, and nothing of it is known."""
    world.backend.late_s = 30.0
    await make(world, "a", wait=False)
    await asyncio.sleep(30)
    await delete(world, wait=False)
    await asyncio.sleep(10)
    world.backend.late_s = 0.0


LATE = system("neutron-answers-late", make, answer_late, nodes=ONE, module=__name__)


async def revoke_tokens(world: World) -> None:
    world.backend.cloud.tokens.revoke_all()
    await make(world, "next")


TOKENS = system("tokens-expire", make, revoke_tokens, nodes=ONE, module=__name__)


async def forget_host(world: World) -> None:
    """Neutron does not know the chassis for a while."""
    hosts, host = world.backend.cloud.network.hosts, world.backend.machines["node1"].chassis.hostname
    hosts.remove(host)
    await make(world, wait=False)
    await asyncio.sleep(10)
    hosts.add(host)


HOST = system("host-unknown-to-neutron", forget_host, make, nodes=ONE, module=__name__)


async def take_macs(world: World) -> None:
    """Somebody has a port with the MAC that is the next pod's."""
    await until(lambda: bool(world.list(KuryrPortPool)))
    cluster = world.get(k.Namespace, "kube-system")
    assert cluster is not None
    for pool in world.list(KuryrPortPool):
        slot = Slot(PoolUid(pool.metadata.uid), 1)
        mac = mac_address(ClusterId(cluster.metadata.uid), slot)
        world.backend.make_foreign("ports", network_id=world.backend.pods["id"], mac_address=mac)
    await make(world)


MAC = system("mac-is-taken", take_macs, nodes=ONE, module=__name__)


async def restart_ovsdb(world: World) -> None:
    ovsdb = world.backend.machines["node1"].ovsdb
    await make(world, "b", wait=False)
    await moment(world, 0.1)
    ovsdb.stop()
    await delete(world, wait=False, grace_period_s=0)
    await moment(world, 20.0)
    ovsdb.start()


OVSDB = system("ovsdb-restarts", make, restart_ovsdb, nodes=ONE, module=__name__)


async def lose_ovn_controller(world: World) -> None:
    """Longer than an ADD waits for its flows."""
    chassis = world.backend.machines["node1"].chassis
    await make(world, "b", wait=False)
    chassis.stop()
    await delete(world, wait=False)
    await asyncio.sleep(45)
    chassis.start()


OVN = system("ovn-controller-dies", make, lose_ovn_controller, nodes=ONE, module=__name__)


async def restart_switch(world: World) -> None:
    switch = world.backend.machines["node1"].switch
    await make(world, "b", wait=False)
    await moment(world, 0.1)
    switch.stop()
    await moment(world, 10.0)
    switch.start()


SWITCH = system("switch-restarts", make, restart_switch, delete, nodes=ONE, module=__name__)

SCALE = system(
    "many-pods",
    step(make, "a", "b", "c", "d", wait=False),
    step(make, "e", "f", node="node2"),
    step(delete, "a", "b", "e"),
    step(make, "g", "a"),
    module=__name__,
)
