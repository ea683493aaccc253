"""An HTTPS server on loopback that answers as it is told and records what reached it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Seen:
    """A request that the server has got."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class ApiServer:
    """`answer` is called for every request; None answers {}."""

    ca: trustme.CA
    name: str = "127.0.0.1"
    answer: Answer | None = None
    seen: list[Seen] = field(default_factory=list)
    accept: set[str] | None = None  # tokens; others get 401
    port: int = 0
    client_certificates: list[str] = field(default_factory=list)
    context: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.certify(self.ca)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def certify(self, ca: trustme.CA) -> None:
        """Handshakes from now on get a certificate of this CA."""
        ca.issue_cert(self.name).configure_cert(self.context)

    def ask_for_client_certificate(self, ca: trustme.CA) -> None:
        self.context.verify_mode = ssl.CERT_OPTIONAL
        ca.configure_trust(self.context)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(Seen(request.method, request.path_qs, list(request.headers.items()), await request.read()))
        if request.transport is not None and (peer := request.transport.get_extra_info("peercert")):
            self.client_certificates.append(str(peer["serialNumber"]))
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.accept is not None and token not in self.accept:
            return web.json_response({"kind": "Status", "code": 401, "message": "Unauthorized"}, status=401)
        return await self.answer(request) if self.answer else web.json_response({})


@asynccontextmanager
async def serving(server: ApiServer) -> AsyncIterator[ApiServer]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", server.port, ssl_context=server.context)
        await site.start()
        server.port = runner.addresses[0][1]
        yield server
    finally:
        await runner.cleanup()


def write_ca(ca: trustme.CA, path: Path) -> Path:
    ca.cert_pem.write_to_path(path)
    return path


async def until(condition: Callable[[], bool]) -> None:
    """Waits, with a bound, for what another task will do."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.005)
