"""A controller at work on a simulated cluster, for as long as a test wants it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import kubeloop as k
from kubeloop.simulator import SimulatedCluster


@asynccontextmanager
async def client_of(cluster: SimulatedCluster, *kinds: type[k.KubeObject]) -> AsyncIterator[k.Client]:
    """The user's hand; `kinds` are served."""
    async with k.connect(cluster, user_agent="user/1", field_manager="user") as client:
        await k.ensure_definitions(client, kinds)
        yield client


@asynccontextmanager
async def at_work(cluster: SimulatedCluster, wire: Callable[[k.Runtime], Awaitable[None]]) -> AsyncIterator[None]:
    """One incarnation of a controller; at the end it is stopped as SIGTERM stops it."""
    async with k.open_runtime(cluster, name="gotcha") as runtime:
        await wire(runtime)
        running = asyncio.create_task(runtime.run())
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
