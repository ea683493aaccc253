"""Names of the configuration, looked up in Neutron."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from kuryr.model.configuration import NeutronNetwork
from kuryr.openstack import errors
from kuryr.openstack.neutron import Neutron
from kuryr.openstack.placement import fetch_placement
from kuryr.openstack.session import Answer

NETWORK = {"id": "net", "name": "pods", "mtu": 1442}
GROUP = {"id": "sg", "name": "kuryr-pods"}
OPTIONS = NeutronNetwork(network="pods", security_groups=("kuryr-pods",))


def subnet(subnet_id: str, cidr: str, version: int = 4) -> dict[str, object]:
    return {"id": subnet_id, "network_id": "net", "cidr": cidr, "ip_version": version, "gateway_ip": None}


class Collections:
    """An `Api` that lists."""

    def __init__(self, *subnets: dict[str, object]) -> None:
        self._rows = {"networks": [NETWORK], "subnets": list(subnets), "security-groups": [GROUP]}

    async def request(
        self, method: str, path: str, body: bytes = b"", *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Answer:
        url = urlsplit(path)
        collection = url.path.rpartition("/")[2]
        rows = [row for row in self._rows[collection] if dict(parse_qsl(url.query)).items() <= row.items()]
        return Answer(200, msgspec.json.encode({collection.replace("-", "_"): rows}))


async def test_names_become_ids_and_each_family_has_one_subnet() -> None:
    neutron = Neutron(Collections(subnet("six", "fd00::/64", 6), subnet("four", "10.0.0.0/16")))
    placement = await fetch_placement(neutron, OPTIONS)
    assert (placement.network.id, placement.security_group_ids) == ("net", ("sg",))
    assert [one.id for one in placement.subnets] == ["four", "six"]
    assert (placement.prefix_length("four"), placement.gateway("four")) == (16, "")


async def test_of_several_subnets_it_is_the_same_whatever_order_neutron_has() -> None:
    one, other = subnet("a", "10.0.0.0/16"), subnet("b", "10.1.0.0/16")
    first = await fetch_placement(Neutron(Collections(one, other)), OPTIONS)
    second = await fetch_placement(Neutron(Collections(other, one)), OPTIONS)
    assert first == second


async def test_a_network_without_subnets_cannot_hold_pods() -> None:
    with pytest.raises(errors.CloudConfigError, match="network pods has no subnet"):
        await fetch_placement(Neutron(Collections()), OPTIONS)


async def test_a_name_that_neutron_does_not_have_is_told() -> None:
    with pytest.raises(errors.NotFound, match="there are 0 networks named 'nets'"):
        await fetch_placement(Neutron(Collections()), NeutronNetwork(network="nets"))
