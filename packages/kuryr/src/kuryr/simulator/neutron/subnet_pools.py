"""Subnet pools: prefixes out of which subnets are cut, the smallest free piece first, as Neutron does it."""

import ipaddress
from collections.abc import Iterator
from typing import Any, ClassVar

from kuryr.simulator.neutron.addresses import Network
from kuryr.simulator.neutron.attributes import (
    REQUIRED,
    UNSET,
    Attribute,
    Attributes,
    boolean,
    number,
    only,
    read_only,
    string,
)
from kuryr.simulator.neutron.caller import Caller, not_authorised
from kuryr.simulator.neutron.resource import Resource, Surroundings
from kuryr.simulator.neutron.subnets import Subnets
from kuryr.simulator.refusals import Body, Refusal, bad_request, invalid, invalid_operation, not_simulated

_LENGTHS = ("min_prefixlen", "max_prefixlen", "default_prefixlen")


def _prefixes(name: str, value: Any) -> list[Network]:
    if not isinstance(value, list):
        raise invalid(name, f"'{value}' is not a list")
    found: list[Network] = []
    for one in value:
        try:
            found.append(ipaddress.ip_network(one))
        except ValueError:
            raise invalid(name, f"'{one}' is not a valid IP subnet") from None
    return found


class SubnetPools(Resource):
    """Gives `Subnets` what its creates ask for."""

    name = "subnetpool"
    collection = "subnetpools"
    attributes: ClassVar[Attributes] = {
        "name": Attribute(string(255), REQUIRED),
        "tenant_id": Attribute(string(255), put=False),
        "project_id": Attribute(string(255), put=False),
        "prefixes": Attribute(_prefixes, REQUIRED),
        "min_prefixlen": Attribute(number(0, 128), UNSET),
        "max_prefixlen": Attribute(number(0, 128), UNSET),
        "default_prefixlen": Attribute(number(0, 128), UNSET),
        "shared": Attribute(boolean, False, put=False),
        "description": Attribute(string(255), ""),
        "is_default": Attribute(only(False), False),
        "default_quota": Attribute(only(None), None),
        "address_scope_id": Attribute(only(None), None),
        **{name: read_only() for name in ("id", "ip_version")},
    }

    def __init__(self, surroundings: Surroundings, subnets: Subnets) -> None:
        super().__init__(surroundings)
        self._subnets = subnets
        subnets.allocate = self.allocate

    def not_found(self, object_id: str) -> Refusal:
        return Refusal(404, "SubnetPoolNotFound", f"Subnet pool {object_id} could not be found.")

    def sees(self, caller: Caller, one: Body) -> bool:
        return super().sees(caller, one) or one["shared"]

    def authorise_create(self, caller: Caller, wanted: Body) -> None:
        if wanted["shared"] and not caller.admin:
            raise not_authorised("create_subnetpool", "shared")

    def authorise_update(self, caller: Caller, one: Body, changes: Body) -> None:
        if not caller.admin and not caller.owns(one):
            raise not_authorised("update_subnetpool")

    def create(self, caller: Caller, wanted: Body) -> Body:
        prefixes: list[Network] = wanted["prefixes"]
        if not prefixes:
            raise bad_request("Empty subnet pool prefix list.", "EmptySubnetPoolPrefixList")
        version = prefixes[0].version
        if any(one.version != version for one in prefixes):
            raise bad_request("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", "PrefixVersionMismatch")
        given = {"min_prefixlen": 8 if version == 4 else 64, "max_prefixlen": 32 if version == 4 else 128, **wanted}
        lowest, highest = given["min_prefixlen"], given["max_prefixlen"]
        usual = {"default_prefixlen": lowest, **wanted}["default_prefixlen"]
        _check_bounds(lowest, highest, usual)
        return self.keep(
            {
                "id": self.surroundings.identifiers.uuid(),
                "name": wanted["name"],
                "project_id": wanted["project_id"],
                # as texts: so says Neutron's API
                "default_prefixlen": str(usual),
                "min_prefixlen": str(lowest),
                "max_prefixlen": str(highest),
                "is_default": False,
                "shared": wanted["shared"],
                "prefixes": [str(one) for one in _merged(prefixes)],
                "ip_version": version,
                "default_quota": None,
                "address_scope_id": None,
                "description": wanted["description"],
            }
        )

    def update(self, caller: Caller, one: Body, changes: Body) -> None:
        if any(name in changes for name in (*_LENGTHS, "prefixes")):
            raise not_simulated("changes of a subnet pool's prefixes or their lengths")
        super().update(caller, one, changes)

    def delete(self, caller: Caller, one: Body) -> None:
        if any(self._of(one["id"])):
            text = "Unable to delete subnet pool: Subnet pool has existing allocations."
            raise bad_request(text, "SubnetPoolDeleteError")
        self.remove(one)

    def allocate(self, caller: Caller, wanted: Body) -> tuple[str, str]:
        """See `subnets.Allocate`."""
        pool = self.find(caller, wanted["subnetpool_id"])
        if pool["ip_version"] != wanted["ip_version"]:
            text = f"Cannot allocate IPv{wanted['ip_version']} subnet from IPv{pool['ip_version']} subnet pool"
            raise bad_request(f"Bad subnets request: {text}.", "BadRequest")
        if wanted.get("cidr") is not None:
            return pool["id"], str(self._specific(pool, wanted["cidr"]))
        length = wanted.get("prefixlen", int(pool["default_prefixlen"]))
        _check_length(pool, length)
        for piece in sorted(self._free(pool), key=lambda one: (-one.prefixlen, one.network_address)):
            if piece.prefixlen <= length:
                return pool["id"], str(next(iter(piece.subnets(new_prefix=length))))
        raise _cannot_allocate(f"Insufficient prefix space to allocate subnet size /{length}")

    def _specific(self, pool: Body, cidr: str) -> Network:
        try:
            block = ipaddress.ip_network(cidr, strict=False)
        except ValueError:
            raise invalid_operation(f"{cidr} is not in a CIDR format") from None
        _check_length(pool, block.prefixlen)
        if not any(block.version == piece.version and _within(block, piece) for piece in self._free(pool)):
            raise _cannot_allocate("Cannot allocate requested subnet from the available set of prefixes")
        return block

    def _of(self, pool_id: str) -> Iterator[Network]:
        for subnet in self._subnets.objects.values():
            if subnet["subnetpool_id"] == pool_id:
                yield ipaddress.ip_network(subnet["cidr"])

    def _free(self, pool: Body) -> list[Network]:
        free = [ipaddress.ip_network(one) for one in pool["prefixes"]]
        for taken in self._of(pool["id"]):
            free = [rest for piece in free for rest in _without(piece, taken)]
        return _merged(free)


def _merged(pieces: list[Network]) -> list[Network]:
    return list(ipaddress.collapse_addresses(pieces))  # type: ignore[type-var]


def _without(piece: Network, taken: Network) -> list[Network]:
    if not piece.overlaps(taken):
        return [piece]
    return list(piece.address_exclude(taken)) if _within(taken, piece) else []  # type: ignore[arg-type]


def _within(inner: Network, outer: Network) -> bool:
    return inner.subnet_of(outer)  # type: ignore[arg-type]


def _check_bounds(lowest: int, highest: int, usual: int) -> None:
    if lowest > highest:
        raise _bounds("min_prefixlen", lowest, "max_prefixlen", highest)
    if usual > highest:
        raise _bounds("default_prefixlen", usual, "max_prefixlen", highest)
    if usual < lowest:
        raise _bounds("default_prefixlen", usual, "min_prefixlen", lowest)


def _bounds(name: str, value: int, base: str, limit: int) -> Refusal:
    text = f"Illegal prefix bounds: {name}={value}, {base}={limit}."
    return bad_request(text, "IllegalSubnetPoolPrefixBounds")


def _check_length(pool: Body, length: int) -> None:
    if length > int(pool["max_prefixlen"]):
        text = f"Unable to allocate subnet with prefix length {length}, maximum allowed prefix is "
        raise bad_request(text + f"{pool['max_prefixlen']}.", "MaxPrefixSubnetAllocationError")
    if length < int(pool["min_prefixlen"]):
        text = f"Unable to allocate subnet with prefix length {length}, minimum allowed prefix is "
        raise bad_request(text + f"{pool['min_prefixlen']}.", "MinPrefixSubnetAllocationError")


def _cannot_allocate(reason: str) -> Refusal:
    return Refusal(500, "SubnetAllocationError", f"Failed to allocate subnet: {reason}.")
