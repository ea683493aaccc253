"""The daemon's connection to the simulated ovsdb-server: the `Database` of `OvsdbVswitch`.

As on the real one, transactions are answered in the order they were written, also those whose caller was cancelled,
and what one changed has been observed before its answer. Each passes the gate.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from kuryr.daemon.ovsdb.client import Observer, Operation, TableUpdates, parse_results
from kuryr.daemon.ovsdb.replica import COLUMNS
from kuryr.daemon.vswitch import VswitchUnavailable
from kuryr.simulator.node.gate import Gate
from kuryr.simulator.node.ovsdb.server import OvsdbServer, content, updates
from kuryr.simulator.node.ovsdb.tables import Changes

CONNECT_AGAIN_S = 0.5


class OvsdbConnection:
    """`lag_s` is how long news of others' changes are on their way."""

    def __init__(
        self,
        server: OvsdbServer,
        observer: Observer,
        gate: Gate,
        *,
        lag_s: Callable[[], float],
        timeout_s: float = 5.0,
    ) -> None:
        self._server = server
        self._observer = observer
        self._gate = gate
        self._lag_s = lag_s
        self._timeout_s = timeout_s
        self._connected = asyncio.Event()
        self._lost = asyncio.Event()
        self._written = asyncio.Event()
        self._news = asyncio.Event()
        self._outbox: deque[tuple[tuple[Operation, ...], asyncio.Future[list[Mapping[str, Any]]]]] = deque()
        self._inbox: deque[TableUpdates] = deque()
        self._closing: list[Callable[[], None]] = []

    @property
    def connected(self) -> bool:
        return self._connected.is_set()

    async def wait_connected(self) -> None:
        await self._connected.wait()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._lag_s())
            if self._server.running:
                await self._serve()
            await asyncio.sleep(CONNECT_AGAIN_S)

    async def transact(self, *operations: Operation) -> list[Mapping[str, Any]]:
        """Raises TransactionRefused, VswitchUnavailable."""
        answer: asyncio.Future[list[Mapping[str, Any]]] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._connected.wait()
                self._outbox.append((operations, answer))
                self._written.set()
                results = await answer
        except TimeoutError as error:
            state = "no answer from" if self.connected else "no connection to"
            raise VswitchUnavailable(f"{state} OVSDB within {self._timeout_s:g} s") from error
        return parse_results({"result": results}, operations)

    def close(self) -> None:
        """Its end, also where its process was killed and can do nothing itself."""
        for end in self._closing:
            end()
        self._closing = []

    async def _serve(self) -> None:
        """One connection's life."""
        self._lost.clear()
        self._closing = [self._server.subscribe(self._hear), self._server.connect(self._lost.set)]
        self._observer.reset(content(self._server, COLUMNS))
        self._connected.set()
        self._observer.wake_system()
        try:
            async with asyncio.TaskGroup() as tasks:
                parts = [tasks.create_task(self._send()), tasks.create_task(self._observe())]
                await self._lost.wait()
                for part in parts:
                    part.cancel()
        finally:
            self.close()
            self._connected.clear()
            self._observer.wake_system()
            self._inbox.clear()
            for _, answer in self._outbox:
                _break(answer)
            self._outbox.clear()

    def _hear(self, changes: Changes) -> None:
        told = updates(changes, COLUMNS)
        if told:
            self._inbox.append(told)
            self._news.set()

    async def _observe(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await asyncio.sleep(self._lag_s())
            self._take_news()

    def _take_news(self) -> None:
        while self._inbox:
            self._observer.apply(self._inbox.popleft())

    async def _send(self) -> None:
        while True:
            await self._written.wait()
            self._written.clear()
            while self._outbox:
                operations, answer = self._outbox.popleft()
                try:
                    await self._answer(operations, answer)
                except (ConnectionError, TimeoutError):
                    self._lost.set()
                    return
                finally:
                    _break(answer)

    async def _answer(self, operations: tuple[Operation, ...], answer: asyncio.Future[list[Mapping[str, Any]]]) -> None:
        if not operations:
            results: list[Mapping[str, Any]] = []
        else:
            async with asyncio.timeout(self._timeout_s):
                results = await self._gate(
                    f"OVSDB: {_described(operations)}",
                    lambda: self._server.transact(*operations),
                    changes=any(map(_changes, operations)),
                )
        self._take_news()
        if not answer.done():
            answer.set_result(results)


def _break(answer: "asyncio.Future[list[Mapping[str, Any]]]") -> None:
    if not answer.done():
        answer.set_exception(VswitchUnavailable("the connection to OVSDB broke before its answer"))


def _changes(operation: Operation) -> bool:
    """Asking ovs-vswitchd whether it has acted changes nothing that anybody looks at."""
    if operation["op"] in ("select", "wait", "comment"):
        return False
    return not (operation["op"] == "mutate" and all(name == "next_cfg" for name, _, _ in operation["mutations"]))


def _described(operations: tuple[Operation, ...]) -> str:
    return ", ".join(_one(operation) for operation in operations if operation["op"] != "wait")


def _one(operation: Operation) -> str:
    name = operation.get("row", {}).get("name") or next(
        (clause[2] for clause in operation.get("where", ()) if clause[0] == "name"), ""
    )
    return f"{operation['op']} {operation.get('table', '')} {name}".strip()
