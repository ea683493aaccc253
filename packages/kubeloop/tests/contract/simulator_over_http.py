"""The simulated API server over HTTP, as the suite sees it: in a thread, with a loop that outlives those of tests."""

import asyncio
import io
import threading
from collections.abc import Coroutine
from typing import Any

import aiohttp

from kubeloop.client.transport import HttpTransport, Request, Response
from kubeloop.simulator.http import HttpSimulator


class SimulatorOverHttp:
    name = "simulator over HTTP"

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._simulator = HttpSimulator()
        self._inside(self._simulator.__aenter__())

    def stop(self) -> None:
        self._inside(self._simulator.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def transport(self) -> HttpTransport:
        return HttpTransport(self._simulator.config(), user_agent="contract/1")

    async def exchange(self, request: Request) -> Response:
        async with (
            aiohttp.ClientSession(headers={"Content-Type": request.content_type}) as session,
            session.request(
                request.method,
                self._simulator.url + request.path,
                params=request.query,
                data=io.BytesIO(request.body) if request.body else None,
            ) as answer,
        ):
            return Response(answer.status, await answer.read(), answer.headers)

    async def compact(self) -> None:
        """A new process begins without history."""

        async def begin_anew() -> None:
            self._simulator.server.storage.compact()
            self._simulator.server.restart()

        self._inside(begin_anew())

    def _inside(self, call: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(call, self._loop).result(timeout=10)
