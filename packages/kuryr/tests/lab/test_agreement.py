"""Each kind of disagreement is found: from snapshots that agree, one thing is changed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from msgspec.structs import replace as with_

from kubeloop import ObjectMeta, Pod, PodSpec, PodStatus
from kuryr.daemon.records import SandboxRecord
from kuryr.lab.agreement import ApiSnapshot, Machine, OvsInterface, disagreements
from kuryr.model.resources import (
    Address,
    Interface,
    KuryrNode,
    KuryrNodeSpec,
    KuryrNodeStatus,
    KuryrPort,
    KuryrPortPool,
    KuryrPortPoolSpec,
    KuryrPortPoolStatus,
    KuryrPortSpec,
    KuryrPortStatus,
    QuarantinedPort,
)
from kuryr.openstack.neutron import FixedIP, Port


@dataclass(frozen=True)
class Seen:
    """The three snapshots."""

    api: ApiSnapshot
    ports: tuple[Port, ...]
    machines: tuple[Machine, ...]

    def problems(self) -> tuple[str, ...]:
        return disagreements(self.api, self.ports, self.machines)


def interface(name: str, number: int) -> Interface:
    address = Address(ip=f"10.0.0.{number}", prefix_length=16)
    return Interface(port_id=name, mac_address=f"02:00:00:00:00:{number:02x}", mtu=1442, addresses=(address,))


def port(name: str, number: int, node: str) -> Port:
    one = interface(name, number)
    ips = (FixedIP("subnet", one.addresses[0].ip),)
    owner = {"device_owner": "compute:kuryr-c", "device_id": f"kuryr:pool-{node}-uid:{number}"}
    return Port(name, "net", one.mac_address, **owner, fixed_ips=ips, status="ACTIVE", host_id=f"{node}.example")


def pod(name: str, number: int, node: str) -> Pod:
    metadata = ObjectMeta(name=name, namespace="ns", uid=f"{name}-uid")
    status = PodStatus(phase="Running", pod_ip=f"10.0.0.{number}")
    return Pod(metadata=metadata, spec=PodSpec(node_name=node), status=status)


def claim(name: str, number: int, node: str) -> KuryrPort:
    spec = KuryrPortSpec(
        pod_uid=f"{name}-uid", node=node, node_uid=f"{node}-uid", pool=f"pool-{node}",
        interfaces=(interface(f"{name}-port", number),),
    )  # fmt: skip
    status = KuryrPortStatus(plugged=True, sandbox=f"{name}-sandbox")
    return KuryrPort(metadata=ObjectMeta(name=name, namespace="ns", uid=f"{name}-claim"), spec=spec, status=status)


def kuryr_node(name: str, number: int) -> KuryrNode:
    spec = KuryrNodeSpec(node_uid=f"{name}-uid", interface=interface(f"{name}-own", number))
    return KuryrNode(metadata=ObjectMeta(name=name), spec=spec, status=KuryrNodeStatus(host_id=f"{name}.example"))


def pool(node: str) -> KuryrPortPool:
    spec = KuryrPortPoolSpec(node=node, node_uid=f"{node}-uid", network_id="net", subnet_ids=("subnet",))
    return KuryrPortPool(metadata=ObjectMeta(name=f"pool-{node}", uid=f"pool-{node}-uid"), spec=spec)


def wired(name: str, number: int) -> OvsInterface:
    one = interface(f"{name}-port", number)
    record = SandboxRecord(
        container_id=f"{name}-sandbox", ifname="eth0", netns="/run/netns/x", pod_namespace="ns", pod_name=name,
        pod_uid=f"{name}-uid", port_id=one.port_id, mac_address=one.mac_address,
    )  # fmt: skip
    return OvsInterface(
        name=f"tap-{name}", iface_id=one.port_id, mac_address=one.mac_address, installed=True, record=record
    )


def own(node: str, number: int) -> OvsInterface:
    one = interface(f"{node}-own", number)
    return OvsInterface(name="kuryr0", iface_id=one.port_id, mac_address=one.mac_address, installed=True)


AGREED = Seen(
    ApiSnapshot(
        pods=(pod("a", 1, "n1"), pod("b", 2, "n2")),
        claims=(claim("a", 1, "n1"), claim("b", 2, "n2")),
        nodes=(kuryr_node("n1", 11), kuryr_node("n2", 12)),
        pools=(pool("n1"), pool("n2")),
    ),
    (port("a-port", 1, "n1"), port("b-port", 2, "n2"), port("n1-own", 11, "n1"), port("n2-own", 12, "n2")),
    (
        Machine(node="n1", interfaces=(wired("a", 1), own("n1", 11)), links=frozenset({"tap-a"})),
        Machine(node="n2", interfaces=(wired("b", 2), own("n2", 12)), links=frozenset({"tap-b"})),
    ),
)

A, A_CLAIM, A_PORT, A_WIRED = (
    AGREED.api.pods[0],
    AGREED.api.claims[0],
    AGREED.ports[0],
    AGREED.machines[0].interfaces[0],
)


def test_snapshots_that_agree_have_no_disagreement() -> None:
    assert AGREED.problems() == ()


def test_pods_that_have_finished_or_are_on_the_hosts_network_need_nothing() -> None:
    done = with_(pod("done", 3, "n1"), status=PodStatus(phase="Succeeded"))
    host = with_(pod("host", 4, "n1"), spec=PodSpec(node_name="n1", host_network=True))
    assert replace(AGREED, api=replace(AGREED.api, pods=(*AGREED.api.pods, done, host))).problems() == ()


def test_a_pool_may_have_as_many_free_ports_as_it_is_to_keep_and_no_more() -> None:
    pools = tuple(with_(one, spec=with_(one.spec, min=1)) for one in AGREED.api.pools)
    seen = replace(AGREED, api=replace(AGREED.api, pools=pools), ports=(*AGREED.ports, port("free", 5, "n1")))
    assert seen.problems() == ()
    assert replace(seen, ports=(*seen.ports, port("one-more", 6, "n1"))).problems() == (
        "port one-more of kuryr:pool-n1-uid:6 is nobody's",
    )


def api(**changes: Any) -> Seen:
    """`a` of the API server is another: pods, claims, ... replaced as wholes."""
    return replace(AGREED, api=replace(AGREED.api, **changes))


def claims(**spec: Any) -> Seen:
    return api(claims=(with_(A_CLAIM, spec=with_(A_CLAIM.spec, **spec)), AGREED.api.claims[1]))


def ports(**changes: Any) -> Seen:
    return replace(AGREED, ports=(with_(A_PORT, **changes), *AGREED.ports[1:]))


def machine(**changes: Any) -> Seen:
    return replace(AGREED, machines=(replace(AGREED.machines[0], **changes), AGREED.machines[1]))


def wiring(**changes: Any) -> Seen:
    return machine(interfaces=(replace(A_WIRED, **changes), AGREED.machines[0].interfaces[1]))


def recorded(**changes: str) -> Seen:
    assert A_WIRED.record is not None
    return wiring(record=replace(A_WIRED.record, **changes))


def quarantined() -> Seen:
    entry = QuarantinedPort(port_id="a-port", claim_uid="c", pod_uid="p")
    one = with_(AGREED.api.pools[0], status=KuryrPortPoolStatus(quarantine=(entry,)))
    return api(pools=(one, AGREED.api.pools[1]))


CHANGES: Mapping[str, tuple[Callable[[], Seen], str]] = {
    "no claim": (lambda: api(claims=AGREED.api.claims[1:]), "pod ns/a has no claim"),
    "no pod": (lambda: api(pods=AGREED.api.pods[1:]), "claim ns/a has no pod"),
    "claim of a dead pod": (lambda: claims(pod_uid="other"), "is of pod UID other"),
    "claim for another node": (lambda: claims(node="n2"), "is for node n2, and the pod is on n1"),
    "claim on another's pool": (lambda: claims(pool="pool-n2"), "the claim is on pool pool-n2"),
    "claim being deleted": (
        lambda: api(
            claims=(
                with_(A_CLAIM, metadata=with_(A_CLAIM.metadata, deletion_timestamp="2026-01-01T00:00:00Z")),
                AGREED.api.claims[1],
            )
        ),
        "being deleted although its pod lives",
    ),
    "not plugged": (
        lambda: api(claims=(with_(A_CLAIM, status=KuryrPortStatus(sandbox="a-sandbox")), AGREED.api.claims[1])),
        "claim ns/a is not plugged",
    ),
    "pod shows another address": (
        lambda: api(pods=(with_(A, status=with_(A.status, pod_ip="10.0.0.77")), AGREED.api.pods[1])),
        "pod ns/a has address 10.0.0.77",
    ),
    "one port for two": (
        lambda: api(
            claims=(
                A_CLAIM,
                with_(AGREED.api.claims[1], spec=with_(AGREED.api.claims[1].spec, interfaces=A_CLAIM.spec.interfaces)),
            )
        ),
        "port a-port is given 2 times",
    ),
    "one port for pod and node": (
        lambda: claims(interfaces=(interface("n1-own", 11),)),
        "port n1-own is given 2 times",
    ),
    "quarantine": (quarantined, "port a-port of pool pool-n1 is in quarantine"),
    "port gone": (lambda: replace(AGREED, ports=AGREED.ports[1:]), "port a-port is given, and Neutron has none"),
    "port leaked": (
        lambda: replace(AGREED, ports=(*AGREED.ports, port("leak", 9, "n1"))),
        "port leak of kuryr:pool-n1-uid:9 is nobody",
    ),
    "port of no pool leaked": (
        lambda: replace(AGREED, ports=(*AGREED.ports, with_(port("leak", 9, "n1"), device_id="odd"))),
        "port leak of odd",
    ),
    "another MAC in Neutron": (lambda: ports(mac_address="02:00:00:00:00:99"), "have MACs"),
    "another address in Neutron": (lambda: ports(fixed_ips=(FixedIP("subnet", "10.0.0.98"),)), "10.0.0.98"),
    "bound elsewhere": (lambda: ports(host_id="n2.example"), "bound to host 'n2.example'"),
    "DOWN": (lambda: ports(status="DOWN"), "Neutron says DOWN"),
    "not wired": (lambda: machine(interfaces=(own("n1", 11),), links=frozenset()), "KuryrPort ns/a is wired 0 times"),
    "wired twice": (
        lambda: machine(
            interfaces=(*AGREED.machines[0].interfaces, replace(A_WIRED, name="tap-2")),
            links=frozenset({"tap-a", "tap-2"}),
        ),
        "KuryrPort ns/a is wired 2 times",
    ),
    "node's port missing": (lambda: machine(interfaces=(A_WIRED,)), "KuryrNode n1 is wired 0 times"),
    "wired on another node": (
        lambda: machine(
            interfaces=(*AGREED.machines[0].interfaces, wired("b", 2)), links=frozenset({"tap-a", "tap-b"})
        ),
        "interface tap-b of n1 has port b-port, which is nobody's there",
    ),
    "iface-id lost": (lambda: wiring(iface_id=""), "interface tap-a of n1 has port none"),
    "another MAC in OVS": (lambda: wiring(mac_address="02:00:00:00:00:99"), "has MAC 02:00:00:00:00:99"),
    "OVS cannot": (lambda: wiring(problem="could not open network device"), "could not open network device"),
    "no flows": (lambda: wiring(installed=False), "OVN has not installed its flows"),
    "sandbox of another pod": (lambda: recorded(pod_uid="other"), "is of pod UID other"),
    "older sandbox": (lambda: recorded(container_id="older"), "sandbox older, and claim ns/a is of another"),
    "sandbox with a node's port": (lambda: wiring(record=None), "is not of the kind that KuryrPort ns/a has"),
    "tap leaked": (lambda: machine(links=frozenset({"tap-a", "tap-leak"})), "link tap-leak of n1 is in no OVS"),
    "tap gone": (lambda: machine(links=frozenset()), "interface tap-a of n1 has no link"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_disagreement_is_found(kind: str) -> None:
    change, told = CHANGES[kind]
    problems = change().problems()
    assert any(told in problem for problem in problems), problems
