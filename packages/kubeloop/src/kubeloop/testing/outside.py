"""What an event loop would need the outside world for, where there is none.

Whatever would wait for a socket, a program or a thread raises `InProcessOnly`. A server, though, may be had: one to
which nobody ever connects, so that a program which serves its metrics runs as it is shipped.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NoReturn


class InProcessOnly(RuntimeError):
    """Something would have left this process, where virtual time means nothing."""


class _Listening:
    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def getsockname(self) -> tuple[str, int]:
        return self._address


class UnreachedServer(asyncio.AbstractServer):
    """As `asyncio.Server`, listening on what it was asked for; port 0 becomes some port."""

    def __init__(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> None:
        self._loop = loop
        self.sockets: Sequence[_Listening] = (_Listening((host or "0.0.0.0", port or 40000)),)  # noqa: S104 - nothing is bound

    def close(self) -> None:
        """See `asyncio.Server`."""
        self.sockets = ()

    async def wait_closed(self) -> None:
        """See `asyncio.Server`."""

    async def start_serving(self) -> None:
        """See `asyncio.Server`."""

    async def serve_forever(self) -> None:
        """See `asyncio.Server`."""
        await self._loop.create_future()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """See `asyncio.Server`."""
        return self._loop

    def is_serving(self) -> bool:
        """See `asyncio.Server`."""
        return bool(self.sockets)


class InProcess(asyncio.BaseEventLoop):
    """The part of a loop that refuses. `misuse` is the first refusal, also when somebody has caught it."""

    misuse: InProcessOnly | None = None

    def refuse(self, what: str) -> NoReturn:
        """Raises `InProcessOnly`."""
        error = InProcessOnly(f"{what}: on virtual time nothing may wait for what happens outside this process")
        self.misuse = self.misuse or error
        raise error

    async def create_server(  # type: ignore[override]
        self, protocol_factory: Any, host: Any = None, port: int | None = None, **_: Any
    ) -> UnreachedServer:
        """Nobody connects: a program that is simulated as it is shipped may serve its metrics."""
        return UnreachedServer(self, host if isinstance(host, str) else "", port or 0)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> NoReturn:
        """Refused: a thread would take real time."""
        self.refuse(f"a thread for {getattr(func, '__qualname__', func)}")


def _refusing(name: str) -> Callable[..., NoReturn]:
    def refuse(self: InProcess, *_: Any, **__: Any) -> NoReturn:
        self.refuse(name)

    return refuse


# fmt: off
_OUTSIDE = (
    "add_reader", "add_writer", "connect_accepted_socket", "connect_read_pipe", "connect_write_pipe",
    "create_connection", "create_datagram_endpoint", "create_unix_connection", "create_unix_server",
    "getaddrinfo", "getnameinfo", "sendfile", "sock_accept", "sock_connect", "sock_recv", "sock_recv_into",
    "sock_recvfrom", "sock_recvfrom_into", "sock_sendall", "sock_sendfile", "sock_sendto", "start_tls",
    "subprocess_exec", "subprocess_shell",
)
# fmt: on
for _name in _OUTSIDE:
    setattr(InProcess, _name, _refusing(_name))
