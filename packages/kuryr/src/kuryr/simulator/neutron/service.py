"""Neutron's API: who asks, for what, and the answer. What each resource does is in its own module."""

import random
from collections.abc import Callable

from kuryr.openstack.session import Answer
from kuryr.simulator.identifiers import Identifiers
from kuryr.simulator.keystone.tokens import Tokens
from kuryr.simulator.neutron.agents import answer_agents
from kuryr.simulator.neutron.allocation import Allocator
from kuryr.simulator.neutron.binding import Hosts
from kuryr.simulator.neutron.caller import Caller
from kuryr.simulator.neutron.extensions import answer_extensions
from kuryr.simulator.neutron.networks import Networks
from kuryr.simulator.neutron.ports import Ports
from kuryr.simulator.neutron.quotas import Quotas, answer_quotas
from kuryr.simulator.neutron.resource import Resource, Surroundings
from kuryr.simulator.neutron.routers import Routers
from kuryr.simulator.neutron.security_group_rules import SecurityGroupRules
from kuryr.simulator.neutron.security_groups import SecurityGroups
from kuryr.simulator.neutron.subnet_pools import SubnetPools
from kuryr.simulator.neutron.subnets import Subnets
from kuryr.simulator.neutron.tags import answer_tags
from kuryr.simulator.neutron.token_cache import TokenCache
from kuryr.simulator.neutron.verbs import Verbs
from kuryr.simulator.neutron.wire import answered, read_body
from kuryr.simulator.refusals import NOT_FOUND, Body, Refusal, neutron_refused, not_simulated
from kuryr.simulator.requests import IDENTITY, NETWORK, Request

VERSION = "v2.0"
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
    """Everything of one cloud's networks. `hosts` has the chassis, `resources` all collections; `url` is the cloud's
    own.
    """

    def __init__(
        self,
        tokens: Tokens,
        identifiers: Identifiers,
        chance: random.Random,
        now: Callable[[], float],
        url: Callable[[], str],
    ) -> None:
        surroundings = Surroundings(identifiers, chance, now)
        self._tokens = TokenCache(tokens, now)
        self._cloud_url = url
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
        self.subnet_pools = SubnetPools(surroundings, self.subnets)
        self.routers = Routers(surroundings, self.networks, self.subnets, self.ports)
        kinds: tuple[Resource, ...] = (
            self.networks,
            self.subnets,
            self.subnet_pools,
            self.routers,
            self.ports,
            self.security_groups,
            rules,
        )
        self.resources = {one.collection: one for one in kinds}
        self.quotas = Quotas({one.name: one for one in kinds})
        self._verbs = Verbs(self.quotas, self._url)

    def _url(self) -> str:
        return self._cloud_url() + NETWORK

    def handle(self, request: Request) -> Answer:
        """See `Cloud.handle`."""
        try:
            return self._answer(request)
        except Refusal as refusal:
            return neutron_refused(refusal, request.request_id)

    def make(self, collection: str, caller: Caller, body: Body) -> Body:
        """One object, as a create of it makes it. Raises `Refusal`."""
        return self._verbs.create(self.resources[collection], caller, [body])[0]

    def _answer(self, request: Request) -> Answer:
        parts = request.parts
        if parts == ("",):
            link = {"rel": "self", "href": f"{self._url()}/{VERSION}/"}
            return answered(200, {"versions": [{"id": VERSION, "status": "CURRENT", "links": [link]}]}, request)
        if parts[0] != VERSION:
            raise NOT_FOUND
        token = self._tokens.find(request.headers.get("X-Auth-Token", ""))
        if token is None:
            where = f'Keystone uri="{self._cloud_url()}{IDENTITY}/v3"'
            headers = {"Content-Type": "application/json", "WWW-Authenticate": where}
            return Answer(401, _UNAUTHENTICATED, headers)
        caller = Caller(token.project_id, token.user_id, frozenset(token.roles), request.request_id)
        parts = (*parts[1:-1], parts[-1].removesuffix(".json"))
        resource = self.resources.get(parts[0]) if parts else None
        if resource is not None and len(parts) <= 2:
            return self._verbs.answer(resource, parts[1] if len(parts) == 2 else "", caller, request)
        if resource is not None and parts[2] == "tags" and len(parts) <= 4 and resource.tagged:
            return answer_tags(resource, parts[1], parts[3] if len(parts) == 4 else "", caller, request)
        if resource is self.routers and len(parts) == 3 and request.method == "PUT":
            return self._interface_answer(parts[1], parts[2], caller, request)
        if parts[0] == "quotas":
            return answer_quotas(self.quotas, parts[1:], caller, request)
        if parts[0] == "agents":
            return answer_agents(self.hosts, parts[1:], caller, request)
        if parts[0] == "extensions":
            return answer_extensions(parts[1:], request)
        if parts[0] in _KNOWN_TO_NEUTRON:
            raise not_simulated(parts[0])
        raise NOT_FOUND

    def _interface_answer(self, router_id: str, action: str, caller: Caller, request: Request) -> Answer:
        known = {
            "add_router_interface": self.routers.add_interface,
            "remove_router_interface": self.routers.remove_interface,
        }
        if action not in known:
            raise not_simulated(action)
        body = read_body(request)
        if any(not isinstance(body.get(name), str | None) for name in ("subnet_id", "port_id")):
            raise not_simulated("router interfaces by something else than an id")
        router = self.routers.find(caller, router_id)
        self.routers.authorise_update(caller, router, {})
        return answered(200, known[action](caller, router, body), request)
