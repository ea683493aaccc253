"""Where ports are bound: the hosts that have a chassis, as ML2 with OVN tells it.

A port is DOWN until its host plugs it, which Neutron learns from OVN, not by its own API.
"""

from dataclasses import dataclass

from kuryr.simulator.refusals import Body


@dataclass(slots=True)
class Chassis:
    """A node's ovn-controller, which Neutron lists as an agent. `host` is what ports name as binding:host_id.

    To one that is not `alive` no port is bound; those that are bound there stay so.
    """

    name: str
    host: str
    alive: bool = True


class Hosts:
    """By binding host id."""

    def __init__(self) -> None:
        self.chassis: dict[str, Chassis] = {}

    def add(self, host: str, *, name: str = "") -> Chassis:
        found = Chassis(name or host, host)
        self.chassis[host] = found
        return found

    def remove(self, host: str) -> None:
        """Ports that are bound there stay so; new ones cannot be."""
        self.chassis.pop(host, None)

    def bind(self, port: Body, host: str) -> None:
        """Sets the port's binding to the host, empty for none."""
        port["binding:host_id"] = host
        chassis = self.chassis.get(host)
        if not host:
            port["binding:vif_type"], port["binding:vif_details"] = "unbound", {}
        elif chassis is not None and chassis.alive:
            port["binding:vif_type"] = "ovs"
            port["binding:vif_details"] = {
                "port_filter": True,
                "connectivity": "l2",
                "ovs_create_tap": True,
                "bridge_name": "br-int",
                "datapath_type": "netdev",
                "bound_drivers": {"0": "ovn"},
            }
        else:
            port["binding:vif_type"], port["binding:vif_details"] = "binding_failed", {}
