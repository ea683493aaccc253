"""A controller that may not list what it watches, on a real API server."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import aiohttp
import pytest

import kubeloop as k
from kubeloop.testing import ControlPlane


async def test_a_missing_right_is_told_by_the_log_and_by_readiness_while_liveness_is_well(
    control_plane: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = replace(control_plane.config(), impersonation=k.Impersonation("nobody"))
    async with k.open_runtime(nobody, name="no-rights", serve_on=("127.0.0.1", 0)) as runtime:
        assert runtime.serving is not None
        runtime.informer(k.Node)
        running = asyncio.create_task(runtime.run())
        try:
            port = await runtime.serving.listening()
            async with asyncio.timeout(20), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                while 'User "nobody" cannot list resource "nodes"' not in caplog.text:  # noqa: ASYNC110 - a log
                    await asyncio.sleep(0.05)
                async with session.get("/healthz") as answer:
                    assert answer.status == 200
                async with session.get("/readyz") as answer:
                    assert answer.status == 503
                    assert "waiting for the first list of Node" in await answer.text()
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
