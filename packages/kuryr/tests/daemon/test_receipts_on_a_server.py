"""Receipts and what the node says about its claims, on a real API server, with the rights of deploy/ and no others."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from kubeloop import Client, Informer, MergePatch, Namespace, ObjectKey, ObjectMeta, connect, is_true, open_runtime
from kubeloop.testing import ControlPlane
from kuryr.daemon.arbiter import ports_of
from kuryr.daemon.local_copy import LocalCopy
from kuryr.daemon.receipts import Receipts
from kuryr.daemon.wiring import Wiring
from kuryr.model.resources import (
    SANDBOX_FINALIZER,
    Address,
    Interface,
    KuryrPort,
    KuryrPortPool,
    KuryrPortPoolSpec,
    KuryrPortSpec,
    QuarantinedPort,
)

from ..conftest import acting_as, refusals
from .examples import interface, sandbox
from .fakes import FakeVswitch, HandKernel, MemoryFile

NETNS = "/run/netns/c0"


class Node:
    """One node of its own name, and a namespace of that name."""

    def __init__(
        self, name: str, client: Client, claims: Informer[KuryrPort], pools: Informer[KuryrPortPool], daemon: Client
    ) -> None:
        self.name = name
        self.client = client
        self.claims = claims
        self.pools = pools
        self.file = MemoryFile()
        self.wiring = Wiring(HandKernel(NETNS), FakeVswitch("br-int"))
        self.copy = LocalCopy(self.file, claims, node=name)
        self.receipts = Receipts(daemon, claims, pools, self.wiring, self.copy)

    async def claim(self, pod: str, *, uid: str) -> KuryrPort:
        one = Interface(
            port_id="port-1",
            mac_address="02:00:00:00:00:01",
            mtu=1442,
            addresses=(Address(ip="10.1.0.5", prefix_length=16),),
        )
        spec = KuryrPortSpec(pod_uid=uid, node=self.name, node_uid="n", pool=self.name, interfaces=(one,))
        metadata = ObjectMeta(name=pod, namespace=self.name, finalizers=(SANDBOX_FINALIZER,))
        made = await self.client.create(KuryrPort(metadata=metadata, spec=spec))
        await self.seen(pod, lambda claim: claim is not None)
        return made

    async def seen(self, pod: str, condition: Callable[[KuryrPort | None], bool]) -> KuryrPort | None:
        async with asyncio.timeout(20):
            return await self.claims.wait_for(ObjectKey(self.name, pod), condition)

    async def plug(self, pod: KuryrPort) -> None:
        container = sandbox(netns=NETNS, pod_uid=pod.spec.pod_uid)
        with self.receipts.adding(pod):
            await self.wiring.plug(container, interface(), timeout_s=5)

    async def unplug(self, *pods: str) -> None:
        await self.wiring.unplug("c0", "eth0")
        self.receipts.unwired((), *(ObjectKey(self.name, pod) for pod in pods))


@asynccontextmanager
async def running(plane: ControlPlane) -> AsyncIterator[Node]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    async with (
        connect(plane.config(), user_agent="test/1", field_manager="test") as client,
        open_runtime(acting_as(plane, "kuryr-daemon", node=name), name="kuryr") as runtime,
    ):
        await client.create(Namespace(metadata=ObjectMeta(name=name)))
        claims = runtime.informer(KuryrPort, field_selector=f"spec.node={name}", indexers={"port": ports_of})
        pools = runtime.informer(KuryrPortPool, field_selector=f"spec.node={name}")
        node = Node(name, client, claims, pools, runtime.client)
        runtime.run_with(node.copy.run)
        runtime.lead_with(node.receipts.controller.run)
        runtime.lead_with(node.receipts.quarantine.run)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(runtime.run())
            await claims.wait_synced()
            yield node
            running.cancel()
        assert not refusals(plane)


async def test_a_claim_is_said_to_be_plugged_and_goes_when_it_is_not_any_more(control_plane: ControlPlane) -> None:
    async with running(control_plane) as node:
        claim = await node.claim("web-0", uid="uid-1")
        await node.plug(claim)
        await node.seen("web-0", lambda one: one is not None and one.status.sandbox == "c0")
        await node.client.delete(KuryrPort, "web-0", namespace=node.name)
        await node.seen("web-0", lambda one: one is not None and one.metadata.deleting)
        await node.unplug("web-0")
        await node.seen("web-0", lambda one: one is None)
        assert not node.file.writes or claim.metadata.uid.encode() not in node.file.writes[-1]


async def test_a_conflict_is_a_condition_beside_those_of_others(control_plane: ControlPlane) -> None:
    async with running(control_plane) as node:
        first = await node.claim("web-0", uid="uid-1")
        await node.plug(first)
        await node.claim("web-1", uid="uid-2")
        found = await node.seen("web-1", lambda one: one is not None and is_true(one.status.conditions, "PortConflict"))
        assert found is not None
        (condition,) = found.status.conditions
        assert f"{node.name}/web-0" in condition.message
        await node.unplug("web-0")
        for pod in ("web-0", "web-1"):
            await node.client.delete(KuryrPort, pod, namespace=node.name)
            await node.seen(pod, lambda one: one is None)


async def test_an_entry_of_the_quarantine_goes_while_the_controller_writes_the_counts(
    control_plane: ControlPlane,
) -> None:
    async with running(control_plane) as node:
        spec = KuryrPortPoolSpec(node=node.name, node_uid="n", network_id="net", subnet_ids=("s",))
        await node.client.create(KuryrPortPool(metadata=ObjectMeta(name=node.name), spec=spec))
        claim = await node.claim("web-0", uid="uid-1")
        await node.plug(claim)
        entries = [
            QuarantinedPort(port_id=port_id, claim_uid=f"claim-{port_id}", pod_uid="uid")
            for port_id in ("port-7", "port-1", "port-8")
        ]
        status = {"quarantine": msgspec.to_builtins(entries), "inUse": 3}
        await node.client.patch(KuryrPortPool, node.name, MergePatch({"status": status}), subresource="status")

        def left(pool: KuryrPortPool | None) -> list[str]:
            return [one.port_id for one in pool.status.quarantine] if pool is not None else ["none"]

        key = ObjectKey("", node.name)
        async with asyncio.timeout(20):
            await node.pools.wait_for(key, lambda pool: left(pool) == ["port-1"])
            await node.client.patch(
                KuryrPortPool, node.name, MergePatch({"status": {"inUse": 1}}), subresource="status"
            )
            await node.unplug("web-0")
            pool = await node.pools.wait_for(key, lambda pool: not left(pool))
        assert pool is not None
        assert pool.status.in_use == 1
        await node.client.delete(KuryrPort, "web-0", namespace=node.name)
        await node.seen("web-0", lambda one: one is None)
