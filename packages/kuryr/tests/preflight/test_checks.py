"""Preflight finds what would keep pods from their network, and says what to do."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuryr.preflight.checks import Facts, Finding, Level, NodeFacts, SubnetFacts, check, is_ready, wanted_ports

NODE = NodeFacts(name="node1", max_pods=110, host_id="node1.example", mtu=1442)
GOOD = Facts(
    kubernetes=(1, 37),
    missing_definitions=(),
    project="p",
    roles=("member", "service"),
    network="pods",
    network_mtu=1442,
    tunnelled=True,
    subnets=(SubnetFacts(cidr="10.0.0.0/16", addresses=65533, used=3),),
    quota=(500, 3),
    chassis=("node1.example",),
    nodes=(NODE,),
    pods=4,
    our_ports=0,
)


def problems(facts: Facts) -> list[Finding]:
    return [one for one in check(facts) if one.level is not Level.OK]


def test_a_cloud_and_cluster_that_are_set_up_well_have_no_problem() -> None:
    assert problems(GOOD) == []
    assert is_ready(check(GOOD))


@pytest.mark.parametrize(
    ("facts", "level", "what", "todo"),
    [
        (replace(GOOD, kubernetes=(1, 32)), Level.FAILED, "kubelet is 1.32", "1.33"),
        (replace(GOOD, missing_definitions=("kuryrports",)), Level.FAILED, "kuryrports", "kuryr crds"),
        (replace(GOOD, roles=("member",)), Level.FAILED, "member", "role add"),
        (replace(GOOD, roles=("admin", "member")), Level.WARNING, "admin", "alone"),
        (replace(GOOD, roles=None), Level.UNKNOWN, "roles", "member and service"),
        (replace(GOOD, chassis=("node2.example",)), Level.FAILED, "node1.example", "hostname"),
        (replace(GOOD, chassis=None), Level.UNKNOWN, "administrators", "agent list"),
        (replace(GOOD, nodes=(replace(NODE, host_id=None),)), Level.FAILED, "has not reported", "kuryr daemon"),
        (replace(GOOD, nodes=(replace(NODE, host_id=""),)), Level.FAILED, "host name", "hostname"),
        (replace(GOOD, nodes=(replace(NODE, problems=("OVNReady: x",)),)), Level.FAILED, "OVNReady: x", "describe"),
        (replace(GOOD, nodes=(replace(NODE, mtu=1400),)), Level.FAILED, "1442", "by 42"),
        (replace(GOOD, tunnelled=None, nodes=(replace(NODE, mtu=1400),)), Level.WARNING, "1442", "by 42"),
        (replace(GOOD, nodes=()), Level.WARNING, "no node", ""),
        (replace(GOOD, quota=None), Level.UNKNOWN, "quota", "quota show"),
        (replace(GOOD, quota=(100, 3)), Level.WARNING, "3 of 100", "quota set --ports 114"),
        (replace(GOOD, quota=(5, 3)), Level.FAILED, "3 of 5", "quota set"),
        (replace(GOOD, subnets=()), Level.FAILED, "no subnet", "make one"),
        (replace(GOOD, subnets=(SubnetFacts(cidr="10.0.0.0/28", addresses=13, used=3),)), Level.WARNING, "13", "111"),
        (replace(GOOD, subnets=(SubnetFacts(cidr="10.0.0.0/29", addresses=5, used=3),)), Level.FAILED, "3 of 5", ""),
    ],
)
def test_each_problem_is_found_alone_and_says_what_to_do(facts: Facts, level: Level, what: str, todo: str) -> None:
    (found,) = problems(facts)
    assert found.level is level
    assert what in found.what
    assert todo in found.todo
    assert is_ready(check(facts)) == (level is not Level.FAILED)


def test_a_network_without_tunnels_is_not_bound_by_the_nodes_mtu() -> None:
    assert problems(replace(GOOD, tunnelled=False, nodes=(replace(NODE, mtu=1400),))) == []


@given(pods=st.integers(0, 110), left=st.integers(0, 300))
def test_ports_that_are_made_already_are_not_asked_for_twice(pods: int, left: int) -> None:
    """Whatever share of the pods has its port by now, the answer is the same."""
    levels = set()
    for made in range(pods + 1):
        facts = replace(GOOD, pods=pods, our_ports=made, quota=(left + pods, made), subnets=GOOD.subnets)
        levels |= {one.level for one in check(facts) if "quota" in one.what}
    assert len(levels) == 1


def test_a_full_node_needs_a_port_for_each_pod_and_its_own() -> None:
    assert wanted_ports(replace(GOOD, nodes=(NODE, replace(NODE, name="node2", max_pods=9)))) == 121
