"""Neutron's ports, as far as the pools use them: MACs are unique in a network, and answers may be lost."""

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from kuryr.openstack import errors
from kuryr.openstack.session import Answer


class NeutronServer:
    """An `Api`. `lost`: how many answers to creates get lost; `refused`: port ids whose deletion is refused;
    `broken`: at whose deletion it fails; `away`: it answers nothing. `lists` is how many were asked for.
    """

    def __init__(self, ids: str = "port") -> None:
        self.ports: dict[str, dict[str, Any]] = {}
        self.vif_type = "ovs"
        self.lost = 0
        self.away = False
        self.lists = 0
        self.refused: set[str] = set()
        self.broken: set[str] = set()
        self.invisible: set[str] = set()
        self.creates_go_on = asyncio.Event()
        self.creates_go_on.set()
        self.creating = asyncio.Event()
        self.deletes_go_on = asyncio.Event()
        self.deletes_go_on.set()
        self.deleting = asyncio.Event()
        self._ids = ids
        self._numbers = itertools.count(1)

    async def request(
        self, method: str, path: str, body: bytes = b"", *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Answer:
        await asyncio.sleep(0)
        if self.away:
            raise errors.Unavailable("no answer")
        if method == "POST":
            self.creating.set()
            await self.creates_go_on.wait()
            return self._create(msgspec.json.decode(body)["port"])
        if method == "DELETE":
            return await self._delete(path.rpartition("/")[2])
        self.lists += 1
        filters = {key: value for key, value in parse_qsl(urlsplit(path).query) if key not in ("fields", "limit")}
        found = [port for port in self.ports.values() if filters.items() <= port.items()]
        return Answer(200, msgspec.json.encode({"ports": found}))

    def _create(self, wanted: dict[str, Any]) -> Answer:
        taken = self.invisible | {port["mac_address"] for port in self.ports.values()}
        if wanted["mac_address"] in taken:
            raise errors.Conflict("the MAC is taken", status=409, reason="MacAddressInUse")
        number = next(self._numbers)
        ips = [{"subnet_id": one["subnet_id"], "ip_address": f"10.0.0.{number + 1}"} for one in wanted["fixed_ips"]]
        port = {**wanted, "id": f"{self._ids}-{number}", "fixed_ips": ips, "binding:vif_type": self.vif_type}
        self.ports[port["id"]] = port
        if self.lost:
            self.lost -= 1
            raise errors.Unavailable("no answer")
        return Answer(201, msgspec.json.encode({"port": port}), {"X-Openstack-Request-Id": f"req-{number}"})

    async def _delete(self, port_id: str) -> Answer:
        self.deleting.set()
        await self.deletes_go_on.wait()
        if port_id in self.refused:
            raise errors.Conflict("the port is in use", status=409, reason="PortInUse")
        if port_id in self.broken:
            raise errors.Unavailable("something broke", status=500)
        if self.ports.pop(port_id, None) is None:
            raise errors.NotFound("no such port", status=404)
        return Answer(204, b"")
