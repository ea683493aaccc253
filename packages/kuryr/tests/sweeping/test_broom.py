"""Right before a delete everything is asked once more, and what has an explanation by then stays."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec
import pytest

from kubeloop import (
    Client,
    Informer,
    KubeObject,
    MergePatch,
    Namespace,
    NotFound,
    ObjectMeta,
    Pod,
    Resource,
    connect,
    ensure_definitions,
)
from kubeloop.simulator import SimulatedCluster
from kuryr.model.ownership import PodUid, PoolUid, PortId
from kuryr.model.resources import (
    KINDS,
    KuryrNode,
    KuryrNodeSpec,
    KuryrPort,
    KuryrPortPool,
    KuryrPortPoolSpec,
)
from kuryr.openstack.neutron import Network, Neutron, Port
from kuryr.openstack.placement import Placement
from kuryr.pools.ledger import PortLedger
from kuryr.pools.source import PoolSource
from kuryr.sweeping.broom import Broom
from kuryr.sweeping.inventory import Inventory, Unreadable
from kuryr.sweeping.planner import DeleteClaim, DeletePort

from ..pools.neutron_server import NeutronServer
from .examples import CLUSTER, claim, port

LEAKED = port(1, "gone")


class WholePod(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Pod.resource
    spec: dict[str, Any] = msgspec.field(default_factory=dict)


class LooseClaim(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = KuryrPort.resource
    spec: dict[str, Any] = msgspec.field(default_factory=dict)


class Definition(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
    )


ANYTHING = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}


class Subject:
    """A broom; its inventory's stores are never filled: what it asks it asks live."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.server = NeutronServer()
        self.claimed: set[PortId] = set()
        self.ledger = PortLedger(self.claimed.__contains__, cool_down_s=0.0)
        neutron = Neutron(self.server)
        source = PoolSource(
            neutron,
            self.ledger,
            cluster=CLUSTER,
            placement=Placement(Network("net", "pods", 1442), (), ()),
            node=lambda _: None,
        )
        inventory = Inventory(
            client,
            neutron,
            CLUSTER,
            claims=Informer(client, KuryrPort),
            nodes=Informer(client, KuryrNode),
            pods=Informer(client, Pod),
        )
        self.broom = Broom(client, neutron, inventory, source.discard)

    def show(self, *ports: Port) -> None:
        for one in ports:
            self.server.ports[one.id] = {key: value for key, value in msgspec.to_builtins(one).items() if value}

    async def sweeps(self, one: Port) -> bool:
        """Whether it is gone afterwards, as the broom says."""
        said = await self.broom.sweep((DeletePort(one),))
        assert bool(said) == (one.id not in self.server.ports)
        return bool(said)

    async def add_pool(self) -> PoolUid:
        spec = KuryrPortPoolSpec(node="n", node_uid="u", network_id="net", subnet_ids=("s",))
        pool = await self.client.create(KuryrPortPool(metadata=ObjectMeta(name="p"), spec=spec))
        return PoolUid(pool.metadata.uid)


@asynccontextmanager
async def subjects() -> AsyncIterator[Subject]:
    async with connect(SimulatedCluster(), user_agent="test/1") as client:
        await ensure_definitions(client, KINDS)
        await client.create(Namespace(metadata=ObjectMeta(name="ns")))
        yield Subject(client)


async def test_a_leaked_port_goes() -> None:
    async with subjects() as subject:
        subject.show(LEAKED)
        assert await subject.sweeps(LEAKED)
        assert set(subject.ledger.port_ids()) == set()


@pytest.mark.parametrize("change", [{"status": "ACTIVE"}, {"device_id": "kuryr:another:1"}, {"device_owner": "nova"}])
async def test_a_port_that_is_used_or_anothers_by_now_stays(change: dict[str, str]) -> None:
    async with subjects() as subject:
        subject.show(msgspec.structs.replace(LEAKED, **change))
        assert not await subject.sweeps(LEAKED)


async def test_a_port_of_a_pool_that_is_there_stays() -> None:
    async with subjects() as subject:
        one = port(1, await subject.add_pool())
        subject.show(one)
        assert not await subject.sweeps(one)


async def test_a_port_that_a_claim_names_stays() -> None:
    async with subjects() as subject:
        await subject.client.create(claim("p", "u"))
        one = msgspec.structs.replace(LEAKED, id="port-of-u")
        subject.show(one)
        assert not await subject.sweeps(one)


async def test_a_port_that_a_node_has_stays() -> None:
    async with subjects() as subject:
        (interface,) = claim("p", "u").spec.interfaces
        spec = KuryrNodeSpec(node_uid="n", interface=interface)
        await subject.client.create(KuryrNode(metadata=ObjectMeta(name="n"), spec=spec))
        one = msgspec.structs.replace(LEAKED, id="port-of-u")
        subject.show(one)
        assert not await subject.sweeps(one)


async def test_a_port_in_quarantine_stays() -> None:
    async with subjects() as subject:
        await subject.add_pool()
        entry = {"portID": "port-1", "claimUID": "c", "podUID": "u"}
        patch = MergePatch({"status": {"quarantine": [entry]}})
        await subject.client.patch(KuryrPortPool, "p", patch, subresource="status")
        subject.show(LEAKED)
        assert not await subject.sweeps(LEAKED)


async def test_a_port_that_is_being_given_to_a_pod_stays() -> None:
    async with subjects() as subject:
        subject.show(LEAKED)
        subject.ledger.add(LEAKED)
        subject.ledger.reserve(PoolUid("gone"), PodUid("pod"), 0.0)
        assert not await subject.sweeps(LEAKED)


async def test_a_port_that_neutron_does_not_delete_keeps_no_other() -> None:
    async with subjects() as subject:
        other, broken = port(2, "gone"), port(3, "gone")
        subject.show(LEAKED, broken, other)
        subject.server.refused.add(LEAKED.id)
        subject.server.broken.add(broken.id)
        steps = tuple(map(DeletePort, (LEAKED, broken, other)))
        assert await subject.broom.sweep(steps) == (DeletePort(other),)
        subject.server.refused.clear()
        assert await subject.sweeps(LEAKED)


async def test_no_port_goes_while_there_is_an_object_that_cannot_be_read() -> None:
    async with subjects() as subject:
        definition = {"spec": {"versions": [{"name": "v1alpha1", "served": True, "storage": True, "schema": ANYTHING}]}}
        await subject.client.patch(Definition, "kuryrports.kuryr.openstack.org", MergePatch(definition))
        await subject.client.create(LooseClaim(metadata=ObjectMeta(name="odd", namespace="ns"), spec={"node": 7}))
        subject.show(LEAKED)
        with pytest.raises(Unreadable, match="odd"):
            await subject.sweeps(LEAKED)


async def test_a_claim_goes_by_its_uid_if_its_pod_is_not_there() -> None:
    async with subjects() as subject:
        spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
        pod = await subject.client.create(WholePod(metadata=ObjectMeta(name="lives", namespace="ns"), spec=spec))
        lives = await subject.client.create(claim("lives", pod.metadata.uid))
        orphan = await subject.client.create(claim("orphan", "u"))
        before = msgspec.structs.replace(lives, metadata=msgspec.structs.replace(orphan.metadata, uid="of-one-before"))
        assert await subject.broom.sweep((DeleteClaim(lives), DeleteClaim(before))) == ()
        assert await subject.broom.sweep((DeleteClaim(orphan),)) == (DeleteClaim(orphan),)
        assert (await subject.client.get(KuryrPort, "orphan", namespace="ns")).metadata.deleting
        assert not (await subject.client.get(KuryrPort, "lives", namespace="ns")).metadata.deleting
        with pytest.raises(NotFound):
            await subject.client.get(KuryrPort, "before", namespace="ns")
