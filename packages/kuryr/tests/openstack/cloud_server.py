"""A small OpenStack on loopback: Keystone's token call and catalog, and a network service that answers as told."""

import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from kuryr.openstack.clouds import Cloud
from kuryr.openstack.neutron import Neutron
from kuryr.openstack.session import HttpExchange, KeystoneToken, Session

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
"""Raises ConnectionResetError to hang up without an answer."""


class CloudServer:
    """`handler` is the network service behind the check of the token; `asked` are its requests with valid tokens."""

    def __init__(self) -> None:
        self.url = ""
        self.lives_s = 3600.0
        self.password = "right"
        self.issued = 0
        self.valid: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.refused_tokens = 0
        self.handler: Handler = self._no_handler
        self.catalog_region = "one"

    async def _no_handler(self, request: web.Request) -> web.StreamResponse:
        raise AssertionError(f"unexpected: {request.method} {request.path}")

    def cloud(self, **changes: Any) -> Cloud:
        auth = {
            "auth_url": f"{self.url}/identity/v3",
            "username": "kuryr",
            "password": "right",
            "project_name": "p",
            "user_domain_id": "default",
            "project_domain_id": "default",
        }
        return Cloud(**{"name": "test", "auth": auth, "region": "one", **changes})

    def revoke(self) -> None:
        """As a Keystone does whose keys or database were changed: no token is good any more."""
        self.valid.clear()

    async def keystone_versions(self, _request: web.Request) -> web.Response:
        link = {"rel": "self", "href": f"{self.url}/identity/v3/"}
        return web.json_response({"version": {"id": "v3.14", "status": "stable", "links": [link], "media-types": []}})

    async def issue_token(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["auth"]["identity"]["password"]["user"]["password"] != self.password:
            return web.json_response({"error": {"code": 401, "message": "who are you", "title": "x"}}, status=401)
        self.issued += 1
        token = f"token-{self.issued}"
        self.valid.add(token)
        expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=self.lives_s)
        endpoints = [
            {"id": "e", "interface": "public", "region": region, "region_id": region, "url": url}
            for region, url in (
                ("other", "http://127.0.0.1:1/wrong"),
                (self.catalog_region, f"{self.url}/network/v2.0"),
            )
        ]
        answer = {
            "token": {
                "methods": ["password"],
                "user": {"domain": {"id": "default", "name": "d"}, "id": "u", "name": "kuryr"},
                "project": {"domain": {"id": "default", "name": "d"}, "id": "p", "name": "p"},
                "audit_ids": ["a"],
                "issued_at": "2026-01-01T00:00:00.000000Z",
                "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "catalog": [{"id": "s", "type": "network", "name": "neutron", "endpoints": endpoints}],
            }
        }
        return web.json_response(answer, status=201, headers={"X-Subject-Token": token})

    async def serve_network(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("X-Auth-Token") not in self.valid:
            self.refused_tokens += 1
            return web.json_response({"error": {"code": 401, "message": "token", "title": "Unauthorized"}}, status=401)
        self.asked.append((request.method, request.path.removeprefix("/network")))
        try:
            return await self.handler(request)
        except ConnectionResetError:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()


@asynccontextmanager
async def cloud_server() -> AsyncIterator[CloudServer]:
    server = CloudServer()
    application = web.Application()
    application.router.add_get("/identity/v3", server.keystone_versions)
    application.router.add_post("/identity/v3/auth/tokens", server.issue_token)
    application.router.add_route("*", "/network/{rest:.*}", server.serve_network)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        server.url = f"http://{host}:{port}"
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def neutron_of(
    cloud: Cloud, *, timeout_s: float = 10.0, exchange: HttpExchange | None = None
) -> AsyncIterator[Neutron]:
    exchange = exchange or HttpExchange(cloud)
    token = KeystoneToken(cloud)
    try:
        yield Neutron(Session(token, exchange, "network", user_agent="kuryr-test/1"), timeout_s=timeout_s)
    finally:
        await exchange.close()
