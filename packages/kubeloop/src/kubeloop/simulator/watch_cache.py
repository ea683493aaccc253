"""A watch cache: what one API server knows of one resource, its recent changes, and who watches it.

It follows the storage at once, unless it is held: then it stands still, as a real one does that lags behind, and
serves what it knows. It begins without history, so a watch from before its beginning is too old; so is one from before
the oldest change that it still has.
"""

from typing import Protocol

from kubeloop.simulator.storage import Change, Storage, Stored

_HISTORY = 100  # changes are kept at least, and
_FRESH_S = 75.0  # those of this time


class Watcher(Protocol):
    """Who watches."""

    def changed(self, change: Change) -> None: ...

    def caught_up(self) -> None:
        """The cache that was held has taken all that it waited for."""


class WatchCache:
    """Of one resource. `start` is the revision at which its server started; `at` what it knows first."""

    def __init__(self, storage: Storage, resource: str, start: int, at: int) -> None:
        self.resource = resource
        self.objects: dict[str, Stored] = dict(storage.objects_at(resource, at))
        self.history: list[Change] = []
        self._storage = storage
        self._oldest = start  # the lowest version from which a watch can go on
        self._held_at: int | None = None
        self._waiting: list[Change] = []
        self._watchers: list[Watcher] = []
        self._sorted: list[str] | None = None

    @property
    def version(self) -> int:
        """The revision up to which it knows everything."""
        return self._storage.told if self._held_at is None else self._held_at

    @property
    def oldest(self) -> int:
        return self._oldest

    def sorted_keys(self) -> list[str]:
        """In the order of etcd: that of the text."""
        if self._sorted is None:
            self._sorted = sorted(self.objects)
        return self._sorted

    def since(self, version: int) -> list[Change]:
        """The changes after `version`, which is not older than `oldest`."""
        history = self.history
        start = len(history)
        while start and history[start - 1].revision > version:
            start -= 1
        return history[start:]

    def follow(self, watcher: Watcher) -> None:
        self._watchers.append(watcher)

    def unfollow(self, watcher: Watcher) -> None:
        self._watchers.remove(watcher)

    def changed(self, change: Change) -> None:
        """What the storage has committed."""
        if self._held_at is None:
            self._take(change)
        else:
            self._waiting.append(change)

    def hold(self) -> None:
        """Stands still."""
        if self._held_at is None:
            self._held_at = self._storage.told

    def release(self) -> None:
        """Catches up, change by change."""
        waiting, self._waiting = self._waiting, []
        for change in waiting:
            self._held_at = change.revision
            self._take(change)
        self._held_at = None
        for watcher in tuple(self._watchers):
            watcher.caught_up()

    def _take(self, change: Change) -> None:
        if change.type == "DELETED":
            del self.objects[change.key]
        else:
            self.objects[change.key] = change.now
        if change.type != "MODIFIED":
            self._sorted = None
        self.history.append(change)
        if len(self.history) > 2 * _HISTORY:
            self._forget(change.at_s)
        for watcher in tuple(self._watchers):
            watcher.changed(change)

    def _forget(self, now_s: float) -> None:
        count = 0
        while count < len(self.history) - _HISTORY and now_s - self.history[count].at_s > _FRESH_S:
            count += 1
        if count:
            self._oldest = self.history[count - 1].revision
            del self.history[:count]
