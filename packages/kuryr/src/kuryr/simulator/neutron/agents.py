"""/agents: the chassis, as agents of Neutron."""

from kuryr.openstack.session import Answer
from kuryr.simulator.neutron.binding import Chassis, Hosts
from kuryr.simulator.neutron.caller import Caller
from kuryr.simulator.neutron.wire import answered
from kuryr.simulator.refusals import Body, Refusal, not_simulated
from kuryr.simulator.requests import Request


def answer_agents(hosts: Hosts, parts: tuple[str, ...], caller: Caller, request: Request) -> Answer:
    """Who is no administrator sees none, which is not a refusal."""
    if request.method != "GET":
        raise not_simulated(f"{request.method} of agents")
    seen = [_shown(one) for one in hosts.chassis.values()] if caller.admin else []
    if parts:
        for one in seen:
            if one["id"] == parts[0]:
                return answered(200, {"agent": one}, request)
        raise Refusal(404, "AgentNotFound", f"Agent {parts[0]} could not be found.")
    hosts_wanted = [value for name, value in request.query if name == "host"]
    return answered(200, {"agents": [one for one in seen if not hosts_wanted or one["host"] in hosts_wanted]}, request)


def _shown(one: Chassis) -> Body:
    return {
        "binary": "ovn-controller",
        "host": one.host,
        "availability_zone": "",
        "topic": "n/a",
        "description": "",
        "configurations": {"chassis_name": one.name, "bridge-mappings": ""},
        "agent_type": "OVN Controller agent",
        "id": one.name,
        "alive": one.alive,
        "admin_state_up": True,
    }
