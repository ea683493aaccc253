"""Neutron's API: who asks, for what, and the answer. What each resource does is in its own module."""

import random
from collections.abc import Callable

from kuryr.openstack.session import Answer
from kuryr.simulator.identifiers import Identifiers
from kuryr.simulator.keystone.tokens import Tokens
from kuryr.simulator.neutron.allocation import Allocator
from kuryr.simulator.neutron.binding import Hosts
from kuryr.simulator.neutron.caller import Caller, not_authorised
from kuryr.simulator.neutron.networks import Networks
from kuryr.simulator.neutron.ports import Ports
from kuryr.simulator.neutron.quotas import Quotas
from kuryr.simulator.neutron.resource import Resource, Surroundings
from kuryr.simulator.neutron.security_group_rules import SecurityGroupRules
from kuryr.simulator.neutron.security_groups import SecurityGroups
from kuryr.simulator.neutron.subnets import Subnets
from kuryr.simulator.neutron.verbs import Verbs, answered, read_body
from kuryr.simulator.refusals import Body, Refusal, bad_request, neutron_headers, neutron_refused, not_simulated
from kuryr.simulator.requests import Request

VERSION = "v2.0"
_NOT_FOUND = Refusal(404, "HTTPNotFound", "The resource could not be found.")
_UNAUTHENTICATED = (
    b'{"error": {"code": 401, "title": "Unauthorized", '
    b'"message": "The request you have made requires authentication."}}'
)
_KNOWN_TO_NEUTRON = frozenset(
    (
        "floatingips", "trunks", "address-scopes", "address-groups", "qos", "rbac-policies", "segments", "flavors",
        "availability_zones", "network-ip-availabilities", "auto-allocated-topology", "log", "local-ips",
        "default-security-group-rules",
    )
)  # fmt: skip


class NetworkService:
    """Everything of one cloud's networks. `hosts` has the chassis; `ports.plug` is called by who simulates a node."""

    def __init__(
        self,
        tokens: Tokens,
        identifiers: Identifiers,
        chance: random.Random,
        now: Callable[[], float],
        url: Callable[[], str],
    ) -> None:
        surroundings = Surroundings(identifiers, chance, now)
        self._tokens = tokens
        self._url = url
        self.hosts = Hosts()
        self.networks = Networks(surroundings)
        self.subnets = Subnets(surroundings, self.networks)
        rules = SecurityGroupRules(surroundings)
        self.security_groups = SecurityGroups(surroundings, rules)
        rules.groups = self.security_groups.objects
        allocator = Allocator(self.subnets, chance)
        self.ports = Ports(surroundings, self.networks, allocator, self.security_groups, self.hosts)
        self.security_groups.in_use = lambda group: any(
            group in port["security_groups"] for port in self.ports.objects.values()
        )
        self.networks.ports_on = self.ports.on_network
        resources: tuple[Resource, ...] = (self.networks, self.subnets, self.ports, self.security_groups, rules)
        self._by_collection = {one.collection: one for one in resources}
        self.quotas = Quotas({one.name: one for one in resources})
        self._verbs = Verbs(self.quotas, url)

    def handle(self, request: Request) -> Answer:
        """See `Cloud.handle`."""
        try:
            return self._answer(request)
        except Refusal as refusal:
            return neutron_refused(refusal, request.request_id)

    def make(self, collection: str, caller: Caller, body: Body) -> Body:
        """One object, as a create of it makes it. Raises `Refusal`."""
        return self._verbs.create(self._by_collection[collection], caller, [body])[0]

    def _answer(self, request: Request) -> Answer:
        parts = request.parts
        if parts == ("",):
            link = {"rel": "self", "href": f"{self._url()}/{VERSION}/"}
            return answered(200, {"versions": [{"id": VERSION, "status": "CURRENT", "links": [link]}]}, request)
        if parts[0] != VERSION:
            raise _NOT_FOUND
        token = self._tokens.find(request.headers.get("X-Auth-Token", ""))
        if token is None or not token.project_id:
            headers = {"Content-Type": "application/json", "WWW-Authenticate": "Keystone uri"}
            return Answer(401, _UNAUTHENTICATED, headers)
        caller = Caller(token.project_id, token.user_id, frozenset(token.roles), request.request_id)
        parts = (*parts[1:-1], parts[-1].removesuffix(".json"))
        resource = self._by_collection.get(parts[0]) if parts else None
        if resource is not None and len(parts) <= 2:
            return self._verbs.answer(resource, parts[1] if len(parts) == 2 else "", caller, request)
        if parts[0] == "quotas":
            return self._quotas_answer(parts[1:], caller, request)
        if parts[0] == "agents" and request.method == "GET":
            return self._agents_answer(parts[1:], caller, request)
        if parts[0] in _KNOWN_TO_NEUTRON:
            raise not_simulated(parts[0])
        raise _NOT_FOUND

    def _quotas_answer(self, parts: tuple[str, ...], caller: Caller, request: Request) -> Answer:
        if not parts:
            if not caller.admin:
                raise not_authorised("get_quota")
            own = [{"project_id": project, **self.quotas.limits(project)} for project in self.quotas.own]
            return answered(200, {"quotas": own}, request)
        project, rest = parts[0], parts[1:]
        if project in ("project", "tenant") and request.method == "GET":
            return answered(200, {project: {f"{project}_id": caller.project_id}}, request)
        if request.method == "GET":
            if project != caller.project_id and not caller.admin:
                raise not_authorised("get_quota")
            shown = {(): self.quotas.limits(project), ("default",): self.quotas.defaults}
            if rest == ("details",):
                return answered(200, {"quota": self.quotas.details(project)}, request)
            if rest in shown:
                return answered(200, {"quota": shown[rest]}, request)
        elif request.method == "PUT" and not rest:
            if not caller.admin:
                raise not_authorised("update_quota")
            body = read_body(request).get("quota")
            if not isinstance(body, dict):
                raise bad_request("Unable to find 'quota' in request body")
            self.quotas.change(
                project, {name: value for name, value in body.items() if name not in ("force", "check_limit")}
            )
            return answered(200, {"quota": self.quotas.limits(project)}, request)
        elif request.method == "DELETE" and not rest:
            if not caller.admin:
                raise not_authorised("delete_quota")
            self.quotas.own.pop(project, None)
            return Answer(204, b"", neutron_headers(request.request_id))
        raise _NOT_FOUND

    def _agents_answer(self, parts: tuple[str, ...], caller: Caller, request: Request) -> Answer:
        """Who is no administrator sees none, which is not refused."""
        wanted = [value for name, value in request.query if name == "host"]
        chassis = (
            [one for one in self.hosts.chassis.values() if not wanted or one.host in wanted] if caller.admin else []
        )
        agents = [
            {
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
            for one in chassis
        ]
        if parts:
            raise not_simulated("one agent alone")
        return answered(200, {"agents": agents}, request)
