"""Routers: ports of their own on subnets, and a gateway outside."""

from typing import Any, ClassVar

from kuryr.simulator.neutron.allocation import fixed_ips
from kuryr.simulator.neutron.attributes import (
    Attribute,
    Attributes,
    boolean,
    identifier,
    only,
    read_only,
    string,
)
from kuryr.simulator.neutron.caller import Caller, not_authorised
from kuryr.simulator.neutron.networks import Networks
from kuryr.simulator.neutron.ports import Ports
from kuryr.simulator.neutron.resource import Resource, Surroundings
from kuryr.simulator.neutron.subnets import Subnets
from kuryr.simulator.refusals import Body, Refusal, bad_request, invalid

INTERFACE = "network:router_interface"
GATEWAY = "network:router_gateway"


def _gateway(name: str, value: Any) -> Body | None:
    if value is None or value == {}:
        return None
    if not isinstance(value, dict) or "network_id" not in value:
        raise invalid(name, "Validation of dictionary's keys failed. Expected keys: {'network_id'}")
    identifier(name, value["network_id"])
    if value.get("external_fixed_ips"):
        fixed_ips(name, value["external_fixed_ips"])
    return value


class Routers(Resource):
    """Their ports are Neutron's own: no user deletes them as ports."""

    name = "router"
    collection = "routers"
    first_revision = 1
    attributes: ClassVar[Attributes] = {
        "name": Attribute(string(255), ""),
        "tenant_id": Attribute(string(255), put=False),
        "project_id": Attribute(string(255), put=False),
        "admin_state_up": Attribute(boolean, True),
        "external_gateway_info": Attribute(_gateway, None),
        "description": Attribute(string(255), ""),
        "enable_snat": Attribute(only(True), True),
        "routes": Attribute(only([]), []),
        "availability_zone_hints": Attribute(only([]), []),
        "flavor_id": Attribute(only(None), None),
        "ha": Attribute(only(True), True, operator=True),
        "distributed": Attribute(only(False), False),
        **{name: read_only() for name in ("id", "status", "external_gateways", "availability_zones")},
    }

    def __init__(self, surroundings: Surroundings, networks: Networks, subnets: Subnets, ports: Ports) -> None:
        super().__init__(surroundings)
        self._networks = networks
        self._subnets = subnets
        self._ports = ports

    def not_found(self, object_id: str) -> Refusal:
        return Refusal(404, "RouterNotFound", f"Router {object_id} could not be found")

    def authorise_update(self, caller: Caller, one: Body, changes: Body) -> None:
        if not caller.admin and not caller.owns(one):
            raise not_authorised("update_router")

    def create(self, caller: Caller, wanted: Body) -> Body:
        router = self.keep(
            {
                "id": self.surroundings.identifiers.uuid(),
                "name": wanted["name"],
                "project_id": wanted["project_id"],
                "admin_state_up": wanted["admin_state_up"],
                "status": "ACTIVE",
                "enable_snat": True,
                "external_gateway_info": None,
                "description": wanted["description"],
                "availability_zones": [],
                "ha": True,
                "availability_zone_hints": [],
                "enable_default_route_ecmp": False,
                "enable_default_route_bfd": False,
                "external_gateways": [],
                "routes": [],
                "flavor_id": None,
            }
        )
        if wanted["external_gateway_info"] is not None:
            try:
                self._set_gateway(caller, router, wanted["external_gateway_info"])
            except Refusal:
                self.remove(router)
                raise
        return router

    def update(self, caller: Caller, one: Body, changes: Body) -> None:
        changes = dict(changes)
        if "external_gateway_info" in changes:
            gateway = changes.pop("external_gateway_info")
            if gateway is not None:
                self._set_gateway(caller, one, gateway)
            else:
                self._clear_gateway(one)
        super().update(caller, one, changes)

    def delete(self, caller: Caller, one: Body) -> None:
        if any(port["device_owner"] == INTERFACE for port in self._of(one)):
            attached = ",".join(port["id"] for port in self._of(one) if port["device_owner"] == INTERFACE)
            raise Refusal(409, "RouterInUse", f"Router {one['id']} has ports still attached: {attached}")
        self.forget(one)

    def forget(self, one: Body) -> None:
        self._clear_gateway(one)
        self.remove(one)

    def add_interface(self, caller: Caller, router: Body, wanted: Body) -> Body:
        """By `subnet_id`, with the subnet's gateway address, or by `port_id`. Raises `Refusal`."""
        if wanted.get("subnet_id") and not wanted.get("port_id"):
            subnet = self._subnets.find(caller, wanted["subnet_id"])
            self._check_overlap(router, subnet)
            if not subnet["gateway_ip"]:
                raise bad_request(
                    "Bad router request: Subnet for router interface must have a gateway IP.", "BadRequest"
                )
            address = {"subnet_id": subnet["id"], "ip_address": subnet["gateway_ip"]}
            port = self._make_port(caller, router, subnet["network_id"], [address], INTERFACE)
        elif wanted.get("port_id"):
            port = self._ports.find(caller, wanted["port_id"])
            if port["device_id"]:
                text = f"Unable to complete operation on port {port['id']} for network {port['network_id']}."
                raise Refusal(409, "PortInUse", f"{text} Port already has an attached device {port['device_id']}.")
            for one in port["fixed_ips"]:
                self._check_overlap(router, self._subnets.objects[one["subnet_id"]])
            self._ports.update(caller, port, {"device_id": router["id"], "device_owner": INTERFACE})
            port.update(security_groups=[], status="ACTIVE")
        else:
            raise bad_request("Bad router request: Either subnet_id or port_id must be specified.", "BadRequest")
        self.touch(router)
        return self._interface(router, port)

    def remove_interface(self, caller: Caller, router: Body, wanted: Body) -> Body:
        """Raises `Refusal` where there is none."""
        port_id, subnet_id = wanted.get("port_id"), wanted.get("subnet_id")
        if not port_id and not subnet_id:
            raise bad_request("Bad router request: Either subnet_id or port_id must be specified.", "BadRequest")
        for port in self._of(router):
            subnets = [one["subnet_id"] for one in port["fixed_ips"]]
            if port["device_owner"] == INTERFACE and (port["id"] == port_id or subnet_id in subnets):
                self._ports.forget(port)
                self.touch(router)
                return self._interface(router, port)
        if port_id:
            text = f"Router {router['id']} does not have an interface with id {port_id}"
            raise Refusal(404, "RouterInterfaceNotFound", text)
        text = f"Router {router['id']} has no interface on subnet {subnet_id}"
        raise Refusal(404, "RouterInterfaceNotFoundForSubnet", text)

    def _of(self, router: Body) -> list[Body]:
        return [port for port in self._ports.objects.values() if port["device_id"] == router["id"]]

    def _check_overlap(self, router: Body, subnet: Body) -> None:
        for port in self._of(router):
            for one in port["fixed_ips"]:
                other = self._subnets.objects[one["subnet_id"]]
                if self._subnets.addresses[other["id"]].network.overlaps(self._subnets.addresses[subnet["id"]].network):
                    text = (
                        f"Cidr {subnet['cidr']} of subnet {subnet['id']} overlaps with cidr {other['cidr']} of subnet"
                    )
                    raise bad_request(f"Bad router request: {text} {other['id']}.", "BadRequest")

    def _set_gateway(self, caller: Caller, router: Body, wanted: Body) -> None:
        network = self._networks.find(caller, wanted["network_id"])
        if not network["router:external"]:
            text = f"Bad router request: Network {network['id']} is not an external network."
            raise bad_request(text, "BadRequest")
        self._clear_gateway(router)
        addresses = wanted.get("external_fixed_ips") or None
        port = self._make_port(caller, router, network["id"], addresses, GATEWAY)
        outside = {"network_id": network["id"], "external_fixed_ips": port["fixed_ips"]}
        router["external_gateway_info"] = {**outside, "enable_snat": True}
        router["external_gateways"] = [outside]

    def _clear_gateway(self, router: Body) -> None:
        for port in self._of(router):
            if port["device_owner"] == GATEWAY:
                self._ports.forget(port)
        router["external_gateway_info"], router["external_gateways"] = None, []

    def _make_port(
        self, caller: Caller, router: Body, network_id: str, addresses: list[dict[str, str]] | None, owner: str
    ) -> Body:
        wanted: Body = {
            "name": "",
            "network_id": network_id,
            # that of a gateway is nobody's, so that no user of the router sees it
            "project_id": router["project_id"] if owner == INTERFACE else "",
            "admin_state_up": True,
            "device_id": router["id"],
            "device_owner": owner,
            "security_groups": [],
            "port_security_enabled": False,
            "allowed_address_pairs": [],
            "description": "",
            "binding:vnic_type": "normal",
            "propagate_uplink_status": True,
            **({"fixed_ips": addresses} if addresses else {}),
        }
        port = self._ports.create(Caller("", caller.user_id, frozenset(("admin",)), caller.request_id), wanted)
        port["status"] = "ACTIVE"
        return port

    def _interface(self, router: Body, port: Body) -> Body:
        subnets = [one["subnet_id"] for one in port["fixed_ips"]]
        return {
            "id": router["id"],
            "project_id": router["project_id"],
            "port_id": port["id"],
            "network_id": port["network_id"],
            "subnet_id": subnets[-1] if subnets else None,
            "subnet_ids": subnets,
        }
