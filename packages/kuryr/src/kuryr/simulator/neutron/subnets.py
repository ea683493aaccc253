"""Subnets and the addresses in them."""

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from kuryr.simulator.neutron.addresses import Addresses, Network, Pool
from kuryr.simulator.neutron.attributes import (
    REQUIRED,
    UNSET,
    Attribute,
    Attributes,
    anything,
    boolean,
    identifier,
    identifier_or_none,
    ip_or_none,
    number,
    one_of,
    only,
    read_only,
    string,
)
from kuryr.simulator.neutron.caller import Caller, not_authorised
from kuryr.simulator.neutron.networks import Networks
from kuryr.simulator.neutron.resource import Resource, Surroundings
from kuryr.simulator.refusals import Body, Refusal, bad_request, invalid, invalid_operation, not_simulated

_MODES = one_of(None, "slaac", "dhcpv6-stateful", "dhcpv6-stateless")
Allocate = Callable[[Caller, Body], tuple[str, str]]
"""Out of a subnet pool, for what is wanted: the pool's id and the CIDR. Raises `Refusal`."""


class Subnets(Resource):
    """`addresses` has those of each."""

    name = "subnet"
    collection = "subnets"
    attributes: ClassVar[Attributes] = {
        "name": Attribute(string(255), ""),
        "tenant_id": Attribute(string(255), put=False),
        "project_id": Attribute(string(255), put=False),
        "network_id": Attribute(identifier, REQUIRED, put=False),
        "ip_version": Attribute(number(4, 6), REQUIRED, put=False),
        "cidr": Attribute(anything, UNSET, put=False),
        "subnetpool_id": Attribute(identifier_or_none, None, put=False),
        "prefixlen": Attribute(number(0, 128), UNSET, put=False),
        "use_default_subnetpool": Attribute(only(False), False, put=False),
        "gateway_ip": Attribute(ip_or_none, UNSET),
        "allocation_pools": Attribute(anything, UNSET),
        "enable_dhcp": Attribute(boolean, True),
        "dns_nameservers": Attribute(anything, []),
        "host_routes": Attribute(anything, []),
        "description": Attribute(string(255), ""),
        "ipv6_ra_mode": Attribute(_MODES, None, put=False),
        "ipv6_address_mode": Attribute(_MODES, None, put=False),
        "service_types": Attribute(only([]), []),
        "segment_id": Attribute(only(None), None),
        "dns_publish_fixed_ip": Attribute(only(False), False),
        **{name: read_only() for name in ("id", "router:external")},
    }

    def __init__(self, surroundings: Surroundings, networks: Networks) -> None:
        super().__init__(surroundings)
        self._networks = networks
        self.addresses: dict[str, Addresses] = {}
        self.allocate: Allocate = _no_pools
        networks.subnet_gone = lambda subnet: self.forget(self.objects[subnet])

    def of(self, network_id: str) -> list[Body]:
        """The network's, as they were made."""
        return [self.objects[subnet] for subnet in self._networks.objects[network_id]["subnets"]]

    def sees(self, caller: Caller, one: Body) -> bool:
        return super().sees(caller, one) or self._networks.sees(caller, self._networks.objects[one["network_id"]])

    def authorise_create(self, caller: Caller, wanted: Body) -> None:
        network = self._networks.find(caller, wanted["network_id"])
        if not caller.admin and not caller.owns(network):
            raise not_authorised("create_subnet")

    def authorise_update(self, caller: Caller, one: Body, changes: Body) -> None:
        if not caller.admin and not caller.owns(one):
            raise not_authorised("update_subnet")

    def create(self, caller: Caller, wanted: Body) -> Body:
        network = self._networks.find(caller, wanted["network_id"])
        pool_id, block = self._block(caller, wanted)
        for other in self.of(network["id"]):
            if other["ip_version"] == block.version and other["subnetpool_id"] != pool_id:
                text = "Subnets hosted on the same network must be allocated from the same subnet pool."
                raise bad_request(text, "NetworkSubnetPoolAffinityError")
            if _network(other["cidr"]).overlaps(block):
                text = f"Requested subnet with cidr: {block} for network: {network['id']} overlaps with another subnet"
                raise invalid_operation(text)
        gateway = wanted.get("gateway_ip", UNSET)
        if gateway is UNSET:
            gateway = str(block[1 if block.version == 4 and block.num_addresses > 2 else 0])
        pools = _pools(wanted.get("allocation_pools", UNSET), block, gateway)
        kind = type(block.network_address)
        one = self.keep(
            {
                "id": self.surroundings.identifiers.uuid(),
                "name": wanted["name"],
                "project_id": wanted["project_id"],
                "network_id": network["id"],
                "ip_version": wanted["ip_version"],
                "subnetpool_id": pool_id,
                "enable_dhcp": wanted["enable_dhcp"],
                "ipv6_ra_mode": wanted["ipv6_ra_mode"],
                "ipv6_address_mode": wanted["ipv6_address_mode"],
                "gateway_ip": gateway,
                "cidr": str(block),
                "allocation_pools": [{"start": str(kind(start)), "end": str(kind(end))} for start, end in pools],
                "host_routes": wanted["host_routes"],
                "dns_nameservers": wanted["dns_nameservers"],
                "description": wanted["description"],
                "router:external": network["router:external"],
                "service_types": [],
            }
        )
        self.addresses[one["id"]] = Addresses(block, pools)
        network["subnets"].append(one["id"])
        self._networks.touch(network)
        return one

    def _block(self, caller: Caller, wanted: Body) -> tuple[str | None, Network]:
        if wanted["subnetpool_id"] is not None:
            pool_id, cidr = self.allocate(caller, wanted)
            return pool_id, _network(cidr)
        if wanted.get("cidr") is None:
            raise bad_request(
                "Bad subnets request: a subnetpool must be specified in the absence of a cidr.", "BadRequest"
            )
        block = _network(wanted["cidr"])
        if block.version != wanted["ip_version"]:
            raise invalid_operation(f"cidr '{block}' does not match the ip_version '{wanted['ip_version']}'")
        return None, block

    def update(self, caller: Caller, one: Body, changes: Body) -> None:
        if "allocation_pools" in changes:
            raise not_simulated("changes of allocation_pools")
        super().update(caller, one, changes)

    def delete(self, caller: Caller, one: Body) -> None:
        if len(self.addresses[one["id"]]):
            text = f"Unable to complete operation on subnet {one['id']}: One or more ports have an IP allocation from "
            raise Refusal(409, "SubnetInUse", text + "this subnet.")
        self.forget(one)

    def forget(self, one: Body) -> None:
        """It is deleted: nobody uses an address of it any more."""
        network = self._networks.objects[one["network_id"]]
        network["subnets"].remove(one["id"])
        self._networks.touch(network)
        del self.addresses[one["id"]]
        self.remove(one)


def _no_pools(_: Caller, wanted: Body) -> tuple[str, str]:
    raise Refusal(404, "SubnetPoolNotFound", f"Subnet pool {wanted['subnetpool_id']} could not be found.")


def _network(cidr: Any) -> Network:
    try:
        if "/" not in str(cidr):
            raise ValueError  # Neutron takes no bare address here
        return ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        raise invalid_operation(f"{cidr} is not in a CIDR format") from None


def _pools(wanted: Any, block: Network, gateway: str | None) -> list[Pool]:
    if wanted is not UNSET:
        if not isinstance(wanted, list):
            raise invalid("allocation_pools", f"Invalid data format for IP pool: '{wanted}'")
        return [_given(pool, block) for pool in wanted]
    first, last = int(block.network_address), int(block.broadcast_address)
    if block.num_addresses > 2:
        first, last = first + (block.version == 4), last - (block.version == 4)
    return list(_around(first, last, int(ipaddress.ip_address(gateway)) if gateway else None))


def _around(first: int, last: int, gateway: int | None) -> Iterator[Pool]:
    if gateway is None or not first <= gateway <= last:
        yield first, last
        return
    if first < gateway:
        yield first, gateway - 1
    if gateway < last:
        yield gateway + 1, last


def _given(pool: Any, block: Network) -> Pool:
    try:
        start, end = ipaddress.ip_address(pool["start"]), ipaddress.ip_address(pool["end"])
    except (KeyError, TypeError, ValueError):
        raise bad_request(f"Invalid input for allocation_pools. Reason: {pool} is not valid.") from None
    if start not in block or end not in block:
        text = f"The allocation pool {start}-{end} spans beyond the subnet cidr {block}."
        raise bad_request(text, "OutOfBoundsAllocationPool")
    return int(start), int(end)
