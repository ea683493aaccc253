"""The daemon's socket: one JSON line in, one JSON line out, one connection per CNI command.

Only root gets in: the folder is 0700, the socket 0600, and the peer's credentials are checked. Whatever comes, the
answer is a CNI error object and the server lives on. When the plug-in's end closes (the runtime gave up and killed it)
the handler is cancelled, so no work is done for nobody. A lock file keeps a second daemon off the socket.
"""

import asyncio
import fcntl
import logging
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from kuryr.daemon.cni.protocol import (
    CniCode,
    CniError,
    CniRequest,
    Command,
    encode_error,
    parse_request,
)
from kuryr.daemon.cni.results import Result, encode_result

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 1 << 20
_REQUEST_TIMEOUT_S = 10.0
_ACCEPT_RETRY_S = 0.1
_CREDENTIALS = struct.Struct("=iII")  # struct ucred of unix(7): pid, uid, gid


class SocketInUse(Exception):
    """Another daemon serves this socket."""


class CniHandler(Protocol):
    """Does what a command asks. Raises CniError; anything else is logged, and an internal error to the runtime."""

    async def add(self, request: CniRequest) -> Result:
        """Wire the interface; cancelled when the plug-in goes away, and must then leave nothing behind."""
        ...

    async def delete(self, request: CniRequest) -> None:
        """Remove the interface; success if there is none."""
        ...

    async def check(self, request: CniRequest) -> None:
        """Raise unless the interface is as ADD made it."""
        ...

    async def collect(self, request: CniRequest) -> None:
        """GC: remove every interface that is not among the valid ones."""
        ...

    async def status(self, request: CniRequest) -> None:
        """Raise when no ADD on this node can succeed, whichever pod's."""
        ...


class CniServer:
    """Serves one unix socket. `run` until cancelled; handlers under way are cancelled and awaited then."""

    def __init__(self, path: str | Path, handler: CniHandler) -> None:
        self._path = Path(path)
        self._handler = handler
        self._listening = asyncio.Event()

    async def wait_listening(self) -> None:
        await self._listening.wait()

    async def run(self) -> None:
        """Raises SocketInUse, OSError."""
        with _locked(self._path), _listen(self._path) as listener:
            log.info("serving CNI", extra={"socket": str(self._path)})
            self._listening.set()
            async with asyncio.TaskGroup() as connections:
                while True:
                    connection = await _accept(listener)
                    connections.create_task(self._serve(connection))

    async def _serve(self, connection: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(sock=connection, limit=MAX_REQUEST_BYTES)
        except OSError as error:
            connection.close()
            log.warning("a CNI connection failed", extra={"error": str(error)})
            return
        try:
            answer = await self._converse(connection, reader)
            if answer is not None:
                writer.write(answer + b"\n")
                await writer.drain()
        except OSError as error:
            log.info("the plug-in went away before its answer", extra={"error": str(error)})
        except Exception:  # one broken conversation must not end those of other pods
            log.exception("a CNI conversation failed")
        finally:
            writer.close()

    async def _converse(self, connection: socket.socket, reader: asyncio.StreamReader) -> bytes | None:
        """The answer, or None when there is nobody left to hear it."""
        try:
            _check_peer(connection)
            request = parse_request(await _read_line(reader))
        except CniError as error:
            log.warning("a CNI request was refused", extra={"code": int(error.code), "error": error.msg})
            return encode_error(error)
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(self._answer(request))
            gone = tasks.create_task(_wait_closed(reader))
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                log.info(
                    "the plug-in went away: giving up its command",
                    extra={"command": str(request.command), "container_id": request.container_id},
                )
            work.cancel()
            gone.cancel()
        return None if work.cancelled() else work.result()

    async def _answer(self, request: CniRequest) -> bytes:
        try:
            return await self._dispatch(request)
        except CniError as error:
            return encode_error(error, request.cni_version)
        except Exception as error:
            log.exception("a CNI command failed", extra={"command": str(request.command)})
            failure = CniError(CniCode.INTERNAL, f"internal error: {error!r}", "see the log of the node's kuryr daemon")
            return encode_error(failure, request.cni_version)

    async def _dispatch(self, request: CniRequest) -> bytes:
        match request.command:
            case Command.ADD:
                result = await self._handler.add(request)
                return encode_result(result, request.cni_version, request.prev_result)
            case Command.DEL:
                await self._handler.delete(request)
            case Command.CHECK:
                await self._handler.check(request)
            case Command.GC:
                await self._handler.collect(request)
            case Command.STATUS:
                await self._handler.status(request)
        return b"{}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Held by whoever serves the socket; the kernel lets go when the process ends, however it ends."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    fd = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise SocketInUse(f"another kuryr daemon serves {path}: stop it first, or set another socket") from error
    try:
        yield
    finally:
        os.close(fd)


@contextmanager
def _listen(path: Path) -> Iterator[socket.socket]:
    path.unlink(missing_ok=True)  # what a killed daemon left; the lock says that it is nobody's
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
        listener.setblocking(False)
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(512)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


async def _accept(listener: socket.socket) -> socket.socket:
    while True:
        try:
            connection, _address = await asyncio.get_running_loop().sock_accept(listener)
        except OSError as error:  # out of file descriptors, for example: the connection waits in the backlog
            log.warning("cannot accept a CNI connection", extra={"error": str(error)})
            await asyncio.sleep(_ACCEPT_RETRY_S)
        else:
            return connection


def _check_peer(connection: socket.socket) -> None:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, uid, _gid = _CREDENTIALS.unpack(credentials)
    if uid not in {0, os.geteuid()}:
        raise CniError(CniCode.FORBIDDEN, f"user {uid} may not ask for networks: only root may")


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(_REQUEST_TIMEOUT_S):
            return await reader.readuntil(b"\n")
    except TimeoutError as error:
        raise CniError(CniCode.IO_FAILURE, f"no request within {_REQUEST_TIMEOUT_S:g} s") from error
    except asyncio.LimitOverrunError as error:
        raise CniError(CniCode.IO_FAILURE, f"the request is longer than {MAX_REQUEST_BYTES} bytes") from error
    except asyncio.IncompleteReadError as error:
        raise CniError(CniCode.IO_FAILURE, "the connection was closed in the middle of the request") from error


async def _wait_closed(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(4096):
            pass
    except OSError:  # reset is closed, too
        return
