"""The addresses of one port: what it asks for, taken whole or not at all."""

import ipaddress
import random
from collections.abc import Sequence
from typing import Any

from kuryr.simulator.identifiers import is_uuid
from kuryr.simulator.neutron.addresses import SubnetFull
from kuryr.simulator.neutron.subnets import Subnets
from kuryr.simulator.refusals import Body, Refusal, bad_request, invalid

FixedIPs = list[dict[str, str]]


def fixed_ips(name: str, value: Any) -> FixedIPs:
    """Reads the attribute: a list of subnet_id, ip_address, or both."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise invalid(name, f"Invalid data format for fixed IP: '{value}'")
    for one in value:
        unknown = set(one) - {"subnet_id", "ip_address"}
        if unknown:
            raise invalid(name, f"Invalid data format for fixed IP: '{one}'")
        if "subnet_id" in one and not is_uuid(one["subnet_id"]):
            raise invalid(name, f"'{one['subnet_id']}' is not a valid UUID")
        if "ip_address" in one:
            try:
                ipaddress.ip_address(one["ip_address"])
            except ValueError:
                raise invalid(name, f"'{one['ip_address']}' is not a valid IP address") from None
    return [dict(one) for one in value]


class Allocator:
    """Gives addresses of a network's subnets to ports."""

    def __init__(self, subnets: Subnets, chance: random.Random) -> None:
        self._subnets = subnets
        self._chance = chance

    def allocate(
        self, network_id: str, wanted: FixedIPs | None, mac: str, held: Sequence[dict[str, str]] = ()
    ) -> FixedIPs:
        """`wanted` None: one of each family that the network has. Where it has SLAAC a port has that address too. Of
        `held`, those of a port that is changed, none is given back here. Raises `Refusal`, and then nothing is taken.
        """
        every = self._subnets.of(network_id)
        automatic = [subnet for subnet in every if _is_automatic(subnet)]
        subnets = [subnet for subnet in every if not _is_automatic(subnet)]
        taken: FixedIPs = []
        keep = list(held)
        try:
            for one in wanted if wanted is not None else self._one_of_each(subnets):
                address = one.get("ip_address")
                same = next((old for old in keep if _is(old, one)), None)
                if same is not None:
                    keep.remove(same)
                    taken.append(same)
                    continue
                subnet = self._subnet(network_id, subnets, one)
                taken.append(self._take(network_id, subnet, address))
        except Refusal:
            self.release([one for one in taken if one not in held])
            raise
        return taken + ([] if wanted == [] else [self._derive(subnet, mac) for subnet in automatic])

    def release(self, addresses: Sequence[dict[str, str]]) -> None:
        for one in addresses:
            found = self._subnets.addresses.get(one["subnet_id"])
            if found is not None:
                found.release(one["ip_address"])

    def _one_of_each(self, subnets: list[Body]) -> FixedIPs:
        """The first subnet of a family that has room; where none has, the last, which then refuses."""
        chosen: dict[int, Body] = {}
        for subnet in subnets:
            family = subnet["ip_version"]
            before = chosen.get(family)
            if before is None or self._is_full(before):
                chosen[family] = subnet
        return [{"subnet_id": subnet["id"]} for _, subnet in sorted(chosen.items())]

    def _is_full(self, subnet: Body) -> bool:
        addresses = self._subnets.addresses[subnet["id"]]
        return len(addresses) >= addresses.size

    def _subnet(self, network_id: str, subnets: list[Body], one: dict[str, str]) -> Body:
        if "subnet_id" in one:
            found = next((subnet for subnet in subnets if subnet["id"] == one["subnet_id"]), None)
            if found is not None:
                return found
            if one["subnet_id"] in self._subnets.objects:
                text = f"Failed to create port on network {network_id}"
                text += f", because fixed_ips included invalid subnet {one['subnet_id']}"
                raise bad_request(f"Invalid input for operation: {text}.", "InvalidInput")
            raise Refusal(404, "SubnetNotFound", f"Subnet {one['subnet_id']} could not be found.")
        for subnet in subnets:
            if self._subnets.addresses[subnet["id"]].holds(one["ip_address"]):
                return subnet
        text = f"IP address {one['ip_address']} is not a valid IP for any of the subnets on the specified network."
        raise bad_request(text, "InvalidIpForNetwork")

    def _derive(self, subnet: Body, mac: str) -> dict[str, str]:
        """EUI-64."""
        parts = [int(part, 16) for part in mac.split(":")]
        number = int.from_bytes(bytes([parts[0] ^ 2, *parts[1:3], 0xFF, 0xFE, *parts[3:]]), "big")
        addresses = self._subnets.addresses[subnet["id"]]
        address = str(addresses.network.network_address + number)
        addresses.take(address)
        return {"subnet_id": subnet["id"], "ip_address": address}

    def _take(self, network_id: str, subnet: Body, address: str | None) -> dict[str, str]:
        addresses = self._subnets.addresses[subnet["id"]]
        if address is None:
            try:
                address = addresses.take_next(self._chance)
            except SubnetFull:
                text = f"No more IP addresses available on network {network_id}."
                raise Refusal(409, "IpAddressGenerationFailure", text) from None
        else:
            address = str(ipaddress.ip_address(address))
            if not addresses.holds(address):
                text = f"IP address {address} is not a valid IP for the specified subnet."
                raise bad_request(text, "InvalidIpForSubnet")
            if address in addresses:
                text = f"IP address {address} already allocated in subnet {subnet['id']}"
                raise Refusal(409, "IpAddressAlreadyAllocated", text)
            addresses.take(address)
        return {"subnet_id": subnet["id"], "ip_address": address}


def _is_automatic(subnet: Body) -> bool:
    return subnet["ipv6_address_mode"] in ("slaac", "dhcpv6-stateless")


def _is(old: dict[str, str], wanted: dict[str, str]) -> bool:
    """What is held already does for what is wanted."""
    if "ip_address" in wanted:
        return old["ip_address"] == str(ipaddress.ip_address(wanted["ip_address"]))
    return old["subnet_id"] == wanted["subnet_id"]
