"""Neutron: typed calls for what Kuryr needs. API reference: https://docs.openstack.org/api-ref/network/v2/.

A port create is never repeated here when it may have taken effect: the caller makes it exactly-once with the derived
MAC. A delete of what is gone is done.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from kuryr.openstack import errors
from kuryr.openstack.session import REQUEST_ID, Answer

_PAGE = 1000


class Api(Protocol):
    """Authenticated requests: `Session`."""

    async def request(
        self, method: str, path: str, body: bytes = b"", *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Answer: ...


class FixedIP(msgspec.Struct, frozen=True, gc=False):
    subnet_id: str
    ip_address: str


class Port(msgspec.Struct, frozen=True, rename={"host_id": "binding:host_id", "vif_type": "binding:vif_type"}):
    """A Neutron port, the fields we use."""

    id: str
    network_id: str
    mac_address: str
    device_owner: str
    device_id: str
    fixed_ips: tuple[FixedIP, ...] = ()
    status: str = ""
    host_id: str = ""
    vif_type: str = ""
    name: str = ""
    created_at: str | None = None


class CreatedPort(Port, frozen=True):
    """As the create was answered; `request_id` is how Neutron's log calls that."""

    request_id: str = ""


class Network(msgspec.Struct, frozen=True):
    id: str
    name: str
    mtu: int
    subnets: tuple[str, ...] = ()


class Subnet(msgspec.Struct, frozen=True):
    id: str
    network_id: str
    cidr: str
    ip_version: int
    gateway_ip: str | None = None


class SecurityGroup(msgspec.Struct, frozen=True):
    id: str
    name: str


class PortRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a port is to be. Ownership, binding and MAC are in the create itself."""

    name: str
    network_id: str
    subnet_ids: tuple[str, ...]
    mac_address: str
    device_owner: str
    device_id: str
    host_id: str
    security_groups: tuple[str, ...]


class _Link(msgspec.Struct):
    rel: str = ""


class _Ports(msgspec.Struct):
    ports: tuple[Port, ...]
    ports_links: tuple[_Link, ...] = ()


class _Created(msgspec.Struct):
    port: CreatedPort


class _Networks(msgspec.Struct):
    networks: tuple[Network, ...]


class _Subnets(msgspec.Struct):
    subnets: tuple[Subnet, ...]


class _SecurityGroups(msgspec.Struct):
    security_groups: tuple[SecurityGroup, ...]


S = TypeVar("S")
L = TypeVar("L", bound=msgspec.Struct)


class Neutron:
    """Calls on the network service; each has a deadline of `timeout_s` and raises `OpenStackError`s."""

    def __init__(self, api: Api, *, timeout_s: float = 60.0) -> None:
        self._api = api
        self._timeout_s = timeout_s

    async def create_port(self, port: PortRequest) -> CreatedPort:
        """Raises `Conflict` with reason MacAddressInUse when a port of that MAC is there; `QuotaExceeded`,
        `NoAddress`.
        """
        body: dict[str, Any] = {
            "name": port.name,
            "network_id": port.network_id,
            "fixed_ips": [{"subnet_id": subnet} for subnet in port.subnet_ids],
            "mac_address": port.mac_address,
            "device_owner": port.device_owner,
            "device_id": port.device_id,
            "binding:host_id": port.host_id,
            "security_groups": port.security_groups,
        }
        answer = await self._call("POST", "/v2.0/ports", msgspec.json.encode({"port": body}))
        made = _decode(_Created, answer).port
        return msgspec.structs.replace(made, request_id=answer.headers.get(REQUEST_ID, ""))

    async def delete_port(self, port_id: str) -> None:
        """Deletes; a port that is gone is fine."""
        try:
            await self._call("DELETE", f"/v2.0/ports/{quote(port_id)}")
        except errors.NotFound:
            return

    async def fetch_ports(self, **filters: str) -> tuple[Port, ...]:
        """All ports that match, in pages: `device_owner`, `mac_address`, `network_id`, `device_id`..."""
        found: list[Port] = []
        marker = ""
        while True:
            query = [*filters.items(), *_FIELDS, ("limit", str(_PAGE)), *([("marker", marker)] if marker else [])]
            try:
                page = _decode(_Ports, await self._call("GET", f"/v2.0/ports?{urlencode(query)}"))
            except errors.NotFound:
                if not marker:
                    raise
                found, marker = [], ""  # the last port of the page before was deleted meanwhile: from the beginning
                continue
            found += page.ports
            # the server may have a smaller page than we asked for: its link says whether there is more
            if not page.ports or not any(link.rel == "next" for link in page.ports_links):
                return tuple(found)
            marker = page.ports[-1].id

    async def fetch_network(self, name_or_id: str) -> Network:
        """The one network of that id or name. Raises `NotFound`, also when the name is not unique."""
        networks = await self._by_name_or_id("networks", name_or_id, _Networks)
        return _only(networks.networks, "network", name_or_id)

    async def fetch_subnets(self, network_id: str) -> tuple[Subnet, ...]:
        query = urlencode({"network_id": network_id})
        return _decode(_Subnets, await self._call("GET", f"/v2.0/subnets?{query}")).subnets

    async def fetch_security_group(self, name_or_id: str) -> SecurityGroup:
        """The one security group of that id or name. Raises `NotFound`, also when the name is not unique."""
        groups = await self._by_name_or_id("security-groups", name_or_id, _SecurityGroups)
        return _only(groups.security_groups, "security group", name_or_id)

    async def _by_name_or_id(self, collection: str, name_or_id: str, of: type[L]) -> L:
        found = _decode(of, await self._call("GET", f"/v2.0/{collection}?{urlencode({'id': name_or_id})}"))
        if any(getattr(found, name) for name in of.__struct_fields__):
            return found
        return _decode(of, await self._call("GET", f"/v2.0/{collection}?{urlencode({'name': name_or_id})}"))

    async def _call(self, method: str, path: str, body: bytes = b"") -> Answer:
        return await self._api.request(method, path, body, timeout_s=self._timeout_s)


_FIELDS = tuple(("fields", field.encode_name) for field in msgspec.structs.fields(Port))


def _decode(of: type[S], answer: Answer) -> S:
    try:
        return msgspec.json.decode(answer.body, type=of)
    except msgspec.MsgspecError as error:
        raise errors.Unavailable(
            f"the network service answered something else: {error}", status=answer.status
        ) from error


def _only(found: tuple[S, ...], what: str, name: str) -> S:
    if len(found) != 1:
        raise errors.NotFound(f"there are {len(found)} {what}s named {name!r}; give the id of one")
    return found[0]
