"""CHECK: each difference is named, and what later plug-ins of the chain changed is none."""

from dataclasses import replace

import pytest

from kuryr.daemon.checking import diff_sandbox
from kuryr.daemon.cni.results import Result, ResultInterface, ResultIp, ResultRoute
from kuryr.daemon.kernel import Link, NetnsState
from kuryr.daemon.sandbox import Address, Route
from kuryr.daemon.vswitch import PortState
from kuryr.daemon.wiring import Observed

from .examples import interface, record

NETNS = "/run/netns/c0"
MAC = "02:00:00:00:00:01"
PREVIOUS = Result(
    interfaces=(ResultInterface(name="tap0"), ResultInterface(name="eth0", mac=MAC, mtu=1442, sandbox=NETNS)),
    ips=(ResultIp(address="10.1.0.5/16", gateway="10.1.0.1", interface=1),),
    routes=(ResultRoute(dst="0.0.0.0/0", gw="10.1.0.1"),),
)
ETH0 = Link(index=2, name="eth0", kind="veth", mac_address=MAC, mtu=1442, up=True, alias="")
INSIDE = NetnsState(
    links=(ETH0,),
    addresses=(("eth0", Address("10.1.0.5", 16)),),
    routes=(("eth0", Route("10.1.0.0/16")), ("eth0", Route("0.0.0.0/0", "10.1.0.1"))),
)
PORT = PortState(record=record(), bound_to="port-1", installed=True, on_bridge=True, error="")
RIGHT = Observed(host_ifname="tap0", port=PORT, host=replace(ETH0, name="tap0", alias="kuryr:c0/eth0"), inside=INSIDE)


def diff(observed: Observed, previous: Result = PREVIOUS) -> tuple[str, ...]:
    return diff_sandbox("eth0", NETNS, previous, interface(), observed)


def test_what_is_as_it_was_made_has_no_difference() -> None:
    assert diff(RIGHT) == ()


@pytest.mark.parametrize(
    ("observed", "words"),
    [
        (replace(RIGHT, port=None), "no port tap0"),
        (replace(RIGHT, port=replace(PORT, bound_to="port-9")), "bound to Neutron port port-9, not to port-1"),
        (replace(RIGHT, port=replace(PORT, bound_to="")), "bound to Neutron port none"),
        (replace(RIGHT, port=replace(PORT, on_bridge=False)), "not on the integration bridge"),
        (replace(RIGHT, port=replace(PORT, installed=False)), "has not installed the flows"),
        (replace(RIGHT, port=replace(PORT, error="No such device")), "No such device"),
        (
            replace(RIGHT, port=replace(PORT, record=replace(record(), netns="/x"))),
            "belongs to the network namespace /x",
        ),
        (replace(RIGHT, port=replace(PORT, record=record(port_id="port-2"), bound_to="port-2")), "names Neutron port"),
        (replace(RIGHT, host=None), "the host has no link tap0"),
        (replace(RIGHT, host=replace(ETH0, name="tap0", up=False)), "tap0 is down"),
        (replace(RIGHT, inside=None), "the network namespace /run/netns/c0 is gone"),
        (replace(RIGHT, inside=replace(INSIDE, links=())), "no link eth0"),
        (replace(RIGHT, inside=replace(INSIDE, links=(replace(ETH0, up=False),))), "eth0 is down"),
        (replace(RIGHT, inside=replace(INSIDE, links=(replace(ETH0, mac_address="02:00:00:00:00:02"),))), "has MAC"),
        (replace(RIGHT, inside=replace(INSIDE, links=(replace(ETH0, mtu=1500),))), "has MTU 1500, not 1442"),
        (replace(RIGHT, inside=replace(INSIDE, addresses=())), "lacks the address 10.1.0.5/16"),
        (replace(RIGHT, inside=replace(INSIDE, addresses=(("lo", Address("10.1.0.5", 16)),))), "lacks the address"),
        (replace(RIGHT, inside=replace(INSIDE, routes=INSIDE.routes[:1])), "lacks the route to 0.0.0.0/0 via 10.1.0.1"),
    ],
)
def test_one_thing_that_differs_is_one_difference(observed: Observed, words: str) -> None:
    (difference,) = diff(observed)
    assert words in difference


def test_everything_that_differs_is_told_at_once() -> None:
    inside = NetnsState(links=(replace(ETH0, up=False, mtu=9000),), addresses=(), routes=())
    assert len(diff(replace(RIGHT, port=None, host=None, inside=inside))) == 6


def test_what_a_later_plug_in_changed_and_told_is_no_difference() -> None:
    tuned = replace(ETH0, mac_address="02:00:00:00:00:99", mtu=1400)
    inside = replace(INSIDE, links=(tuned,), routes=(*INSIDE.routes, ("eth0", Route("192.0.2.0/24", "10.1.0.9"))))
    told = Result(
        interfaces=(ResultInterface(name="eth0", mac=tuned.mac_address, mtu=1400, sandbox=NETNS),),
        ips=(ResultIp(address="10.1.0.5/16", interface=0),),
        routes=(),
    )
    assert diff(replace(RIGHT, inside=inside), told) == ()


def test_a_previous_result_without_our_interface_is_a_difference() -> None:
    (difference,) = diff(RIGHT, Result())
    assert "prevResult has no interface eth0" in difference


def test_without_a_claim_the_record_and_the_result_decide() -> None:
    assert diff_sandbox("eth0", NETNS, PREVIOUS, None, RIGHT) == ()
    inside = replace(INSIDE, addresses=())
    assert len(diff_sandbox("eth0", NETNS, PREVIOUS, None, replace(RIGHT, inside=inside))) == 1
