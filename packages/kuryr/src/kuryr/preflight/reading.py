"""Gathers preflight's facts from the cluster and the cloud, as the controller's user sees them. Only reads."""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import ClassVar, TypeVar
from urllib.parse import urlencode

import msgspec

from kubeloop import Client, KubeObject, KubeStruct, Namespace, Pod, Resource
from kubeloop import errors as kube
from kuryr.model.configuration import Configuration, require
from kuryr.model.ownership import ClusterId, device_owner
from kuryr.model.pods import needs_port
from kuryr.model.resources import KINDS, KuryrNode
from kuryr.openstack import errors
from kuryr.openstack.neutron import Api, Neutron
from kuryr.openstack.session import Identity
from kuryr.preflight.checks import Facts, NodeFacts, SubnetFacts

_TIMEOUT_S = 60.0
_TUNNELS = frozenset({"geneve", "vxlan", "gre"})

S = TypeVar("S")


class _NodeInfo(KubeStruct, frozen=True, kw_only=True):
    kubelet_version: str = ""


class _NodeStatus(KubeStruct, frozen=True, kw_only=True):
    allocatable: Mapping[str, str] = msgspec.field(default_factory=dict)
    node_info: _NodeInfo = _NodeInfo()


class _Node(KubeObject, frozen=True, kw_only=True):
    """A node with what preflight asks of it."""

    resource: ClassVar[Resource] = Resource("", "v1", "nodes", "Node", namespaced=False)
    status: _NodeStatus = _NodeStatus()


class _Quota(msgspec.Struct, frozen=True):
    limit: int
    used: int


class _Quotas(msgspec.Struct, frozen=True):
    port: _Quota


class _QuotaAnswer(msgspec.Struct, frozen=True):
    quota: _Quotas


class _Agent(msgspec.Struct, frozen=True):
    host: str
    agent_type: str
    alive: bool


class _Agents(msgspec.Struct, frozen=True):
    agents: tuple[_Agent, ...]


class _Network(msgspec.Struct, frozen=True, rename={"type": "provider:network_type"}):
    type: str | None = None


class _NetworkAnswer(msgspec.Struct, frozen=True):
    network: _Network


class _Range(msgspec.Struct, frozen=True):
    start: str
    end: str


class _Subnet(msgspec.Struct, frozen=True):
    cidr: str
    allocation_pools: tuple[_Range, ...]


class _Subnets(msgspec.Struct, frozen=True):
    subnets: tuple[_Subnet, ...]


async def fetch_facts(configuration: Configuration, client: Client, api: Api, identity: Identity) -> Facts:
    """Raises `ApiError`, `OpenStackError`, `ConfigurationError`: what is asked of everybody must be answered."""
    neutron = Neutron(api, timeout_s=_TIMEOUT_S)
    network = await neutron.fetch_network(require(configuration.neutron.network, "neutron.network"))
    cluster = configuration.cluster_id or (await client.get(Namespace, "kube-system")).metadata.uid
    ports = await neutron.fetch_ports(network_id=network.id)
    subnets = await _ask(api, f"/v2.0/subnets?{urlencode({'network_id': network.id})}", _Subnets)
    used = [ipaddress.ip_address(fixed.ip_address) for port in ports for fixed in port.fixed_ips]
    nodes = (await client.list_all(_Node)).items
    missing, reported = await _read_definitions(client)
    return Facts(
        kubernetes=min((_version(node) for node in nodes), default=None),
        missing_definitions=missing,
        project=identity.project,
        roles=identity.roles,
        network=network.name,
        network_mtu=network.mtu,
        tunnelled=await _is_tunnelled(api, network.id),
        subnets=tuple(_subnet_facts(subnet, used) for subnet in subnets.subnets),
        quota=await _fetch_quota(api, identity.project_id),
        chassis=await _fetch_chassis(api),
        nodes=tuple(_node_facts(node, reported.get(node.metadata.name)) for node in nodes),
        pods=sum(needs_port(pod) for pod in (await client.list_all(Pod)).items),
        our_ports=sum(port.device_owner == device_owner(ClusterId(cluster)) for port in ports),
    )


async def _ask(api: Api, path: str, of: type[S]) -> S:
    answer = await api.request("GET", path, timeout_s=_TIMEOUT_S)
    try:
        return msgspec.json.decode(answer.body, type=of)
    except msgspec.MsgspecError as error:
        raise errors.Unavailable(f"GET {path}: the network service answered something else: {error}") from error


async def _is_tunnelled(api: Api, network_id: str) -> bool | None:
    """None where only administrators see it."""
    kind = (await _ask(api, f"/v2.0/networks/{network_id}", _NetworkAnswer)).network.type
    return kind in _TUNNELS if kind is not None else None


async def _fetch_quota(api: Api, project_id: str) -> tuple[int, int] | None:
    try:
        quota = (await _ask(api, f"/v2.0/quotas/{project_id}/details.json", _QuotaAnswer)).quota.port
    except (errors.NotFound, errors.Unauthorised):
        return None
    return quota.limit, quota.used


async def _fetch_chassis(api: Api) -> tuple[str, ...] | None:
    """None where only administrators see them: Neutron refuses, or shows none."""
    try:
        agents = (await _ask(api, "/v2.0/agents", _Agents)).agents
    except (errors.NotFound, errors.Unauthorised):
        return None
    hosts = {agent.host for agent in agents if agent.alive and agent.agent_type.startswith("OVN Controller")}
    return tuple(sorted(hosts)) if agents else None


async def _read_definitions(client: Client) -> tuple[tuple[str, ...], dict[str, KuryrNode]]:
    """Our kinds that the cluster does not know, and the KuryrNodes by name."""
    missing, nodes = [], {}
    for kind in KINDS:
        try:
            found = await client.list_all(kind)
        except kube.NotFound:
            missing.append(kind.resource.plural)
            continue
        nodes.update({one.metadata.name: one for one in found.items if isinstance(one, KuryrNode)})
    return tuple(missing), nodes


def _version(node: _Node) -> tuple[int, int]:
    """`v1.37.2` as (1, 37); what cannot be read is (0, 0), and so too old."""
    major, _, rest = node.status.node_info.kubelet_version.removeprefix("v").partition(".")
    minor = rest.partition(".")[0]
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def _node_facts(node: _Node, reported: KuryrNode | None) -> NodeFacts:
    pods = node.status.allocatable.get("pods", "")
    conditions = reported.status.conditions if reported is not None else ()
    return NodeFacts(
        name=node.metadata.name,
        max_pods=int(pods) if pods.isdigit() else 110,  # the kubelet's default
        host_id=reported.status.host_id if reported is not None else None,
        mtu=reported.status.mtu if reported is not None else 0,
        problems=tuple(f"{one.type}: {one.message or one.reason}" for one in conditions if one.status == "False"),
    )


def _subnet_facts(subnet: _Subnet, used: Iterable[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> SubnetFacts:
    network = ipaddress.ip_network(subnet.cidr)
    ranges = [(ipaddress.ip_address(one.start), ipaddress.ip_address(one.end)) for one in subnet.allocation_pools]
    return SubnetFacts(
        cidr=subnet.cidr,
        addresses=sum(int(last) - int(first) + 1 for first, last in ranges),
        used=sum(
            any(int(first) <= int(ip) <= int(last) for first, last in ranges)
            for ip in used
            if ip.version == network.version
        ),
    )
