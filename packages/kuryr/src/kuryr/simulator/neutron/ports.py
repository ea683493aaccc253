"""Ports: a MAC that is unique in its network, addresses, a binding, and a status that follows what the host does.

A create is whole or not at all. Chassis see the ports by `Fabric`, and tell by it when one is wired.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from kuryr.simulator.fabric import BoundPort
from kuryr.simulator.neutron.allocation import Allocator, fixed_ips
from kuryr.simulator.neutron.attributes import (
    REQUIRED,
    UNSET,
    Attribute,
    Attributes,
    anything,
    boolean,
    identifier,
    identifiers,
    mac_address,
    only,
    read_only,
    string,
)
from kuryr.simulator.neutron.binding import Hosts
from kuryr.simulator.neutron.caller import Caller, not_authorised
from kuryr.simulator.neutron.networks import Networks
from kuryr.simulator.neutron.resource import Resource, Surroundings
from kuryr.simulator.neutron.security_groups import SecurityGroups
from kuryr.simulator.refusals import Body, Refusal, bad_request, invalid

BINDING = ("binding:host_id", "binding:profile", "binding:vif_type", "binding:vif_details")
_UNSEEN = frozenset(BINDING)
_ENFORCED = ("mac_address", "binding:host_id", "binding:profile")
"""What a mere member may not set; a refusal names all of these that were given."""


def _address_pairs(name: str, value: Any) -> list[Body]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise invalid(name, f"'{value}' is not a list")
    if any("ip_address" not in one for one in value):
        raise bad_request("AllowedAddressPair must contain ip_address", "AllowedAddressPairsMissingIP")
    return value


class Ports(Resource):
    """`hosts` has the chassis that ports can be bound to. For them it is a `Fabric`."""

    name = "port"
    collection = "ports"
    first_revision = 1
    attributes: ClassVar[Attributes] = {
        "name": Attribute(string(255), ""),
        "network_id": Attribute(identifier, REQUIRED, put=False),
        "tenant_id": Attribute(string(255), put=False),
        "project_id": Attribute(string(255), put=False),
        "admin_state_up": Attribute(boolean, True),
        "mac_address": Attribute(mac_address, UNSET),
        "fixed_ips": Attribute(fixed_ips, UNSET),
        "device_id": Attribute(string(255), ""),
        "device_owner": Attribute(string(255), ""),
        "security_groups": Attribute(identifiers, UNSET),
        "allowed_address_pairs": Attribute(_address_pairs, []),
        "port_security_enabled": Attribute(boolean, UNSET),
        "description": Attribute(string(255), ""),
        "binding:host_id": Attribute(string(255), UNSET),
        "binding:vnic_type": Attribute(only("normal"), "normal"),
        "binding:profile": Attribute(anything, UNSET),
        "extra_dhcp_opts": Attribute(only([]), []),
        "qos_policy_id": Attribute(only(None), None),
        "propagate_uplink_status": Attribute(boolean, True),
        "tags": Attribute(anything, UNSET, put=False),  # read, and then ignored
        **{name: read_only() for name in ("id", "status", "binding:vif_type", "binding:vif_details", "ip_allocation")},
    }

    def __init__(
        self,
        surroundings: Surroundings,
        networks: Networks,
        allocator: Allocator,
        groups: SecurityGroups,
        hosts: Hosts,
    ) -> None:
        super().__init__(surroundings)
        self.hosts = hosts
        self._networks = networks
        self._allocator = allocator
        self._groups = groups
        self._by_mac: dict[tuple[str, str], str] = {}
        self._subscribers: dict[object, Callable[[str], None]] = {}
        self.filters = {"fixed_ips": _has_address, "security_groups": _has_group}

    def sees(self, caller: Caller, one: Body) -> bool:
        if caller.privileged or caller.owns(one):
            return True
        return caller.owns(self._networks.objects[one["network_id"]])

    def shown(self, caller: Caller, one: Body) -> Body:
        if caller.privileged:
            return one
        return {name: value for name, value in one.items() if name not in _UNSEEN}

    def makes_for_others(self, caller: Caller) -> bool:
        return caller.privileged

    def deletes(self, caller: Caller, one: Body) -> bool:
        return caller.privileged or caller.owns(one)

    def check_together(self, wanted: list[Body]) -> None:
        macs = [(one["network_id"], one["mac_address"]) for one in wanted if "mac_address" in one]
        for mac in macs:
            if macs.count(mac) > 1:
                # a real one tries again and again before it says so, for minutes
                text = (
                    "Failed to create a duplicate Port: for attribute(s) ['mac_address', 'network_id'] with value(s) "
                )
                raise Refusal(409, "NeutronDbObjectDuplicateEntry", text + f"{mac[0]}-{mac[1]}")

    def authorise_create(self, caller: Caller, wanted: Body) -> None:
        network = self._networks.find(caller, wanted["network_id"])
        if caller.privileged:
            return
        owner = caller.owns(network)
        if not owner and not network["shared"]:
            raise not_authorised("create_port")
        given = [name for name in _ENFORCED if name in wanted]
        if given and (given != ["mac_address"] or not owner):
            raise not_authorised("create_port", *given)

    def authorise_update(self, caller: Caller, one: Body, changes: Body) -> None:
        if caller.privileged:
            return
        if not caller.owns(one):
            raise not_authorised("update_port")
        given = [name for name in _ENFORCED if name in changes]
        if given:
            raise not_authorised("update_port", *given)

    def create(self, caller: Caller, wanted: Body) -> Body:
        network = self._networks.find(caller, wanted["network_id"])
        mac = wanted.get("mac_address") or self._new_mac(network["id"])
        if (network["id"], mac) in self._by_mac:
            raise _mac_in_use(network["id"], mac)
        secure: bool = {**network, **wanted}["port_security_enabled"]
        groups = self._groups_of(caller, wanted, secure=secure)
        addresses = self._allocator.allocate(network["id"], wanted.get("fixed_ips"), mac)
        port = {
            "id": self.surroundings.identifiers.uuid(),
            "name": wanted["name"],
            "network_id": network["id"],
            "project_id": wanted["project_id"],
            "mac_address": mac,
            "admin_state_up": wanted["admin_state_up"],
            "status": "DOWN",
            "device_id": wanted["device_id"],
            "device_owner": wanted["device_owner"],
            "fixed_ips": addresses,
            "allowed_address_pairs": _pairs(wanted["allowed_address_pairs"], mac),
            "extra_dhcp_opts": [],
            "security_groups": groups,
            "description": wanted["description"],
            "binding:vnic_type": wanted["binding:vnic_type"],
            "binding:profile": wanted.get("binding:profile") or {},
            "binding:host_id": "",
            "binding:vif_type": "",
            "binding:vif_details": {},
            "port_security_enabled": secure,
            "qos_policy_id": None,
            "qos_network_policy_id": None,
            "propagate_uplink_status": wanted["propagate_uplink_status"],
            "ip_allocation": "immediate",
        }
        self.hosts.bind(port, wanted.get("binding:host_id", ""))
        self._by_mac[network["id"], mac] = port["id"]
        self.keep(port)
        if port["binding:host_id"]:
            port["revision_number"] += 2  # by the binding, which comes after the create
        self._tell(port)
        return port

    def update(self, caller: Caller, one: Body, changes: Body) -> None:
        changes = dict(changes)
        after = {**one, **changes}
        mac: str = after["mac_address"]
        if mac != one["mac_address"]:
            self._check_new_mac(one, mac)
        if "security_groups" in changes or "port_security_enabled" in changes:
            self._check_groups(caller, after["security_groups"], secure=after["port_security_enabled"])
        if "fixed_ips" in changes:
            held = one["fixed_ips"]
            changes["fixed_ips"] = self._allocator.allocate(one["network_id"], changes["fixed_ips"], mac, held)
            self._allocator.release([address for address in held if address not in changes["fixed_ips"]])
        if mac != one["mac_address"]:
            del self._by_mac[one["network_id"], one["mac_address"]]
            self._by_mac[one["network_id"], mac] = one["id"]
        if "allowed_address_pairs" in changes:
            changes["allowed_address_pairs"] = _pairs(changes["allowed_address_pairs"], mac)
        host = changes.pop("binding:host_id", None)
        one.update(changes)
        if host is not None and (host != one["binding:host_id"] or one["binding:vif_type"] == "binding_failed"):
            self.hosts.bind(one, host)
            one["status"] = "DOWN"
            one["revision_number"] += 2 if host else -1  # as the binding counts, which is an object of its own
        self.touch(one)
        self._tell(one)

    def delete(self, caller: Caller, one: Body) -> None:
        if one["device_owner"].startswith("network:router"):
            reason = f"has device owner {one['device_owner']}"
            text = f"Port {one['id']} cannot be deleted directly via the port API: {reason}."
            raise Refusal(409, "ServicePortInUse", text)
        self.forget(one)

    def forget(self, one: Body) -> None:
        """It is gone, whosever it was."""
        self._allocator.release(one["fixed_ips"])
        del self._by_mac[one["network_id"], one["mac_address"]]
        self.remove(one)
        self._tell(one)

    def port_bound(self, port_id: str, host: str) -> BoundPort | None:
        """See `Fabric`."""
        port = self._bound(port_id, host)
        if port is None:
            return None
        return BoundPort(port["mac_address"], tuple(one["ip_address"] for one in port["fixed_ips"]))

    def plugged(self, port_id: str, host: str) -> None:
        """See `Fabric`. A port that is gone, or bound elsewhere meanwhile, is not that host's any more."""
        self._set_status(self._bound(port_id, host), "ACTIVE")

    def unplugged(self, port_id: str, host: str) -> None:
        """See `Fabric`."""
        self._set_status(self._bound(port_id, host), "DOWN")

    def subscribe(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """See `Fabric`."""
        key = object()
        self._subscribers[key] = changed

        def undo() -> None:
            self._subscribers.pop(key, None)

        return undo

    def on_network(self, network_id: str) -> list[str]:
        """Ids of the ports on it."""
        return [port["id"] for port in self.objects.values() if port["network_id"] == network_id]

    def _bound(self, port_id: str, host: str) -> Body | None:
        port = self.objects.get(port_id)
        return (
            port if port is not None and (port["binding:host_id"], port["binding:vif_type"]) == (host, "ovs") else None
        )

    def _set_status(self, port: Body | None, status: str) -> None:
        if port is not None and port["status"] != status:
            port["status"] = status
            self.touch(port)
            self._tell(port)

    def _tell(self, port: Body) -> None:
        for changed in tuple(self._subscribers.values()):
            changed(port["id"])

    def _new_mac(self, network_id: str) -> str:
        while True:
            mac = self.surroundings.identifiers.mac_address()
            if (network_id, mac) not in self._by_mac:
                return mac

    def _check_new_mac(self, one: Body, mac: str) -> None:
        if (one["network_id"], mac) in self._by_mac:
            raise _mac_in_use(one["network_id"], mac)
        if one["binding:vif_type"] not in ("unbound", "binding_failed"):
            text = f"Unable to complete operation on port {one['id']}, port is already bound, port type: "
            text += f"{one['binding:vif_type']}, old_mac {one['mac_address']}, new_mac {mac}."
            raise Refusal(409, "PortBound", text)

    def _groups_of(self, caller: Caller, wanted: Body, *, secure: bool) -> list[str]:
        if "security_groups" in wanted:
            groups: list[str] = wanted["security_groups"]
        else:
            plain = secure and not wanted["device_owner"].startswith("network:")
            groups = [self._groups.default_of(wanted["project_id"])["id"]] if plain else []
        self._check_groups(caller, groups, secure=secure)
        return groups

    def _check_groups(self, caller: Caller, groups: list[str], *, secure: bool) -> None:
        for group in groups:
            if group not in self._groups.objects or not self._groups.sees(caller, self._groups.objects[group]):
                raise self._groups.not_found(group)
        if groups and not secure:
            text = "Port has security group associated. Cannot disable port security or IP address until security "
            text += "group is removed."
            raise Refusal(409, "PortSecurityPortHasSecurityGroup", text)


def _mac_in_use(network_id: str, mac: str) -> Refusal:
    text = f"Unable to complete operation for network {network_id}. The mac address {mac} is in use."
    return Refusal(409, "MacAddressInUse", text)


def _pairs(pairs: list[Body], mac: str) -> list[Body]:
    return [{"mac_address": mac, **pair} for pair in pairs]


def _has_address(port: Body, values: list[str]) -> bool:
    """fixed_ips=ip_address=10.0.0.5, subnet_id=..., ip_address_substr=...; of different keys all hold."""
    wanted: dict[str, list[str]] = {}
    for value in values:
        key, _, rest = value.partition("=")
        if key not in ("ip_address", "subnet_id", "ip_address_substr") or not rest:
            raise bad_request(f"Invalid input for operation: Invalid filters {value}.", "InvalidInput")
        wanted.setdefault(key, []).append(rest)
    return all(any(_matches(one, key, each) for one in port["fixed_ips"]) for key, each in wanted.items())


def _matches(address: dict[str, str], key: str, wanted: list[str]) -> bool:
    if key == "ip_address_substr":
        return any(one in address["ip_address"] for one in wanted)
    return address[key] in wanted


def _has_group(port: Body, values: list[Any]) -> bool:
    return any(group in values for group in port["security_groups"])
