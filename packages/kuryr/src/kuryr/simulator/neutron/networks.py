"""Networks: their MTU and who sees them. A network goes when no port but those of its own services is on it."""

from collections.abc import Callable
from typing import ClassVar

from kuryr.simulator.neutron.attributes import (
    UNSET,
    Attribute,
    Attributes,
    anything,
    boolean,
    number,
    only,
    read_only,
    string,
)
from kuryr.simulator.neutron.caller import Caller, not_authorised
from kuryr.simulator.neutron.resource import Resource, Surroundings
from kuryr.simulator.refusals import Body, Refusal, invalid_operation

_OPERATORS = ("shared", "router:external", "provider:network_type", "provider:physical_network")


class Networks(Resource):
    """`mtu_bytes` is the largest that the cloud carries."""

    name = "network"
    collection = "networks"
    first_revision = 1
    attributes: ClassVar[Attributes] = {
        "name": Attribute(string(255), ""),
        "tenant_id": Attribute(string(255), put=False),
        "project_id": Attribute(string(255), put=False),
        "admin_state_up": Attribute(boolean, True),
        "mtu": Attribute(number(0, 65535), 0),
        "shared": Attribute(boolean, False),
        "port_security_enabled": Attribute(boolean, True),
        "router:external": Attribute(boolean, False),
        "description": Attribute(string(255), ""),
        "provider:network_type": Attribute(anything, UNSET, operator=True),
        "provider:physical_network": Attribute(anything, UNSET, operator=True),
        "provider:segmentation_id": Attribute(anything, UNSET, operator=True),
        "qos_policy_id": Attribute(only(None), None),
        "availability_zone_hints": Attribute(only([]), []),
        "is_default": Attribute(only(False), False),
        "vlan_transparent": Attribute(only(False), False),
        "qinq": Attribute(only(False), False),
        "dns_domain": Attribute(only(""), UNSET),
        **{name: read_only() for name in ("id", "status", "subnets", "availability_zones", "l2_adjacency")},
    }

    def __init__(self, surroundings: Surroundings, *, mtu_bytes: int = 1500) -> None:
        super().__init__(surroundings)
        self.mtu_bytes = mtu_bytes
        self.ports_on: Callable[[str], list[str]] = lambda _: []
        self.subnet_gone: Callable[[str], None] = lambda _: None

    def sees(self, caller: Caller, one: Body) -> bool:
        return super().sees(caller, one) or caller.service or one["shared"] or one["router:external"]

    def shown(self, caller: Caller, one: Body) -> Body:
        found = super().shown(caller, one)
        return found if one["router:external"] else {name: found[name] for name in found if name != "is_default"}

    def authorise_create(self, caller: Caller, wanted: Body) -> None:
        given = [name for name in _OPERATORS if wanted.get(name)]
        if given and not caller.admin:
            raise not_authorised("create_network", *given)

    def authorise_update(self, caller: Caller, one: Body, changes: Body) -> None:
        if not caller.admin and (not caller.owns(one) or any(name in changes for name in _OPERATORS)):
            raise not_authorised("update_network", *(name for name in _OPERATORS if name in changes))

    def create(self, caller: Caller, wanted: Body) -> Body:
        mtu = wanted["mtu"] or self.mtu_bytes
        if mtu > self.mtu_bytes:
            raise invalid_operation(f"Requested MTU is too big, maximum is {self.mtu_bytes}")
        identifiers, chance = self.surroundings.identifiers, self.surroundings.chance
        kind = wanted.get("provider:network_type") or "geneve"
        return self.keep(
            {
                "id": identifiers.uuid(),
                "name": wanted["name"],
                "project_id": wanted["project_id"],
                "admin_state_up": wanted["admin_state_up"],
                "mtu": mtu,
                "status": "ACTIVE",
                "subnets": [],
                "shared": wanted["shared"],
                "availability_zone_hints": [],
                "availability_zones": [],
                "ipv4_address_scope": None,
                "ipv6_address_scope": None,
                "router:external": wanted["router:external"],
                "qinq": False,
                "vlan_transparent": False,
                "description": wanted["description"],
                "port_security_enabled": wanted["port_security_enabled"],
                "qos_policy_id": None,
                "l2_adjacency": True,
                "is_default": False,
                "provider:network_type": kind,
                "provider:physical_network": wanted.get("provider:physical_network"),
                "provider:segmentation_id": chance.randrange(1, 65536) if kind == "geneve" else None,
            }
        )

    def delete(self, caller: Caller, one: Body) -> None:
        ports = self.ports_on(one["id"])
        if ports:
            text = f"Unable to complete operation on network {one['id']}. There are one or more ports still in use on "
            text += f"the network, id for these ports is: {','.join(ports)}."
            raise Refusal(409, "NetworkInUse", text)
        for subnet in tuple(one["subnets"]):
            self.subnet_gone(subnet)
        self.remove(one)
