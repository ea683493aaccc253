"""What the contract's tests stand on: a cloud, simulated or real, and users of it. What a test makes goes after it.

The tests say what real Neutron does. Where a simulated one differs, it is wrong.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import msgspec

from kuryr.openstack.neutron import Neutron, PortRequest
from kuryr.openstack.session import Exchange, Session

NOBODY = "00000000-0000-0000-0000-000000000001"
"""The id of nothing."""

OpenExchange = Callable[[], AbstractAsyncContextManager[Exchange]]


@dataclass
class Place:
    """One cloud for a whole run. `users`: admin; kuryr (member and service), member and reader of one project; stranger
    of another.

    `host` has a chassis. `tokens` and `pods` are made by the first test that needs them.
    """

    identity: str
    network: str
    open_exchange: OpenExchange
    password: str
    users: Mapping[str, tuple[str, str]]
    host: str
    tokens: dict[str, str] = field(default_factory=dict)
    projects: dict[str, str] = field(default_factory=dict)
    pods: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def refusal(self) -> tuple[int, str, str]:
        """Of Neutron: status, type, message."""
        error = self.body["NeutronError"]
        assert set(error) == {"type", "message", "detail"}
        return self.status, error["type"], error["message"]


@dataclass
class FixedToken:
    """A `Token` that is at hand."""

    token: str
    endpoint: str

    async def fetch(self, *, refused: str = "") -> str:
        return self.token

    async def fetch_endpoint(self, service_type: str) -> str:
        return self.endpoint


class Bed:
    """A test's access to the cloud."""

    def __init__(self, place: Place, exchange: Exchange) -> None:
        self.place = place
        self._exchange = exchange
        self._made: list[tuple[str, str]] = []
        self._numbers = 0

    async def ask(
        self,
        who: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        **headers: str,
    ) -> Reply:
        """One raw request to Neutron as `who`, empty for nobody. `body` is JSON, or bytes as they are."""
        token = {"X-Auth-Token": await self.token(who)} if who else {}
        found = f"?{urlencode(query, doseq=True)}" if query else ""
        return await self.send(method, f"{self.place.network}{path}{found}", body, {**token, **headers})

    async def send(self, method: str, url: str, body: Any, headers: Mapping[str, str]) -> Reply:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else b""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self._exchange(method, url, {"Content-Type": "application/json", **named}, data, 120)
        try:
            decoded = msgspec.json.decode(answer.body) if answer.body else None
        except msgspec.DecodeError:
            decoded = answer.body.decode(errors="replace")
        return Reply(answer.status, {name.lower(): value for name, value in answer.headers.items()}, decoded)

    async def token(self, who: str) -> str:
        if who not in self.place.tokens:
            user, project = self.place.users[who]
            reply = await self.authenticate(password_of(user, self.place.password), project)
            self.place.tokens[who] = reply.headers["x-subject-token"]
            self.place.projects[who] = reply.body["token"]["project"]["id"]
        return self.place.tokens[who]

    async def authenticate(self, identity: Any, project: str | None = None) -> Reply:
        auth: dict[str, Any] = {"identity": identity}
        if project is not None:
            auth["scope"] = {"project": {"name": project, "domain": {"id": "default"}}}
        return await self.send("POST", f"{self.place.identity}/auth/tokens", {"auth": auth}, {})

    async def project(self, who: str) -> str:
        await self.token(who)
        return self.place.projects[who]

    async def neutron(self, who: str = "kuryr") -> Neutron:
        """The product's client."""
        token = FixedToken(await self.token(who), self.place.network)
        return Neutron(Session(token, self._exchange, "network", user_agent="contract/1"), timeout_s=120)

    async def create(self, collection: str, body: Any, who: str = "kuryr") -> Reply:
        """POST of one, or of several as a list; what is made goes after the test, whoever may."""
        plural = collection.replace("-", "_")
        reply = await self.ask(
            who, "POST", f"/v2.0/{collection}", {plural if isinstance(body, list) else plural[:-1]: body}
        )
        if reply.status == 201:
            found = reply.body[plural] if isinstance(body, list) else [reply.body[plural[:-1]]]
            self._made += [(collection, one["id"]) for one in found]
        return reply

    async def make(self, collection: str, body: Any, who: str = "kuryr") -> dict[str, Any]:
        """As `create`, which must succeed; the object."""
        reply = await self.create(collection, body, who)
        assert reply.status == 201, reply
        found: dict[str, Any] = reply.body[collection.replace("-", "_")[:-1]]
        return found

    async def network(self, cidr: str = "10.77.0.0/29", who: str = "kuryr") -> tuple[str, str]:
        """Ids of a network of its own and its subnet."""
        network = await self.make("networks", {"name": "contract"}, who)
        subnet = await self.make("subnets", {"network_id": network["id"], "ip_version": 4, "cidr": cidr}, who)
        return network["id"], subnet["id"]

    async def pods(self) -> tuple[str, str]:
        """A network and its subnet for tests that count nothing on it: made once, for on a real cloud it takes long."""
        if self.place.pods is None:
            self.place.pods = await self.network("10.78.0.0/24")
            self._made = self._made[:-2]
        return self.place.pods

    def mac(self) -> str:
        """One that no other port has."""
        self._numbers += 1
        return f"02:77:00:00:00:{self._numbers:02x}"

    def port_request(self, network: str, subnet: str, **changes: Any) -> PortRequest:
        facts: dict[str, Any] = {
            "name": "contract",
            "network_id": network,
            "subnet_ids": (subnet,),
            "mac_address": self.mac(),
            "device_owner": "compute:kuryr-contract",
            "device_id": "kuryr:contract:0",
            "host_id": self.place.host,
            "security_groups": (),
        }
        return PortRequest(**{**facts, **changes})

    def forget_on_exit(self, collection: str, object_id: str) -> None:
        self._made.append((collection, object_id))

    async def clean(self) -> None:
        for collection, object_id in reversed(self._made):
            reply = await self.ask("admin", "DELETE", f"/v2.0/{collection}/{object_id}")
            assert reply.status in (204, 404), (collection, reply)
        self._made.clear()


def password_of(user: str, password: str) -> dict[str, Any]:
    """The `identity` of an authentication."""
    facts = {"name": user, "domain": {"id": "default"}, "password": password}
    return {"methods": ["password"], "password": {"user": facts}}


@asynccontextmanager
async def bed_of(place: Place) -> AsyncIterator[Bed]:
    async with place.open_exchange() as exchange:
        bed = Bed(place, exchange)
        try:
            yield bed
        finally:
            await bed.clean()


async def remove_pods(place: Place) -> None:
    """At the end of a run."""
    if place.pods is not None:
        async with bed_of(place) as bed:
            bed.forget_on_exit("networks", place.pods[0])
