"""Where pods' ports are made: the network, its subnets and the security groups of the configuration, looked up once
and checked.
"""

import ipaddress
from dataclasses import dataclass

from kuryr.model.configuration import NeutronNetwork, require
from kuryr.openstack.errors import CloudConfigError
from kuryr.openstack.neutron import Network, Neutron, Subnet


@dataclass(frozen=True, slots=True)
class Placement:
    """Resolved names. `subnets` has one per family."""

    network: Network
    subnets: tuple[Subnet, ...]
    security_group_ids: tuple[str, ...]

    def prefix_length(self, subnet_id: str) -> int:
        """Bits. Raises KeyError for a subnet that is not one of ours."""
        return ipaddress.ip_network(self._subnet(subnet_id).cidr).prefixlen

    def gateway(self, subnet_id: str) -> str:
        """The subnet's gateway, or empty."""
        return self._subnet(subnet_id).gateway_ip or ""

    def _subnet(self, subnet_id: str) -> Subnet:
        for subnet in self.subnets:
            if subnet.id == subnet_id:
                return subnet
        raise KeyError(subnet_id)


async def fetch_placement(neutron: Neutron, options: NeutronNetwork) -> Placement:
    """Looks the configured names up. Raises `NotFound`, and `CloudConfigError` for a network that cannot hold pods."""
    network = await neutron.fetch_network(require(options.network, "neutron.network"))
    by_family: dict[int, Subnet] = {}
    # by id: Neutron promises no order, and pools made with another subnet would be other pools after each start
    for subnet in sorted(await neutron.fetch_subnets(network.id), key=lambda subnet: subnet.id):
        by_family.setdefault(subnet.ip_version, subnet)
    if not by_family:
        raise CloudConfigError(f"network {network.name} has no subnet: pods would get no address")
    groups = [await neutron.fetch_security_group(name) for name in options.security_groups]
    subnets = tuple(subnet for _, subnet in sorted(by_family.items()))
    return Placement(network, subnets, tuple(group.id for group in groups))
