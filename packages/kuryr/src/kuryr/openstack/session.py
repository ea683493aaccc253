"""Who we are in OpenStack, and requests as that: credentials from clouds.yaml through keystoneauth, the calls
themselves over aiohttp.

keystoneauth blocks, so it runs only in an executor thread, one renewal at a time: it gives the endpoint and the token,
and renews the token before it expires. A 401 renews once and repeats the request, which had no effect. Every request
has a deadline and a request id of its own (X-Openstack-Request-Id), which the service logs; every failure becomes one
of our errors, with that id.

A write that must not happen any more is refused by the fence right before its bytes: see `HttpExchange`.
"""

import asyncio
import random
import ssl
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import msgspec
from keystoneauth1 import exceptions as keystone_errors
from keystoneauth1 import loading
from keystoneauth1 import session as keystone_session

from kubeloop import Fence
from kuryr.openstack import errors
from kuryr.openstack.clouds import Cloud

REQUEST_ID = "X-Openstack-Request-Id"

_EXPIRES_SOON_S = 60
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Exchange(Protocol):
    """One HTTP exchange: the seam that a simulated OpenStack replaces. Raises `Unavailable` when there is no answer."""

    async def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> Answer: ...


class HttpExchange:
    """Exchanges over aiohttp with kept-alive connections.

    `fence` is asked before every request that is not GET, when the request has its connection and none of its bytes was
    given to it: one that waited for a connection while the lease was lost is not sent. Its `NotLeader` is raised as is.
    """

    def __init__(self, cloud: Cloud, *, connections: int = 50, fence: Fence | None = None) -> None:
        self._cloud = cloud
        self._connections = connections
        self._fence = fence
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> Answer:
        """See `Exchange`."""
        session = self._session or self._open()
        try:
            async with (
                asyncio.timeout(timeout_s),
                session.request(method, url, headers=headers, data=body or None, allow_redirects=False) as answer,
            ):
                return Answer(answer.status, await answer.read(), answer.headers)
        except TimeoutError as error:
            raise errors.Unavailable(f"{method} {url}: no answer within {timeout_s:.0f} s") from error
        except aiohttp.ClientConnectorError as error:
            raise errors.Unavailable(f"cannot reach {url}: {error}", sent=False) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise errors.Unavailable(f"{method} {url}: {error!r}") from error

    def _open(self) -> aiohttp.ClientSession:
        traces = []
        if self._fence is not None:
            trace = aiohttp.TraceConfig()
            # in spite of its name it comes before the headers are written (StreamWriter.write_headers)
            trace.on_request_headers_sent.append(self._check_fence)
            traces.append(trace)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=_tls(self._cloud)),
            timeout=aiohttp.ClientTimeout(total=None),
            trace_configs=traces,
        )
        return self._session

    async def _check_fence(
        self, _session: object, _context: object, sent: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        if self._fence is not None and sent.method != "GET":
            self._fence.check()


def _tls(cloud: Cloud) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=cloud.ca_file or None)
    if not cloud.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Token(Protocol):
    """Where the token and the endpoint come from."""

    async def fetch(self, *, refused: str = "") -> str:
        """A token other than `refused`, which the service did not accept."""
        ...

    async def fetch_endpoint(self, service_type: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a token is. `roles` is None where it does not tell them."""

    project_id: str
    project: str
    roles: tuple[str, ...] | None


class KeystoneToken:
    """keystoneauth, off the event loop."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        options = {key.replace("-", "_"): value for key, value in cloud.auth.items()}
        try:
            self._auth: Any = loading.get_plugin_loader(cloud.auth_type).load_from_options(**options)
        except (keystone_errors.ClientException, TypeError) as error:  # TypeError: a key that the plug-in has not
            raise errors.CloudConfigError(f"cloud {cloud.name!r}: auth or auth_type: {error}") from error
        self._session = keystone_session.Session(
            auth=self._auth, verify=(cloud.ca_file or True) if cloud.verify else False, timeout=30
        )
        self._lock = asyncio.Lock()
        self._token = ""
        self._good_until = 0.0

    async def fetch(self, *, refused: str = "") -> str:
        """The token; asked of Keystone only when there is none, it expires soon, or it is the one that was refused."""
        async with self._lock:
            expires_soon = asyncio.get_running_loop().time() >= self._good_until
            if not self._token or self._token == refused or expires_soon:
                await self._authenticate(renew=bool(refused))
            return self._token

    async def fetch_identity(self) -> Identity:
        """Project and roles of the token."""

        def ask() -> Identity:
            access = self._auth.get_access(self._session)
            roles = tuple(access.role_names) if access.role_names else None
            return Identity(str(access.project_id or ""), str(access.project_name or ""), roles)

        async with self._lock:
            identity: Identity = await _off_loop(ask)
        return identity

    async def _authenticate(self, *, renew: bool) -> None:
        def ask() -> tuple[str, float]:
            if renew:
                self._auth.invalidate()
            access = self._auth.get_access(self._session)
            left = (access.expires - _utc_like(access.expires)).total_seconds()
            return str(access.auth_token), float(left)

        token, left_s = await _off_loop(ask)
        self._token = token
        self._good_until = asyncio.get_running_loop().time() + left_s - _EXPIRES_SOON_S

    async def fetch_endpoint(self, service_type: str) -> str:
        """The service's URL in the catalog, or the override of clouds.yaml. Raises `CloudConfigError`: a
        catalog without it is no passing trouble, and `NotFound` would mean that a port is gone.
        """
        override = self._cloud.endpoint_overrides.get(service_type, "")
        if override:
            return override.rstrip("/")

        def ask() -> Any:
            return self._session.get_endpoint(
                service_type=service_type, interface=self._cloud.interface, region_name=self._cloud.region or None
            )

        async with self._lock:
            try:
                url = await _off_loop(ask)
            except keystone_errors.CatalogException as error:
                raise errors.CloudConfigError(f"cloud {self._cloud.name!r}: {error}") from error
        if not url:  # the endpoint did not say which versions it has
            raise errors.Unavailable(f"Keystone: no usable endpoint of {service_type}", sent=False)
        return str(url).rstrip("/")


def _utc_like(moment: Any) -> Any:
    return type(moment).now(moment.tzinfo)


async def _off_loop(ask: Any) -> Any:
    try:
        return await asyncio.get_running_loop().run_in_executor(None, ask)
    except (keystone_errors.Unauthorized, keystone_errors.Forbidden) as error:
        raise errors.Unauthorised(f"Keystone: {error}", status=401) from error
    except keystone_errors.CatalogException:
        raise
    except keystone_errors.ClientException as error:
        raise errors.Unavailable(f"Keystone: {error}", sent=False) from error


class _NeutronError(msgspec.Struct):
    type: str = ""
    message: str = ""


class _Body(msgspec.Struct, rename={"neutron": "NeutronError"}):
    neutron: _NeutronError | None = None


class Session:
    """Authenticated requests to one service."""

    def __init__(self, token: Token, exchange: Exchange, service_type: str, *, user_agent: str) -> None:
        self._token = token
        self._exchange = exchange
        self._service_type = service_type
        self._user_agent = user_agent
        self._endpoint = ""

    async def request(
        self, method: str, path: str, body: bytes = b"", *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One call, answered 2xx. A GET or DELETE is repeated, inside the deadline, where no answer or a 5xx came; a
        POST or PUT only when nothing was sent.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._authenticated(method, path, body, deadline - loop.time(), headers or {})
            except (errors.Unavailable, errors.Throttled) as error:
                harmless = method in ("GET", "DELETE") or isinstance(error, errors.Throttled) or not error.sent
                wait_s = random.uniform(0.2, 0.4) * 2**attempt  # noqa: S311 - jitter
                if isinstance(error, errors.Throttled):
                    wait_s = max(wait_s, error.retry_after_s)
                if not harmless or attempt == _ATTEMPTS or loop.time() + wait_s >= deadline:
                    raise
            await asyncio.sleep(wait_s)
        raise AssertionError("unreachable")

    async def _authenticated(
        self, method: str, path: str, body: bytes, timeout_s: float, extra: Mapping[str, str]
    ) -> Answer:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        refused = ""
        while True:
            token = await self._identify(deadline - loop.time(), refused)
            request_id = f"req-{uuid.uuid4()}"
            headers = {
                "X-Auth-Token": token,
                REQUEST_ID: request_id,
                "Accept": "application/json",
                "User-Agent": self._user_agent,
                **({"Content-Type": "application/json"} if body else {}),
                **extra,
            }
            try:
                answer = await self._exchange(method, self._endpoint + path, headers, body, deadline - loop.time())
            except errors.Unavailable as error:
                if not error.sent:
                    raise  # then no log has it
                raise errors.Unavailable(str(error), request_id=request_id) from error
            if answer.status == 401 and not refused:
                refused = token
                continue
            if answer.status >= 300:
                raise error_from(answer, f"{method} {path.partition('?')[0]}", request_id)
            return answer

    async def _identify(self, timeout_s: float, refused: str) -> str:
        try:
            async with asyncio.timeout(timeout_s):
                token = await self._token.fetch(refused=refused)
                if not self._endpoint:
                    # some catalogs name the version, which our paths have too
                    self._endpoint = (await self._token.fetch_endpoint(self._service_type)).removesuffix("/v2.0")
                return token
        except TimeoutError as error:
            raise errors.Unavailable(f"Keystone: no answer within {timeout_s:.0f} s", sent=False) from error


def error_from(answer: Answer, what: str, request_id: str) -> errors.OpenStackError:
    """The typed error of a refusal."""
    request_id = answer.headers.get(REQUEST_ID, request_id)
    try:
        detail = msgspec.json.decode(answer.body, type=_Body).neutron or _NeutronError()
    except msgspec.MsgspecError:
        detail = _NeutronError(message=answer.body[:200].decode(errors="replace").strip())
    message = f"{what}: {answer.status} {detail.type} {detail.message}".rstrip()
    known: dict[str, Any] = {"status": answer.status, "reason": detail.type, "request_id": request_id}
    if answer.status in (413, 429):
        after = answer.headers.get("Retry-After", "")
        return errors.Throttled(message, **known, retry_after_s=float(after) if after.isdigit() else 1.0)
    if answer.status == 409 and detail.type == "OverQuota":
        return errors.QuotaExceeded(message, **known)
    if answer.status == 409 and detail.type.startswith("IpAddressGenerationFailure"):
        return errors.NoAddress(message, **known)
    by_status: dict[int, type[errors.OpenStackError]] = {
        401: errors.Unauthorised,
        403: errors.Unauthorised,
        404: errors.NotFound,
        409: errors.Conflict,
        412: errors.Conflict,
    }
    if answer.status >= 500:
        return errors.Unavailable(message, **known)
    return by_status.get(answer.status, errors.Rejected)(message, **known)
