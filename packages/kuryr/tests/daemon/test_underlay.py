import pytest

from kuryr.daemon.underlay import largest_pod_mtu

MTUS = {"192.0.2.1": 1500, "198.51.100.1": 9000, "2001:db8::1": 1500}


@pytest.mark.parametrize(
    ("ips", "types", "expected"),
    [
        (["192.0.2.1"], ["geneve"], 1442),
        (["2001:db8::1"], ["geneve"], 1422),
        (["192.0.2.1"], ["vxlan"], 1450),
        (["192.0.2.1"], ["vxlan", "geneve"], 1442),
        (["198.51.100.1", "192.0.2.1"], ["geneve"], 1442),
        (["203.0.113.9"], ["geneve"], 0),
        (["198.51.100.1", "203.0.113.9"], ["geneve"], 0),
        ([], ["geneve"], 0),
        (["192.0.2.1"], [], 0),
        (["192.0.2.1"], ["stt"], 0),
        (["nonsense"], ["geneve"], 0),
    ],
)
def test_a_pods_packet_fits_every_tunnel_or_it_is_not_known(ips: list[str], types: list[str], expected: int) -> None:
    assert largest_pod_mtu(ips, types, MTUS) == expected
