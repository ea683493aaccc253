"""The simulated cloud over HTTP, in real time: Keystone at /identity, Neutron at /network, for the `openstack` client
and for programs in any language. Plain HTTP, on loopback.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from kuryr.openstack import clouds
from kuryr.simulator.cloud import Cloud
from kuryr.simulator.requests import IDENTITY

_LONGEST_BODY_BYTES = 16 * 1024 * 1024

Latency = Callable[[str, str, bytes], float]
"""Method, path and body; how many seconds it takes."""


class HttpCloud:
    """Serves one `Cloud` while it is entered, which then says `url` in its catalog. `port` 0 takes a free one."""

    def __init__(self, cloud: Cloud | None = None, *, port: int = 0, latency: Latency | None = None) -> None:
        self.cloud = cloud or Cloud(random.Random(), time.time)  # noqa: S311 - a simulation
        self._port = port
        self._latency = latency
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> "HttpCloud":
        self._runner = web.ServerRunner(web.Server(self._serve, request_factory=_make_request), shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        self.cloud.url = f"http://127.0.0.1:{self._port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        return self.cloud.url

    def config(self, user: str, password: str, project: str) -> clouds.Cloud:
        """For the product's session."""
        return clouds.Cloud(name="simulated", auth=self.auth(user, password, project), region="RegionOne")

    def auth(self, user: str, password: str, project: str) -> dict[str, str]:
        """What clouds.yaml has under `auth`."""
        return {
            "auth_url": f"{self.url}{IDENTITY}/v3",
            "username": user,
            "password": password,
            "project_name": project,
            "user_domain_id": "default",
            "project_domain_id": "default",
        }

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        if self._latency is not None:
            await asyncio.sleep(self._latency(request.method, request.path, body))
        answer = self.cloud.handle(request.method, request.path, list(request.query.items()), request.headers, body)
        headers = CIMultiDict(answer.headers)
        return web.Response(status=answer.status, body=answer.body, headers=headers)


def _make_request(*parts: Any) -> web.BaseRequest:
    message, payload, protocol, writer, task = parts
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_LONGEST_BODY_BYTES)
