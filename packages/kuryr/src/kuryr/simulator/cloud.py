"""One simulated OpenStack: Keystone under /identity, Neutron under /network. Requests in, answers out, each whole and
at once.

No I/O, no clock and no chance but those it is given, so that everything follows from the seed. What it does not know
is answered 501. How long a real cloud takes, and what may go wrong on the way, is put around it.
"""

import random
from collections.abc import Callable, Mapping, Sequence

from kuryr.openstack.session import Answer
from kuryr.simulator.fabric import Fabric
from kuryr.simulator.identifiers import Identifiers
from kuryr.simulator.keystone.directory import Directory
from kuryr.simulator.keystone.service import Keystone
from kuryr.simulator.keystone.tokens import Tokens
from kuryr.simulator.neutron.caller import Caller
from kuryr.simulator.neutron.service import NetworkService
from kuryr.simulator.refusals import Body
from kuryr.simulator.requests import IDENTITY, NETWORK, Request


class Cloud:
    """`url` is where clients reach it, for the catalog. `now` gives seconds since 1970.

    `identity` has projects, users and their roles; `tokens` those issued; `network` everything of Neutron.
    `fabric` is what chassis see of it.
    """

    def __init__(
        self,
        chance: random.Random,
        now: Callable[[], float],
        *,
        url: str = "http://cloud.test",
        token_lifetime_s: float = 3600.0,
    ) -> None:
        self.url = url
        identifiers = Identifiers(chance)
        self.identity = Directory(identifiers)
        self.tokens = Tokens(identifiers, now, lifetime_s=token_lifetime_s)
        self.network = NetworkService(self.tokens, identifiers, chance, now, lambda: self.url)
        self._keystone = Keystone(self.identity, self.tokens, identifiers, lambda: self.url)
        self._identifiers = identifiers

    @property
    def fabric(self) -> Fabric:
        return self.network.ports

    def make_network(self, project: str, name: str, *cidrs: str) -> Body:
        """A network with subnets, as the API shows it, for a simulation to begin with."""
        caller = Caller(self.identity.add_project(project).id, "", frozenset(("admin",)), "")
        network = self.network.make("networks", caller, {"name": name})
        for cidr in cidrs:
            version = 6 if ":" in cidr else 4
            self.network.make("subnets", caller, {"network_id": network["id"], "cidr": cidr, "ip_version": version})
        return network

    def handle(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """One request, whole. Never raises for what a client did.

        `headers` are looked up as X-Auth-Token, X-Subject-Token, X-Openstack-Request-Id and If-Match: where
        clients write them otherwise, give a mapping that does not look at case.
        """
        headers = headers if headers is not None else {}
        request_id = f"req-{self._identifiers.uuid()}"
        for root, service in ((NETWORK, self.network.handle), (IDENTITY, self._keystone.handle)):
            if path == root or path.startswith(root + "/"):
                return service(Request(method, path[len(root) :], query, headers, body, request_id))
        return Answer(404, b"Not Found", {"Content-Type": "text/plain"})
