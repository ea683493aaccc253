"""Preflight reads what is so, as an ordinary user and as an administrator of the cloud see it."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec

from kubeloop import Client, KubeObject, MergePatch, ObjectMeta, Resource, connect, ensure_definitions
from kubeloop.simulator import SimulatedCluster
from kuryr.model.configuration import Configuration, NeutronNetwork
from kuryr.model.resources import KINDS, KuryrNode, KuryrNodeSpec
from kuryr.openstack.neutron import Neutron, PortRequest
from kuryr.openstack.session import Identity, Session
from kuryr.preflight.checks import Facts, Level, NodeFacts, check, is_ready
from kuryr.preflight.reading import fetch_facts
from kuryr.simulator.cloud import Cloud
from kuryr.simulator.exchange import SimulatedExchange, SimulatedToken


class WholeNode(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("", "v1", "nodes", "Node", namespaced=False)


class WholePod(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("", "v1", "pods", "Pod")
    spec: dict[str, Any] = msgspec.field(default_factory=dict)


CONFIGURATION = Configuration(cluster_id="c", neutron=NeutronNetwork(network="pods"))


class Bed:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.cloud = Cloud(random.Random(1), lambda: 1_700_000_000.0)
        self.cloud.identity.add_user("kuryr", "secret", "kubernetes", "member", "service")
        self.cloud.identity.add_user("boss", "secret", "kubernetes", "admin")
        self.cloud.network.hosts.add("node1.example")
        self.network = self.cloud.make_network("kubernetes", "pods", "10.0.0.0/24")

    def session(self, user: str) -> Session:
        token = SimulatedToken(self.cloud, user, "secret", "kubernetes")
        return Session(token, SimulatedExchange(self.cloud), "network", user_agent="test/1")

    async def facts(self, user: str = "kuryr") -> Facts:
        identity = Identity(self.network["project_id"], "kubernetes", ("member", "service"))
        return await fetch_facts(CONFIGURATION, self.client, self.session(user), identity)

    async def add_node(self, name: str, host_id: str | None) -> None:
        await self.client.create(WholeNode(metadata=ObjectMeta(name=name)))
        status = {"allocatable": {"pods": "20"}, "nodeInfo": {"kubeletVersion": "v1.37.2"}}
        await self.client.patch(WholeNode, name, MergePatch({"status": status}), subresource="status")
        if host_id is not None:
            await self.client.create(KuryrNode(metadata=ObjectMeta(name=name), spec=KuryrNodeSpec(node_uid="u")))
            seen = {"hostID": host_id, "mtu": 1442}
            await self.client.patch(KuryrNode, name, MergePatch({"status": seen}), subresource="status")

    async def add_port(self) -> None:
        wanted = PortRequest(
            name="p",
            network_id=self.network["id"],
            subnet_ids=tuple(self.network["subnets"]),
            mac_address="02:00:00:00:00:01",
            device_owner="compute:kuryr-c",
            device_id="kuryr:pool:0",
            host_id="node1.example",
            security_groups=(),
        )
        await Neutron(self.session("kuryr")).create_port(wanted)


@asynccontextmanager
async def bed(*, defined: bool = True) -> AsyncIterator[Bed]:
    async with connect(SimulatedCluster(), user_agent="test/1", field_manager="test") as client:
        if defined:
            await ensure_definitions(client, KINDS)
        yield Bed(client)


async def test_a_cluster_that_is_set_up_passes() -> None:
    async with bed() as subject:
        await subject.add_node("node1", "node1.example")
        await subject.add_port()
        facts = await subject.facts()
        assert facts.nodes == (NodeFacts(name="node1", max_pods=20, host_id="node1.example", mtu=1442),)
        assert facts.kubernetes == (1, 37)
        (subnet,) = facts.subnets
        assert (subnet.cidr, subnet.addresses, subnet.used) == ("10.0.0.0/24", 253, 1)
        assert facts.our_ports == 1
        assert is_ready(check(facts))


async def test_an_administrator_sees_the_chassis_and_the_kind_of_network_others_do_not() -> None:
    async with bed() as subject:
        await subject.add_node("node1", "node1.example")
        facts = await subject.facts("boss")
        assert (facts.chassis, facts.tunnelled) == (("node1.example",), True)
        facts = await subject.facts("kuryr")
        assert (facts.chassis, facts.tunnelled) == (None, None)
        subject.cloud.network.hosts.chassis["node1.example"].alive = False
        assert not is_ready(check(await subject.facts("boss")))


async def test_the_quota_is_that_of_the_project() -> None:
    async with bed() as subject:
        await subject.add_port()
        subject.cloud.network.quotas.own[subject.network["project_id"]] = {"port": 7}
        assert (await subject.facts()).quota == (7, 1)


async def test_a_node_without_a_daemon_and_missing_definitions_are_found() -> None:
    async with bed(defined=False) as subject:
        await subject.add_node("node1", None)
        facts = await subject.facts()
        assert facts.missing_definitions == ("kuryrnodes", "kuryrportpools", "kuryrports", "kuryrclusters")
        assert facts.nodes[0].host_id is None
        assert sum(one.level is Level.FAILED for one in check(facts)) == 2


async def test_only_pods_that_need_a_port_are_counted() -> None:
    async with bed() as subject:
        await subject.add_node("node1", "node1.example")
        container = {"name": "c", "image": "i"}
        for name, spec in {"one": {}, "host": {"hostNetwork": True}}.items():
            whole = {"nodeName": "node1", "containers": [container], **spec}
            await subject.client.create(WholePod(metadata=ObjectMeta(name=name, namespace="default"), spec=whole))
        assert (await subject.facts()).pods == 1
