"""The product's `Session` on a simulated cloud in the same process.

Nothing goes wrong here and no time passes. `SimulatedExchange` and `SimulatedToken` do each call by `reach`, which is
given what the call is and an action without waiting that does it; a simulation of a whole system gives a `reach` that
takes time and has faults.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

import msgspec

from kubeloop import Fence
from kuryr.openstack import errors
from kuryr.openstack.session import Answer
from kuryr.simulator.cloud import Cloud
from kuryr.simulator.requests import IDENTITY, NETWORK

_EXPIRES_SOON_S = 60


class Reach(Protocol):
    """Does one call: `action` is its effect, in one step, at most once. `changes`: it may change something there.

    What does not come through raises ConnectionError or TimeoutError: it may have taken effect, or do so later.
    """

    async def __call__(self, what: str, action: Callable[[], Answer], *, changes: bool) -> Answer: ...


async def directly(what: str, action: Callable[[], Answer], *, changes: bool) -> Answer:
    """At once, without any fault; as every answer of a network it lets others run first."""
    del what, changes
    await asyncio.sleep(0)
    return action()


class SimulatedExchange:
    """An `Exchange`: in place of `HttpExchange`, with the same `fence` and the same deadlines."""

    def __init__(self, cloud: Cloud, *, reach: Reach = directly, fence: Fence | None = None) -> None:
        self._cloud = cloud
        self._reach = reach
        self._fence = fence

    async def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> Answer:
        """See `Exchange`."""
        if self._fence is not None and method != "GET":
            self._fence.check()
        where = urlsplit(url)
        what = f"{method} {where.path}"

        def action() -> Answer:
            return self._cloud.handle(method, where.path, parse_qsl(where.query, keep_blank_values=True), headers, body)

        try:
            async with asyncio.timeout(timeout_s):
                return await self._reach(what, action, changes=method != "GET")
        except TimeoutError as error:
            raise errors.Unavailable(f"{method} {url}: no answer within {timeout_s:.0f} s") from error
        except ConnectionError as error:
            raise errors.Unavailable(f"{method} {url}: {error!r}") from error


class SimulatedToken:
    """A `Token` of one user in one project, by password; renewed as `KeystoneToken` does it."""

    def __init__(self, cloud: Cloud, user: str, password: str, project: str, *, reach: Reach = directly) -> None:
        self._cloud = cloud
        self._reach = reach
        domain = {"id": "default"}
        identity = {
            "methods": ["password"],
            "password": {"user": {"name": user, "domain": domain, "password": password}},
        }
        scope = {"project": {"name": project, "domain": domain}}
        self._body = msgspec.json.encode({"auth": {"identity": identity, "scope": scope}})
        self._lock = asyncio.Lock()
        self._token = ""
        self._good_until = 0.0

    async def fetch(self, *, refused: str = "") -> str:
        """See `Token`."""
        async with self._lock:
            if not self._token or self._token == refused or asyncio.get_running_loop().time() >= self._good_until:
                await self._authenticate()
            return self._token

    async def fetch_endpoint(self, service_type: str) -> str:
        """See `Token`."""
        if service_type != "network":
            raise errors.CloudConfigError(f"the simulated cloud has no {service_type}")
        return self._cloud.url + NETWORK

    async def _authenticate(self) -> None:
        def action() -> Answer:
            return self._cloud.handle("POST", f"{IDENTITY}/v3/auth/tokens", (), {}, self._body)

        try:
            answer = await self._reach(f"POST {IDENTITY}/v3/auth/tokens", action, changes=False)
        except (ConnectionError, TimeoutError) as error:
            raise errors.Unavailable(f"Keystone: {error!r}", sent=False) from error
        if answer.status != 201:
            raise errors.Unauthorised(f"Keystone: {answer.status}", status=401)
        self._token = answer.headers["X-Subject-Token"]
        self._good_until = asyncio.get_running_loop().time() + self._cloud.tokens.lifetime_s - _EXPIRES_SOON_S
