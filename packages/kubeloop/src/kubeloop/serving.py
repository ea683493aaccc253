"""What a process tells about itself over HTTP: /metrics for Prometheus, /healthz and /readyz for the kubelet.

/healthz is liveness: that it answers shows that the event loop turns; a check that is added must fail only for what a
restart mends, never for the cloud's or the API server's faults, or the kubelet kills whoever waits for them. /readyz is
whether the work is being done: stores in sync, controllers running or standing by. Both answer as the API server's do
(https://kubernetes.io/docs/reference/using-api/health-checks/): `ok`, or with `?verbose` and in failure a line a check.

No TLS and no authentication: bind to loopback, or let a network policy decide who reaches it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from kubeloop.metrics import Metrics

log = logging.getLogger(__name__)

Check = Callable[[], str | None]
"""Answers at once: None when all is well, else what is not. One that raises has failed."""

_SHUTDOWN_S = 1.0
_COMPRESS_IN_THREAD_BYTES = 64 * 1024


class ServingError(Exception):
    """The address cannot be served on. The message says which and why."""


class Serving:
    """The HTTP server of one process. `host` None is every address; `port` 0 takes a free one, see `listening`."""

    def __init__(self, host: str | None, port: int, *, metrics: Metrics) -> None:
        """Raises `ValueError` for what is no port."""
        if not 0 <= port <= 65535:
            raise ValueError(f"a port is between 0 and 65535, not {port}")
        self._host = host
        self._port = port
        self._metrics = metrics
        self._live: dict[str, Check] = {}
        self._ready: dict[str, Check] = {}
        self._listening = asyncio.Event()

    def add_liveness_check(self, name: str, check: Check) -> None:
        """For what only a restart mends. Raises `ValueError` for a name that is taken."""
        _add(self._live, name, check)

    def add_readiness_check(self, name: str, check: Check) -> None:
        """For what must be so before the work is done. Raises `ValueError` for a name that is taken."""
        _add(self._ready, name, check)

    async def listening(self) -> int:
        """Waits until it serves; the port."""
        await self._listening.wait()
        return self._port

    async def run(self) -> None:
        """Serves until cancelled; requests in work get a second then. Raises `ServingError` if it cannot bind."""
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        try:
            await self._bind(runner)
            log.info("serving", extra={"host": self._host or "*", "port": self._port})
            self._listening.set()
            await asyncio.Event().wait()
        finally:
            self._listening.clear()
            await runner.cleanup()

    async def _bind(self, runner: web.AppRunner) -> None:
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError as error:
            where = f"{self._host or '*'}:{self._port}"
            raise ServingError(f"cannot serve on {where}: {error.strerror or error}") from error
        self._port = runner.addresses[0][1]

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/metrics", self._serve_metrics)
        application.router.add_get("/healthz", _serve_checks("healthz", self._live))
        application.router.add_get("/readyz", _serve_checks("readyz", self._ready))
        return application

    async def _serve_metrics(self, request: web.Request) -> web.Response:
        """In the format that the Accept header asks for; only the metrics of `name[]` where that is given."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        registry = self._metrics.registry
        names = request.query.getall("name[]", [])
        body = encode(registry.restricted_registry(names) if names else registry)
        response = web.Response(
            body=body, headers={"Content-Type": content_type}, zlib_executor_size=_COMPRESS_IN_THREAD_BYTES
        )
        response.enable_compression()
        return response


def _add(checks: dict[str, Check], name: str, check: Check) -> None:
    if name in checks:
        raise ValueError(f"there is a check {name} already")
    checks[name] = check


def _serve_checks(title: str, checks: Mapping[str, Check]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(request: web.Request) -> web.Response:
        results = {name: _run(name, check) for name, check in checks.items()}
        failed = any(results.values())
        if not failed and "verbose" not in request.query:
            return web.Response(text="ok")
        lines = [f"[-]{name} failed: {why}" if why else f"[+]{name} ok" for name, why in results.items()]
        lines.append(f"{title} check {'failed' if failed else 'passed'}")
        return web.Response(text="\n".join(lines) + "\n", status=503 if failed else 200)

    return serve


def _run(name: str, check: Check) -> str | None:
    try:
        return check()
    except Exception as error:  # whatever it is, the check has failed and the others are still of interest
        log.exception("health check raised", extra={"check": name})
        return repr(error)
