"""Watches: the stream of one client's events, out of a watch cache.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable

import msgspec

from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.options import ListOptions
from kubeloop.simulator.refusals import Body, Refusal
from kubeloop.simulator.storage import Change, ChangeType, Stored
from kubeloop.simulator.watch_cache import WatchCache

_BOOKMARK_EVERY_S = 60.0
_MOST_UNREAD = 10_000  # lines, beside those it began with, before one more change ends the watch
_BOOKMARK_BEFORE_END_S = 2.0
_DEFAULT_TIMEOUT_S = 1800.0  # the real server chooses between this and twice as much
_END_OF_INITIAL_EVENTS = {"k8s.io/initial-events-end": "true"}


class StreamBroken(Exception):
    """The server ended without a word."""


class WatchStream:
    """An async iterator over lines, for one reader. Ends at its timeout; raises `StreamBroken` after `break_off`.

    It takes up changes as they happen, also before it is read and while nobody reads.
    """

    def __init__(
        self,
        cache: WatchCache,
        kind: Kind,
        namespace: str,
        options: ListOptions,
        closed: Callable[["WatchStream"], None],
    ) -> None:
        self._cache = cache
        self._kind = kind
        self._prefix = f"{namespace}/" if namespace else ""
        self._options = options
        self._closed = closed
        self._lines: deque[bytes] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._ended = False
        self._broken = False
        self._timers: list[asyncio.TimerHandle] = []
        self._initial_until: int | None = None  # the version at which the initial events end
        self._most_unread = sys.maxsize
        self._after = 0  # changes up to this version have been sent, or are not wanted

    @property
    def resource(self) -> str:
        return self._cache.resource

    def open(self, *, initial: bool, version: int, initial_until: int | None) -> None:
        """Begins after `version`, or (`initial`) with what the cache has."""
        cache = self._cache
        if initial:
            self._after = cache.version
            for key in cache.sorted_keys():
                if key.startswith(self._prefix) and self._options.selected(cache.objects[key].body):
                    self._put(b"ADDED", cache.objects[key])
            self._initial_until = initial_until
            self._end_initial_events()
        else:
            self._after = version
            for change in cache.since(version):
                self.changed(change)
        self._most_unread = len(self._lines) + _MOST_UNREAD
        cache.follow(self)
        loop = asyncio.get_running_loop()
        timeout_s = self._options.timeout_s or _DEFAULT_TIMEOUT_S
        self._timers.append(loop.call_later(timeout_s, self.close))
        if self._options.bookmarks:
            self._timers.append(loop.call_later(max(timeout_s - _BOOKMARK_BEFORE_END_S, 0.0), self._bookmark))
            self._timers.append(loop.call_later(_BOOKMARK_EVERY_S, self._bookmark_again))

    def __aiter__(self) -> "WatchStream":
        return self

    async def __anext__(self) -> bytes:
        while not self._lines:
            if self._broken:
                raise StreamBroken
            if self._ended:
                raise StopAsyncIteration
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._lines.popleft()

    def take(self) -> list[bytes]:
        """The lines that can be read without waiting."""
        lines = list(self._lines)
        self._lines.clear()
        return lines

    def close(self) -> None:
        """What was put is still read, then the stream is at its end."""
        if self._ended:
            return
        self._ended = True
        self._cache.unfollow(self)
        for timer in self._timers:
            timer.cancel()
        self._closed(self)
        self._wake()

    def break_off(self) -> None:
        """As when the server dies: what was not read is lost."""
        self._lines.clear()
        self._broken = True
        self.close()

    def fail(self, refusal: Refusal) -> None:
        """Says in an event why it ends; for a stream that was not opened."""
        self._ended = True
        self._lines.append(msgspec.json.encode({"type": "ERROR", "object": refusal.status()}))

    def caught_up(self) -> None:
        """The cache has taken what it waited for."""
        self._end_initial_events()

    def changed(self, change: Change) -> None:
        if change.revision <= self._after or not change.key.startswith(self._prefix):
            return
        kind: ChangeType = change.type
        stored = change.now
        if self._options.selects:
            was = change.before is not None and self._options.selected(change.before.body)
            now = kind != "DELETED" and self._options.selected(change.now.body)
            if not was and not now:
                return
            if was and not now and kind != "DELETED":
                kind, stored = "DELETED", _at_version(change.before, change.revision)
            elif now and not was:
                kind = "ADDED"
        line = change.lines.get((self._kind.api_version, kind))
        if line is None:
            line = _line(kind.encode(), stored.encoded(self._kind))
            change.lines[self._kind.api_version, kind] = line
        if len(self._lines) >= self._most_unread:
            self.close()  # the client does not keep up: it may read what there is, and ask anew
            return
        self._lines.append(line)
        self._end_initial_events()
        self._wake()

    def _put(self, kind: bytes, stored: Stored) -> None:
        self._lines.append(_line(kind, stored.encoded(self._kind)))

    def _end_initial_events(self) -> None:
        if self._initial_until is not None and self._cache.version >= self._initial_until:
            self._initial_until = None
            self._bookmark(_END_OF_INITIAL_EVENTS)

    def _bookmark(self, annotations: dict[str, str] | None = None) -> None:
        if self._initial_until is not None:
            return
        meta: Body = {"resourceVersion": str(self._cache.version)}
        if annotations:
            meta["annotations"] = annotations
        body = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": meta}
        self._lines.append(_line(b"BOOKMARK", msgspec.json.encode(body)))
        self._wake()

    def _bookmark_again(self) -> None:
        self._bookmark()
        self._timers[-1] = asyncio.get_running_loop().call_later(_BOOKMARK_EVERY_S, self._bookmark_again)

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def _line(kind: bytes, encoded: bytes) -> bytes:
    return b'{"type":"%b","object":%b}' % (kind, encoded)


def _at_version(stored: Stored | None, revision: int) -> Stored:
    """The last state that was selected, told at the version at which it ceased to be."""
    assert stored is not None
    body = stored.body
    return Stored({**body, "metadata": {**body["metadata"], "resourceVersion": str(revision)}}, revision)
