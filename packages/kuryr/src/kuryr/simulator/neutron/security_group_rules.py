"""The rules of security groups: each is there once in its group, and none is changed."""

import ipaddress
from typing import Any, ClassVar

from kuryr.simulator.neutron.attributes import (
    REQUIRED,
    Attribute,
    Attributes,
    anything,
    identifier,
    identifier_or_none,
    one_of,
    only,
    read_only,
    string,
)
from kuryr.simulator.neutron.caller import Caller, not_authorised
from kuryr.simulator.neutron.resource import Resource, Surroundings
from kuryr.simulator.refusals import NOT_FOUND, Body, Refusal, bad_request, invalid, not_simulated

_PROTOCOLS = (
    "ah", "dccp", "egp", "esp", "gre", "hopopt", "icmp", "igmp", "ip", "ipip", "ipv6-encap", "ipv6-frag", "ipv6-icmp",
    "icmpv6", "ipv6-nonxt", "ipv6-opts", "ipv6-route", "ospf", "pgm", "rsvp", "sctp", "tcp", "udp", "udplite", "vrrp",
)  # fmt: skip
_WITH_PORTS = frozenset(("tcp", "udp", "sctp", "dccp", "udplite", "6", "17", "132", "33", "136"))
_SAME = (
    "direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "remote_group_id",
)  # fmt: skip


def _protocol(_: str, value: Any) -> str | None:
    if value is None or str(value).lower() == "any":
        return None
    found = str(value).lower()
    if found in _PROTOCOLS or (found.isdigit() and int(found) <= 255):
        return "ipv6-icmp" if found == "icmpv6" else found
    text = f"Security group rule protocol {value} not supported. Only protocol values (None, 'any', "
    text += f"{', '.join(map(repr, _PROTOCOLS))}) and integer representations [0 to 255] are supported."
    raise bad_request(text, "SecurityGroupRuleInvalidProtocol")


def _port(name: str, value: Any) -> int | None:
    if value is None or value == "":
        return None
    try:
        found = int(value)
    except (TypeError, ValueError):
        raise bad_request(f"Invalid value for port {value}", "SecurityGroupInvalidPortValue") from None
    if not 0 <= found <= 65535:
        raise bad_request(f"Invalid value for port {value}", "SecurityGroupInvalidPortValue")
    return found


def _prefix(name: str, value: Any) -> str | None:
    if value is None:
        return None
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise invalid(name, f"'{value}' is not a valid IP subnet") from None
    return str(value) if "/" in str(value) else str(network)


class SecurityGroupRules(Resource):
    """`groups` are those of `SecurityGroups`."""

    name = "security_group_rule"
    collection = "security-group-rules"
    tagged = False
    attributes: ClassVar[Attributes] = {
        "tenant_id": Attribute(string(255), put=False),
        "project_id": Attribute(string(255), put=False),
        "security_group_id": Attribute(identifier, REQUIRED, put=False),
        "direction": Attribute(one_of("ingress", "egress"), REQUIRED, put=False),
        "ethertype": Attribute(anything, "IPv4", put=False),
        "protocol": Attribute(_protocol, None, put=False),
        "port_range_min": Attribute(_port, None, put=False),
        "port_range_max": Attribute(_port, None, put=False),
        "remote_ip_prefix": Attribute(_prefix, None, put=False),
        "remote_group_id": Attribute(identifier_or_none, None, put=False),
        "remote_address_group_id": Attribute(only(None), None, put=False),
        "description": Attribute(string(255), ""),
        **{name: read_only() for name in ("id", "normalized_cidr", "belongs_to_default_sg")},
    }

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.groups: dict[str, Body] = {}
        self._of: dict[str, dict[str, None]] = {}

    def not_found(self, object_id: str) -> Refusal:
        return Refusal(404, "SecurityGroupRuleNotFound", f"Security group rule {object_id} does not exist")

    def find(self, caller: Caller, object_id: str) -> Body:
        if object_id in self.objects and not self.sees(caller, self.objects[object_id]):
            raise NOT_FOUND
        return super().find(caller, object_id)

    def of(self, group_id: str) -> list[Body]:
        return [self.objects[rule] for rule in self._of.get(group_id, ())]

    def create(self, caller: Caller, wanted: Body) -> Body:
        group = self._group(caller, wanted["security_group_id"])
        self._check(caller, wanted)
        for rule in self.of(group["id"]):
            if all(rule[name] == wanted[name] for name in _SAME):
                text = f"Security group rule already exists. Rule id is {rule['id']}."
                raise Refusal(409, "SecurityGroupRuleExists", text)
        rule = self.add(group, **{name: wanted[name] for name in (*_SAME, "description")})
        group["revision_number"] += 1
        return rule

    def add(self, group: Body, **facts: Any) -> Body:
        """A rule that has been checked."""
        prefix = facts.get("remote_ip_prefix")
        rule = self.keep(
            {
                "id": self.surroundings.identifiers.uuid(),
                "project_id": group["project_id"],
                "security_group_id": group["id"],
                "ethertype": facts["ethertype"],
                "direction": facts["direction"],
                "protocol": facts.get("protocol"),
                "port_range_min": facts.get("port_range_min"),
                "port_range_max": facts.get("port_range_max"),
                "remote_ip_prefix": prefix,
                "remote_address_group_id": None,
                "normalized_cidr": str(ipaddress.ip_network(prefix, strict=False)) if prefix else None,
                "remote_group_id": facts.get("remote_group_id"),
                "belongs_to_default_sg": group["name"] == "default",
                "description": facts.get("description"),
            }
        )
        del rule["tags"]
        self._of.setdefault(group["id"], {})[rule["id"]] = None
        return rule

    def authorise_update(self, caller: Caller, one: Body, changes: Body) -> None:
        if not caller.admin and not caller.owns(one):
            raise not_authorised("update_security_group_rule")

    def update(self, caller: Caller, one: Body, changes: Body) -> None:
        raise not_simulated("changes of security group rules, to which a real one answers 500")

    def delete(self, caller: Caller, one: Body) -> None:
        self.groups[one["security_group_id"]]["revision_number"] += 1
        self.forget(one)

    def forget(self, one: Body) -> None:
        del self._of[one["security_group_id"]][one["id"]]
        self.remove(one)

    def forget_group(self, group_id: str) -> None:
        """Its group is deleted."""
        for rule in self.of(group_id):
            self.forget(rule)
        for rule in [one for one in self.objects.values() if one["remote_group_id"] == group_id]:
            self.forget(rule)

    def _group(self, caller: Caller, group_id: str) -> Body:
        found = self.groups.get(group_id)
        if found is not None and caller.service and not (caller.admin or caller.owns(found)):
            raise not_authorised("create_security_group_rule")
        if found is None or not (caller.admin or caller.owns(found)):
            raise Refusal(404, "SecurityGroupNotFound", f"Security group {group_id} does not exist")
        return found

    def _check(self, caller: Caller, wanted: Body) -> None:
        if wanted["ethertype"] not in ("IPv4", "IPv6"):
            text = f"Security group rule for ethertype '{wanted['ethertype']}' not supported. Allowed values are"
            raise bad_request(f"{text} ['IPv4', 'IPv6'].", "SecurityGroupRuleInvalidEtherType")
        if wanted["remote_ip_prefix"] and wanted["remote_group_id"]:
            text = "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided."
            raise bad_request(text, "SecurityGroupMultipleRemoteEntites")
        if wanted["remote_group_id"]:
            self._group(caller, wanted["remote_group_id"])
        _check_ports(wanted)
        prefix = wanted["remote_ip_prefix"]
        if prefix and ipaddress.ip_network(prefix, strict=False).version != int(wanted["ethertype"][-1]):
            text = f"Conflicting value ethertype {wanted['ethertype']} for CIDR {prefix}"
            raise bad_request(text, "SecurityGroupRuleParameterConflict")


def _check_ports(wanted: Body) -> None:
    low, high, protocol = wanted["port_range_min"], wanted["port_range_max"], wanted["protocol"]
    if low is None and high is None:
        return
    if protocol is None:
        text = "Must also specify protocol if port range is given."
        raise bad_request(text, "SecurityGroupProtocolRequiredWithPorts")
    if protocol in _WITH_PORTS and (low is None or high is None or low > high):
        text = "For TCP/UDP protocols, port_range_min must be <= port_range_max"
        raise bad_request(text, "SecurityGroupInvalidPortRange")
