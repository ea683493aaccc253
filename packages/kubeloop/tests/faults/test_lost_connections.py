"""Whatever cuts a controller off from the API server: within 5 s after its end the controller knows all again."""

import asyncio
import time
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from kubeloop.client import errors
from kubeloop.client.client import connect
from kubeloop.model.core import Namespace
from kubeloop.testing import Assets, ControlPlane

from .network import Network
from .observer import check_converged, loading, observing


async def is_cut_off(plane: ControlPlane) -> bool:
    """No answer, for a second."""
    async with connect(plane.config(), user_agent="judge/1", timeout_s=1) as client:
        try:
            await client.get(Namespace, "default")
        except errors.Unavailable:
            return True
    return False


async def test_an_api_server_that_was_killed_under_load(plane: ControlPlane) -> None:
    async with observing(plane.config()) as observer:
        async with loading(plane.config()) as load:
            for _ in range(3):
                await asyncio.sleep(1)
                before = load.writes
                plane.kill_apiserver()
                await asyncio.sleep(1)
                await plane.start_apiserver()
                ended = time.monotonic()
                await asyncio.sleep(1)
                assert load.writes > before
        await check_converged(observer, plane.config(), since=ended)


async def test_an_api_server_that_stood_still_for_90_s(plane: ControlPlane) -> None:
    async with observing(plane.config()) as observer:
        async with loading(plane.config()):
            await asyncio.sleep(1)
            plane.pause_apiserver()
            await asyncio.sleep(89)
            assert await is_cut_off(plane)
            plane.resume_apiserver()
            ended = time.monotonic()
            await asyncio.sleep(1)
        await check_converged(observer, plane.config(), since=ended)


# 14 s: TCP's own repetition, which doubles its pauses, would come 11 s after the end
@pytest.mark.parametrize("cut_s", [14, 45])
async def test_a_network_that_drops_all_in_silence(assets: Assets, network: Network, cut_s: float) -> None:
    everywhere = {"bind-address": "0.0.0.0"}
    async with (
        ControlPlane(assets=assets, address=network.address, netns=network.netns, apiserver_flags=everywhere) as plane,
        observing(plane.config()) as observer,
    ):
        port = urlsplit(plane.server).port
        whole = replace(plane.config(), server=f"https://{network.other_address}:{port}", tls_server_name="localhost")
        async with loading(whole) as load:
            await asyncio.sleep(1)
            before = load.writes
            network.cut()
            await asyncio.sleep(cut_s - 1)
            assert await is_cut_off(plane)
            assert load.writes > before + 10 * cut_s
            network.heal()
            ended = time.monotonic()
            await asyncio.sleep(1)
        await check_converged(observer, whole, since=ended)
