"""What must be so for pods to get their network, checked before they need it. Pure: facts in, findings out.

Every finding says what was looked at and, where it is not as it should be, what to do. A fact that could not be had is
None: then its check says so, and how else it can be told.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

ADMIN, SERVICE = "admin", "service"

_OLDEST_KUBERNETES = (1, 33)


class Level(StrEnum):
    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """`todo` is empty where nothing is to be done."""

    level: Level
    what: str
    todo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """One Node. `host_id`: what its daemon reported; None: it has reported nothing. `max_pods` of the kubelet; `mtu`:
    most that a pod on its tunnels can have, in bytes, 0: unknown. `problems`: conditions of its KuryrNode that are not
    True.
    """

    name: str
    max_pods: int
    host_id: str | None
    mtu: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetFacts:
    """`addresses`: how many the allocation pools have in all; `used`: of all ports on it that can be seen."""

    cidr: str
    addresses: int
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`kubernetes`: major and minor of the oldest kubelet; None: there is no node. `quota`: limit (negative: none) and
    used, of ports. `chassis`: hosts with a living ovn-controller. `pods`: those that need a port now; `our_ports`: what
    there is of them, and of the nodes', in Neutron.
    """

    kubernetes: tuple[int, int] | None
    missing_definitions: tuple[str, ...]
    project: str
    roles: tuple[str, ...] | None
    network: str
    network_mtu: int
    tunnelled: bool | None
    subnets: tuple[SubnetFacts, ...]
    quota: tuple[int, int] | None
    chassis: tuple[str, ...] | None
    nodes: tuple[NodeFacts, ...]
    pods: int
    our_ports: int


def check(facts: Facts) -> tuple[Finding, ...]:
    """All findings, in the order in which one would set things up."""
    return (
        *_check_kubernetes(facts),
        *_check_roles(facts),
        *_check_chassis(facts),
        *_check_nodes(facts),
        *_check_mtu(facts),
        *_check_quota(facts),
        *_check_subnets(facts),
    )


def is_ready(findings: Iterable[Finding]) -> bool:
    """Nothing failed."""
    return not any(one.level is Level.FAILED for one in findings)


def wanted_ports(facts: Facts) -> int:
    """When every node is full: a port for each pod, and each node's own."""
    return sum(node.max_pods + 1 for node in facts.nodes)


def _check_kubernetes(facts: Facts) -> Iterator[Finding]:
    if facts.kubernetes is not None:
        version, oldest = (".".join(map(str, one)) for one in (facts.kubernetes, _OLDEST_KUBERNETES))
        what = f"the oldest kubelet is {version}"
        if facts.kubernetes < _OLDEST_KUBERNETES:
            yield Finding(Level.FAILED, what, f"upgrade Kubernetes to {oldest} or later: nodes' tokens need it")
        else:
            yield Finding(Level.OK, what)
    if facts.missing_definitions:
        missing = ", ".join(facts.missing_definitions)
        yield Finding(Level.FAILED, f"not defined: {missing}", "run `kuryr crds | kubectl apply --server-side -f -`")


def _check_roles(facts: Facts) -> Iterator[Finding]:
    if facts.roles is None:
        yield Finding(Level.UNKNOWN, "the token does not tell its roles", "give the user the roles member and service")
        return
    what = f"roles in project {facts.project}: {', '.join(sorted(facts.roles)) or 'none'}"
    if ADMIN in facts.roles:
        todo = "use a user with the roles member and service alone: Kuryr needs no more, and a leak would cost less"
        yield Finding(Level.WARNING, what, todo)
    elif SERVICE not in facts.roles:
        todo = "`openstack role add --user USER --project PROJECT service`: Neutron binds no port to a host without it"
        yield Finding(Level.FAILED, what, todo)
    else:
        yield Finding(Level.OK, what)


def _check_chassis(facts: Facts) -> Iterator[Finding]:
    if facts.chassis is None:
        todo = "as an administrator see `openstack network agent list`; below is what the nodes say themselves"
        yield Finding(Level.UNKNOWN, "only administrators see which hosts Neutron knows", todo)
        return
    for node in facts.nodes:
        if node.host_id and node.host_id not in facts.chassis:
            known = ", ".join(sorted(facts.chassis)) or "none"
            todo = "start ovn-controller there, or set external_ids:hostname in its OVSDB to what Neutron knows"
            yield Finding(Level.FAILED, f"node {node.name} is host {node.host_id}; Neutron knows {known}", todo)


def _check_nodes(facts: Facts) -> Iterator[Finding]:
    if not facts.nodes:
        yield Finding(Level.WARNING, "there is no node", "")
    for node in facts.nodes:
        if node.host_id is None:
            todo = "start `kuryr daemon` there and see its log: pods on it get no port before"
            yield Finding(Level.FAILED, f"node {node.name} has not reported", todo)
        elif not node.host_id:
            todo = "set external_ids:hostname in its OVSDB: Neutron binds ports by it"
            yield Finding(Level.FAILED, f"node {node.name} does not know its host name in OVN", todo)
        elif node.problems:
            what = f"node {node.name}: {'; '.join(node.problems)}"
            yield Finding(Level.FAILED, what, f"see `kubectl describe kuryrnode {node.name}`")
        else:
            yield Finding(Level.OK, f"node {node.name} is host {node.host_id}")


def _check_mtu(facts: Facts) -> Iterator[Finding]:
    if facts.tunnelled is False:
        return
    small = [node for node in facts.nodes if node.mtu and node.mtu < facts.network_mtu]
    for node in small:
        todo = (
            f"raise the MTU of the node's underlay by {facts.network_mtu - node.mtu}, or lower the network's: "
            f"`openstack network set --mtu {node.mtu} {facts.network}`; else large packets are lost"
        )
        what = f"network {facts.network} has MTU {facts.network_mtu}, node {node.name} carries {node.mtu}"
        # only administrators see of which type a network is
        yield Finding(Level.FAILED if facts.tunnelled else Level.WARNING, what, todo)
    if not small:
        yield Finding(Level.OK, f"network {facts.network} has MTU {facts.network_mtu}")


def _check_quota(facts: Facts) -> Iterator[Finding]:
    if facts.quota is None:
        yield Finding(Level.UNKNOWN, "the quota of ports cannot be read", "see `openstack quota show`")
        return
    limit, used = facts.quota
    if limit < 0:
        yield Finding(Level.OK, "there is no quota of ports")
        return
    needed = used - facts.our_ports + wanted_ports(facts)
    todo = f"full nodes need {needed} in all: `openstack quota set --ports {needed} PROJECT`"
    yield _judged(facts, limit - used, f"{used} of {limit} ports of the quota are used", todo)


def _check_subnets(facts: Facts) -> Iterator[Finding]:
    if not facts.subnets:
        yield Finding(Level.FAILED, f"network {facts.network} has no subnet", "make one: pods need addresses")
    for subnet in facts.subnets:
        todo = f"full nodes need {wanted_ports(facts)} addresses: give the network a larger subnet"
        what = f"subnet {subnet.cidr}: {subnet.used} of {subnet.addresses} addresses are used"
        yield _judged(facts, subnet.addresses - subnet.used, what, todo)


def _judged(facts: Facts, left: int, what: str, todo: str) -> Finding:
    """What is left, and what we have already, against what is there now and what fits onto the nodes."""
    for_us = left + facts.our_ports
    if for_us < facts.pods + len(facts.nodes):
        return Finding(Level.FAILED, what, todo)
    if for_us < wanted_ports(facts):
        return Finding(Level.WARNING, what, todo)
    return Finding(Level.OK, what)
