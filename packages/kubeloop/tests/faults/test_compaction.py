"""History that is gone when a watch wants to go on: one list, and nothing is missed."""

import asyncio
import time
from dataclasses import replace
from urllib.parse import urlsplit

from kubeloop.testing import ControlPlane

from .observer import check_converged, loading, observing
from .relay import Relay


async def test_etcd_was_compacted_while_the_watch_was_cut_off(plane: ControlPlane) -> None:
    port = urlsplit(plane.server).port
    assert port is not None
    relay = Relay(port)
    await relay.open()
    try:
        through = replace(plane.config(), server=f"https://127.0.0.1:{relay.port}")
        async with observing(through) as observer:
            async with loading(plane.config()):
                await asyncio.sleep(1)
                await relay.close()
                await asyncio.sleep(1)
            plane.kill_apiserver()  # whose caches have a history of their own
            await plane.compact()
            await plane.start_apiserver()
            await relay.open()
            ended = time.monotonic()
            await check_converged(observer, plane.config(), since=ended)
            assert observer.relists == 1
    finally:
        await relay.close()
