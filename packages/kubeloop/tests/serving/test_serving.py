"""The HTTP server of a process, over loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from kubeloop.metrics import Metrics
from kubeloop.serving import Serving, ServingError


@asynccontextmanager
async def _served(serving: Serving) -> AsyncIterator[aiohttp.ClientSession]:
    running = asyncio.create_task(serving.run())
    try:
        async with asyncio.timeout(10):
            port = await serving.listening()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield session
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def _serving(port: int = 0, metrics: Metrics | None = None) -> Serving:
    return Serving("127.0.0.1", port, metrics=metrics or Metrics())


async def _get(session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with session.get(path) as answer:
        return answer.status, await answer.text()


async def test_healthz_is_ok_while_the_event_loop_turns() -> None:
    async with _served(_serving()) as session:
        assert await _get(session, "/healthz") == (200, "ok")
        assert await _get(session, "/healthz?verbose") == (200, "healthz check passed\n")


async def test_liveness_and_readiness_are_asked_apart() -> None:
    serving = _serving()
    missing: list[str] = ["pods are not in sync"]
    serving.add_liveness_check("loop", lambda: None)
    serving.add_readiness_check("informers", lambda: missing[0] if missing else None)
    serving.add_readiness_check("controllers", lambda: None)
    async with _served(serving) as session:
        assert await _get(session, "/healthz?verbose") == (200, "[+]loop ok\nhealthz check passed\n")
        assert await _get(session, "/readyz") == (
            503,
            "[-]informers failed: pods are not in sync\n[+]controllers ok\nreadyz check failed\n",
        )
        missing.clear()
        assert await _get(session, "/readyz") == (200, "ok")


async def test_a_check_that_raises_has_failed_and_the_others_are_told() -> None:
    def broken() -> None:
        raise RuntimeError("mine")

    serving = _serving()
    serving.add_readiness_check("broken", broken)
    serving.add_readiness_check("fine", lambda: None)
    async with _served(serving) as session:
        status, text = await _get(session, "/readyz")
    assert status == 503
    assert text.startswith("[-]broken failed: RuntimeError('mine')\n[+]fine ok\n")


async def test_metrics_are_in_the_format_asked_for() -> None:
    metrics = Metrics()
    metrics.leader.labels("kuryr").set(1)
    metrics.queue_adds.labels("pods").inc()
    async with _served(_serving(metrics=metrics)) as session:
        async with session.get("/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert 'leader_election_master_status{name="kuryr"} 1.0\n' in await answer.text()
        async with session.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
            assert (await answer.text()).endswith("# EOF\n")
        async with session.get("/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert "leader_election_master_status" in await answer.text()
        async with session.get("/metrics?name[]=leader_election_master_status") as answer:
            names = {line.split("{")[0] for line in (await answer.text()).splitlines() if not line.startswith("#")}
            assert names == {"leader_election_master_status"}


async def test_a_port_that_is_taken_is_said_so() -> None:
    first = _serving()
    async with _served(first):
        port = await first.listening()
        with pytest.raises(ServingError, match=rf"cannot serve on 127\.0\.0\.1:{port}: .*address already in use"):
            await _serving(port).run()


async def test_nothing_listens_after_the_end() -> None:
    serving = _serving()
    async with _served(serving):
        port = await serving.listening()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_check_has_a_name_of_its_own_and_a_port_is_one() -> None:
    serving = _serving()
    serving.add_liveness_check("loop", lambda: None)
    with pytest.raises(ValueError, match="a check loop already"):
        serving.add_liveness_check("loop", lambda: None)
    with pytest.raises(ValueError, match="between 0 and 65535"):
        _serving(70000)
