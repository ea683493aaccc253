"""Who waits for a key to change or a version to be reached: woken by the watch, without polling.

Waking is not a promise: a waiter looks again at what it waits for.
"""

import asyncio
import heapq

from kubeloop.model.base import ObjectKey


class Waiting:
    """The waiters of one informer."""

    def __init__(self) -> None:
        self._by_key: dict[ObjectKey, dict[asyncio.Future[None], None]] = {}  # woken in the order in which they came
        # ordered by version; who has left otherwise stays until its version is reached
        self._by_version: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tickets = 0  # no two entries compare by their futures

    @property
    def for_keys(self) -> bool:
        """Somebody waits for a key: what is not to be asked for need not be named."""
        return bool(self._by_key)

    async def wait(self, key: ObjectKey, version: int = 0) -> None:
        """Until the object of `key` changes or, if given, `version` is reached."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._by_key.setdefault(key, {})
        waiting[woken] = None
        if version:
            self._tickets += 1
            heapq.heappush(self._by_version, (version, self._tickets, woken))
        try:
            await woken
        finally:
            del waiting[woken]
            if not waiting and self._by_key.get(key) is waiting:
                del self._by_key[key]

    def changed(self, key: ObjectKey) -> None:
        """Wakes who waits for this key."""
        for woken in self._by_key.get(key, ()):
            if not woken.done():
                woken.set_result(None)

    def reached(self, version: int) -> None:
        """Wakes who waits for this version or an older one."""
        while self._by_version and self._by_version[0][0] <= version:
            woken = heapq.heappop(self._by_version)[2]
            if not woken.done():
                woken.set_result(None)
