"""A TCP relay that can hang up on everybody and be closed for a while."""

import asyncio
from contextlib import suppress


class Relay:
    """Passes connections on to a port of loopback while it is open."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuses connections, and hangs up those that there are."""
        assert self._server is not None
        self._server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        try:
            onward_reader, onward = await asyncio.open_connection("127.0.0.1", self._target_port)
            try:
                await asyncio.gather(_pass(reader, onward), _pass(onward_reader, writer))
            finally:
                onward.transport.abort()
        except asyncio.CancelledError:
            pass  # by `close`: the server's own callback would report it
        finally:
            writer.transport.abort()
            self._passing.discard(task)


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.transport.abort()
