"""Names and routes: pure decisions."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuryr.daemon.records import external_ids, parse_record
from kuryr.daemon.sandbox import MAX_IFNAME, Address, InterfaceSpec, Route, desire_routes, host_ifname

from . import examples


def spec(*addresses: Address, routes: tuple[Route, ...] = ()) -> InterfaceSpec:
    return InterfaceSpec(
        port_id="port-1", mac_address="02:00:00:00:00:01", mtu=1442, addresses=addresses, routes=routes
    )


@given(st.text(min_size=1), st.text(min_size=1, max_size=15))
def test_host_name_fits_the_kernel(container_id: str, ifname: str) -> None:
    name = host_ifname(container_id, ifname)
    assert name.startswith("tap")
    assert len(name) <= MAX_IFNAME


def test_host_names_of_two_attempts_and_two_interfaces_differ() -> None:
    keys = [("attempt0", "eth0"), ("attempt1", "eth0"), ("attempt0", "eth1")]
    assert len({host_ifname(*key) for key in keys}) == 3


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        pytest.param([Address("10.0.0.5", 24, "10.0.0.1")], [Route("0.0.0.0/0", "10.0.0.1")], id="one family"),
        pytest.param([Address("10.0.0.5", 24)], [], id="no gateway"),
        pytest.param(
            [Address("10.0.0.5", 32, "169.254.1.1")],
            [Route("0.0.0.0/0", "169.254.1.1")],
            id="a link-local gateway is on every link",
        ),
        pytest.param(
            [Address("10.0.0.5", 32, "10.9.9.1")],
            [Route("0.0.0.0/0", "10.9.9.1", onlink=True)],
            id="a gateway outside the prefix is on-link",
        ),
        pytest.param(
            [
                Address("10.0.0.5", 24, "10.0.0.1"),
                Address("fd00::5", 64, "fd00::1"),
                Address("10.2.0.5", 24, "10.2.0.1"),
            ],
            [Route("0.0.0.0/0", "10.0.0.1"), Route("::/0", "fd00::1")],
            id="one default route per family, the first address's",
        ),
    ],
)
def test_default_routes(addresses: list[Address], expected: list[Route]) -> None:
    assert list(desire_routes(spec(*addresses))) == expected


def test_an_explicit_default_route_wins() -> None:
    routes = desire_routes(spec(Address("10.0.0.5", 24, "10.0.0.1"), routes=(Route("0.0.0.0/0", "10.0.0.9"),)))
    assert routes == (Route("0.0.0.0/0", "10.0.0.9"),)


def test_a_route_on_the_link_comes_before_routes_through_gateways() -> None:
    via, direct = Route("10.7.0.0/16", "10.6.0.1", onlink=False), Route("10.6.0.1/32")
    routes = desire_routes(spec(Address("10.0.0.5", 24), routes=(via, direct)))
    assert [route.destination for route in routes] == ["10.6.0.1/32", "10.7.0.0/16"]


@given(st.ip_addresses(v=4), st.integers(8, 32), st.ip_addresses(v=4))
def test_a_default_route_is_onlink_exactly_when_no_prefix_covers_its_gateway(
    ip: ipaddress.IPv4Address, prefix_length: int, gateway: ipaddress.IPv4Address
) -> None:
    (route,) = desire_routes(spec(Address(str(ip), prefix_length, str(gateway))))
    covered = gateway in ipaddress.ip_interface(f"{ip}/{prefix_length}").network
    assert route.onlink is (not covered and not gateway.is_link_local)


def test_a_record_survives_the_database() -> None:
    record = examples.record()
    ids = external_ids(record)
    assert parse_record(ids) == record
    assert ids["iface-id"] == "port-1"
    assert ids["attached-mac"] == "02:00:00:00:00:01"
    assert ids["iface-status"] == "active"


def test_a_record_outlives_the_loss_of_its_iface_id() -> None:
    ids = external_ids(examples.record())
    del ids["iface-id"]
    assert parse_record(ids) == examples.record()


def test_a_row_of_somebody_else_has_no_record() -> None:
    assert parse_record({"iface-id": "port-1", "attached-mac": "02:00:00:00:00:01"}) is None
