"""What is done about ports that two claims have, and that people delete in Neutron, on a real API server."""

import asyncio

import msgspec

from kubeloop import Change, ObjectMeta, is_true
from kubeloop.testing import ControlPlane
from kuryr.daemon.cni.protocol import Command
from kuryr.model.resources import PORT_CONFLICT, PORT_MISSING, KuryrPort

from .test_on_a_server import Cluster, running


async def given(cluster: Cluster, name: str = "p") -> KuryrPort:
    claim = await cluster.claim(lambda claim: claim is not None and not claim.metadata.deleting, name)
    assert claim is not None
    return claim


def port_of(claim: KuryrPort) -> str:
    return claim.spec.interfaces[0].port_id


async def test_of_two_claims_on_one_port_one_is_replaced_by_one_with_another_port(control_plane: ControlPlane) -> None:
    """The second is made by hand here; in life by a write of a deposed leader that came late."""
    async with running(control_plane) as cluster:
        await cluster.create_pod("first")
        first = await given(cluster, "first")
        cluster.neutron.creates_go_on.clear()
        uid = await cluster.create_pod("second")
        twin = KuryrPort(
            metadata=ObjectMeta(name="second", namespace=cluster.namespace, finalizers=first.metadata.finalizers),
            spec=msgspec.structs.replace(first.spec, pod_uid=uid),
        )
        await cluster.client.create(twin)
        cluster.neutron.creates_go_on.set()
        # both are of the same second, so either may be the later one
        refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def note(change: Change[KuryrPort]) -> None:
            if is_true(change.object.status.conditions, PORT_CONFLICT) and not refused.done():
                refused.set_result(change.object.metadata.name)

        cluster.claims.add_handler(note)
        async with asyncio.timeout(20):
            loser = await refused
        await cluster.claim(lambda claim: claim is not None and port_of(claim) != port_of(first), loser)
        winner = await given(cluster, "second" if loser == "first" else "first")
        assert port_of(winner) == port_of(first)


async def test_a_pod_that_is_not_wired_gets_another_port_when_somebody_deleted_its_own(
    control_plane: ControlPlane,
) -> None:
    async with running(control_plane) as cluster:
        await cluster.create_pod()
        port = port_of(await given(cluster))
        del cluster.neutron.ports[port]
        await cluster.claim(lambda claim: claim is not None and port_of(claim) != port)


async def test_a_running_pod_whose_port_somebody_moved_keeps_it_and_people_are_told_until_it_is_back(
    control_plane: ControlPlane,
) -> None:
    async with running(control_plane) as cluster:
        uid = await cluster.create_pod()
        await cluster.agent.add(cluster.request(Command.ADD, uid))
        before = await cluster.claim(lambda claim: claim is not None and claim.status.plugged)
        assert before is not None
        port = cluster.neutron.ports[port_of(before)]
        port["binding:host_id"] = "elsewhere"
        told = await cluster.claim(lambda claim: claim is not None and is_true(claim.status.conditions, PORT_MISSING))
        assert told is not None
        assert (told.metadata.uid, told.status.plugged) == (before.metadata.uid, True)
        port["binding:host_id"] = cluster.node
        await cluster.claim(lambda claim: claim is not None and not is_true(claim.status.conditions, PORT_MISSING))
