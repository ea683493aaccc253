"""One persistent OVSDB connection (RFC 7047): transactions, and a monitor that feeds a local copy.

`run` connects, monitors, and connects again with back-off for ever; it belongs in the owner's task group. After each
connection the observer is reset with the whole content, then gets every change; both happen in the order the server
sent them, so what a transaction changed has been observed when `transact` returns.

A call that is cancelled after it was written still takes place, before any later call of this client. A call whose
connection broke may or may not have taken place: VswitchUnavailable.
"""

import asyncio
import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from kuryr.daemon.ovsdb.codec import JsonStream
from kuryr.daemon.vswitch import VswitchError, VswitchUnavailable

log = logging.getLogger(__name__)

Operation = Mapping[str, Any]
TableUpdates = Mapping[str, Mapping[str, Any]]

_MONITOR_ID = "monitor"
_READ_BYTES = 1 << 16
_IDLE_S = 5.0
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.05, 2.0


class TransactionRefused(VswitchError):
    """The database refused a transaction; nothing of it took place. `error` is RFC 7047's, e.g. "timed out"."""

    def __init__(self, error: str, details: str, operation: Operation | None) -> None:
        what = f"{operation['op']} in {operation.get('table', 'the database')}" if operation else "commit"
        super().__init__(f"OVSDB refused the {what}: {error}" + (f" ({details})" if details else ""))
        self.error = error
        self.operation = operation


class Observer(Protocol):
    """Keeps the local copy. Called on the event loop; must be quick and must not raise."""

    def reset(self, updates: TableUpdates) -> None:
        """The whole content; everything known before is void."""
        ...

    def apply(self, updates: TableUpdates) -> None:
        """RFC 7047's <table-updates>."""
        ...

    def wake_system(self) -> None:
        """`connected` has changed."""
        ...


class Database(Protocol):
    """What `OvsdbVswitch` needs of a database: `OvsdbClient`, or a simulated one. `transact` promises what the module
    says; its observer has seen what it changed when it returns.
    """

    @property
    def connected(self) -> bool: ...

    async def wait_connected(self) -> None: ...

    async def run(self) -> None: ...

    async def transact(self, *operations: Operation) -> list[Mapping[str, Any]]:
        """Raises TransactionRefused, VswitchUnavailable."""
        ...


class _ConnectionLost(Exception):
    """Ends a connection's task group."""


class _Connection:
    """One connection's life: written to by calls, read by one task."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)
        self.last_heard_s = asyncio.get_running_loop().time()

    def send(self, message: Mapping[str, Any]) -> None:
        self._writer.write(json.dumps(message, separators=(",", ":")).encode())

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        """Raises VswitchUnavailable when the connection ends first."""
        number = next(self._ids)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        try:
            self.send({"method": method, "params": params, "id": number})
            return await answer
        finally:
            del self._pending[number]

    async def read(self, observer: Observer, monitored: asyncio.Event) -> None:
        """Handle what comes, until the connection ends. Raises _ConnectionLost."""
        stream = JsonStream()
        loop = asyncio.get_running_loop()
        while True:
            try:
                data = await self._reader.read(_READ_BYTES)
                self.last_heard_s = loop.time()
                for message in stream.feed(data):
                    self._handle(message, observer, monitored)
            except OSError as error:
                raise _ConnectionLost(str(error)) from error
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise _ConnectionLost(f"the peer does not speak OVSDB: {error!r}") from error
            if not data:
                raise _ConnectionLost("closed by the server")

    def _handle(self, message: Mapping[str, Any], observer: Observer, monitored: asyncio.Event) -> None:
        match message:
            case {"method": "echo", "params": params, "id": number}:
                self.send({"result": params, "error": None, "id": number})
            case {"method": "update", "params": [_, updates]}:
                observer.apply(updates)
            case {"method": _}:
                log.debug("OVSDB notification ignored", extra={"method": message["method"]})
            case {"id": "monitor"}:
                if message.get("error"):
                    raise _ConnectionLost(f"cannot monitor: {message['error']}")
                observer.reset(message["result"])
                monitored.set()
            case {"id": number}:
                answer = self._pending.get(number)
                if answer is not None and not answer.done():
                    answer.set_result(message)

    def close(self) -> None:
        self._writer.close()
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(VswitchUnavailable("the connection to OVSDB broke before its answer"))


class OvsdbClient:
    """A database at a remote, `unix:/path` or `tcp:host:port`. `tables`: table -> columns to monitor."""

    def __init__(
        self,
        remote: str,
        tables: Mapping[str, Sequence[str]],
        observer: Observer,
        *,
        database: str = "Open_vSwitch",
        timeout_s: float = 5.0,
    ) -> None:
        self._address = parse_remote(remote)
        self._remote = remote
        self._tables = tables
        self._observer = observer
        self._database = database
        self._timeout_s = timeout_s
        self._connection: _Connection | None = None
        self._connected = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Connected, and the local copy is complete."""
        return self._connected.is_set()

    async def wait_connected(self) -> None:
        await self._connected.wait()

    async def run(self) -> None:
        """Until cancelled."""
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                async with asyncio.timeout(self._timeout_s):
                    reader, writer = await self._open()
            except (OSError, TimeoutError) as error:
                log.warning("OVSDB is not reachable", extra={"remote": self._remote, "error": str(error)})
            else:
                if await self._serve(_Connection(reader, writer)):
                    delay_s = _FIRST_DELAY_S
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _LONGEST_DELAY_S)

    async def transact(self, *operations: Operation) -> list[Mapping[str, Any]]:
        """One result per operation. Raises TransactionRefused, VswitchUnavailable."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._connected.wait()
                assert self._connection is not None
                answer = await self._connection.call("transact", [self._database, *operations])
        except TimeoutError as error:
            state = "no answer from" if self.connected else "no connection to"
            raise VswitchUnavailable(f"{state} OVSDB at {self._remote} within {self._timeout_s:g} s") from error
        return parse_results(answer, operations)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        match self._address:
            case str(path):
                return await asyncio.open_unix_connection(path)
            case host, port:
                return await asyncio.open_connection(host, port)

    async def _serve(self, connection: _Connection) -> bool:
        """One connection's life; whether the local copy was complete during it."""
        monitored = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(connection.read(self._observer, monitored))
                requests = {table: {"columns": list(columns)} for table, columns in self._tables.items()}
                connection.send({"method": "monitor", "params": [self._database, None, requests], "id": _MONITOR_ID})
                async with asyncio.timeout(self._timeout_s):
                    await monitored.wait()
                log.info("connected to OVSDB", extra={"remote": self._remote})
                self._connection = connection
                self._connected.set()
                self._observer.wake_system()
                await self._keep_alive(connection)
        except* (_ConnectionLost, TimeoutError) as lost:
            reasons = "; ".join(str(error) or "no answer" for error in lost.exceptions)
            log.warning("the connection to OVSDB ended", extra={"remote": self._remote, "error": reasons})
        finally:
            self._connected.clear()
            self._observer.wake_system()
            self._connection = None
            connection.close()
        return monitored.is_set()

    async def _keep_alive(self, connection: _Connection) -> None:
        """Ask for a sign of life when it is quiet: a half-open connection gives none. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        while True:
            idle_s = loop.time() - connection.last_heard_s
            if idle_s < _IDLE_S:
                await asyncio.sleep(_IDLE_S - idle_s)
            else:
                async with asyncio.timeout(self._timeout_s):
                    await connection.call("echo", [])


def parse_remote(remote: str) -> str | tuple[str, int]:
    """A socket's path, or host and port. Raises ValueError."""
    scheme, _, rest = remote.partition(":")
    if scheme == "unix" and rest.startswith("/"):
        return rest
    host, _, port = rest.rpartition(":")
    if scheme == "tcp" and host and port.isascii() and port.isdigit():
        return host.strip("[]"), int(port)
    raise ValueError(f"{remote!r} is no OVSDB remote: write unix:/absolute/path or tcp:host:port")


def parse_results(answer: Mapping[str, Any], operations: Sequence[Operation]) -> list[Mapping[str, Any]]:
    """What RFC 7047's answer to a transaction says. Raises TransactionRefused."""
    if answer.get("error"):
        raise TransactionRefused(str(answer["error"]), "", None)
    results: list[Mapping[str, Any]] = answer["result"]
    for index, result in enumerate(results):
        if result and "error" in result:
            # One more result than operations: the commit itself failed.
            operation = operations[index] if index < len(operations) else None
            raise TransactionRefused(str(result["error"]), str(result.get("details", "")), operation)
    return results
