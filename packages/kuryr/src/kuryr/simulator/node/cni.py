"""The daemon's socket, as runtimes and their plug-ins see it, without a socket: a command is the line that the plug-in
would send, and its answer the line that it would get.
"""

import asyncio
import json
from collections import deque
from typing import Any

from kuryr.daemon.cni.plugin import ANSWER_TIMEOUT_S, OTHER_TIMEOUT_S
from kuryr.daemon.cni.protocol import CniCode, CniError, encode_error, parse_request
from kuryr.daemon.cni.server import CniHandler, CniServer, SocketInUse


class CniFailed(Exception):
    """A command came to nothing; what the plug-in prints."""

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(f"{msg} (code {code})")
        self.code = code


class _Command:
    def __init__(self, line: bytes) -> None:
        self.line = line
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.closed = asyncio.Event()


class CniSocket:
    """The path of the socket on the machine. At most one daemon listens there."""

    def __init__(self) -> None:
        self._service: SimulatedCni | None = None

    def open(self, service: "SimulatedCni") -> None:
        """Raises SocketInUse."""
        if self._service is not None:
            raise SocketInUse("another kuryr daemon serves the socket: stop it first, or set another socket")
        self._service = service

    def close(self, service: "SimulatedCni") -> None:
        """The service's end; commands that it has not answered see their connection closed."""
        if self._service is service:
            self._service = None

    async def call(self, command: str, config: dict[str, Any], **parameters: str) -> dict[str, Any]:
        """One call of the plug-in. Raises CniFailed. Who gives it up cancels it, and the daemon sees that."""
        line = json.dumps({"command": command, "config": config, **parameters}).encode() + b"\n"
        answered = json.loads(await self.ask(line, timeout_s=ANSWER_TIMEOUT_S.get(command, OTHER_TIMEOUT_S)))
        if "code" in answered:
            raise CniFailed(answered["code"], answered["msg"])
        assert isinstance(answered, dict)
        return answered

    async def ask(self, line: bytes, *, timeout_s: float) -> bytes:
        """One connection: a line, which may be anything, and its answer. Raises CniFailed where there is none."""
        if self._service is None:
            raise CniFailed(CniCode.TRY_AGAIN_LATER, "the kuryr daemon of this node is not reachable")
        asked = _Command(line)
        self._service.accept(asked)
        try:
            async with asyncio.timeout(timeout_s):
                return await asked.answer
        except TimeoutError as error:
            message = f"the kuryr daemon gave no answer within {timeout_s:g} s"
            raise CniFailed(CniCode.TRY_AGAIN_LATER, message) from error
        except ConnectionError as error:
            raise CniFailed(CniCode.TRY_AGAIN_LATER, "the kuryr daemon stopped before it answered") from error
        finally:
            asked.closed.set()


class SimulatedCni(CniServer):
    """The shipped server, but for its socket and what it reads from and writes to it."""

    def __init__(self, socket: CniSocket, handler: CniHandler) -> None:
        super().__init__("/run/kuryr/simulated.sock", handler)
        self._socket = socket
        self._waiting: deque[_Command] = deque()
        self._asked = asyncio.Event()
        self._open: set[_Command] = set()

    def accept(self, command: _Command) -> None:
        self._open.add(command)
        self._waiting.append(command)
        self._asked.set()

    def close(self) -> None:
        """Its end, also where its process was killed and can do nothing itself."""
        self._socket.close(self)
        for command in sorted(self._open, key=lambda one: one.line):
            if not command.answer.done():
                command.answer.set_exception(ConnectionError("closed"))
        self._open.clear()

    async def run(self) -> None:
        """Until cancelled. Raises SocketInUse."""
        self._socket.open(self)
        self._listening.set()
        try:
            async with asyncio.TaskGroup() as commands:
                while True:
                    await self._asked.wait()
                    self._asked.clear()
                    while self._waiting:
                        commands.create_task(self._serve_command(self._waiting.popleft()))
        finally:
            self.close()

    async def _serve_command(self, command: _Command) -> None:
        answered = await self._converse_with(command)
        self._open.discard(command)
        if answered is not None and not command.answer.done():
            command.answer.set_result(answered)

    async def _converse_with(self, command: _Command) -> bytes | None:
        """The command is given up when the plug-in goes away."""
        try:
            request = parse_request(command.line)
        except CniError as error:
            return encode_error(error)
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(self._answer(request))
            gone = tasks.create_task(command.closed.wait())
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            work.cancel()
            gone.cancel()
        return None if work.cancelled() else work.result()
