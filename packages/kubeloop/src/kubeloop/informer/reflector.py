"""Follows one collection of the API server: list, watch, resume, relist. An explicit state machine.

States: `Empty` (nothing listed: a list is due), `Listed` (everything up to a version is known: a watch goes on from
there). `step` takes one turn and gives the next state.

- A list is consistent (no resourceVersion): a controller that starts must not decide by a stale cache. Pages of 500
  keep memory low.
- A watch that ends orderly, breaks off or falls silent resumes from the last version seen, bookmarks included: nothing
  is lost.
- 410 in any form (status, ERROR event, expired continue token) leads to `Empty`: one relist, never again the same stale
  version.
- Never back in time: an object or list older than what was seen is not taken. Versions of one resource compare as
  integers (KEP-5504; the API concepts page guarantees it since Kubernetes 1.35, and etcd's revisions made it so
  before).
- Failures wait with jittered exponential back-off, or as long as Retry-After says.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from kubeloop.client import errors
from kubeloop.client.back_off import BackOff
from kubeloop.client.client import WatchEvent
from kubeloop.model.base import KubeObject, ObjectKey
from kubeloop.model.codec import ListPage, Undecodable

T = TypeVar("T", bound=KubeObject)
T_contra = TypeVar("T_contra", bound=KubeObject, contravariant=True)

log = logging.getLogger(__name__)

PAGE = 500


@dataclass(frozen=True, slots=True)
class Empty:
    """A list is due. `least` is the newest version seen so far: an older list is not taken."""

    least: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """Everything up to `version` was delivered."""

    version: str


State = Empty | Listed


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of a collection."""

    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""


class Source(Protocol):
    """What the reflector needs of a client."""

    async def list(
        self,
        kind: type[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_: str = "",
    ) -> ListPage[T]: ...

    def watch(
        self,
        kind: type[T],
        *,
        resource_version: str,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_s: int = 300,
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[T]]]: ...


class Sink(Protocol[T_contra]):
    """Who gets what the reflector learns."""

    def replaced(self, objects: Collection[T_contra], undecodable: Collection[Undecodable], version: str) -> None: ...

    def changed(self, obj: T_contra, version: str) -> None: ...

    def deleted(self, key: ObjectKey, last: T_contra | None, version: str) -> None: ...

    def not_decoded(self, broken: Undecodable) -> None: ...

    def advanced(self, version: str) -> None: ...


class Reflector(Generic[T]):
    """Keeps a `Sink` equal to a collection. `run` ends only by cancellation."""

    def __init__(self, source: Source, kind: type[T], sink: Sink[T], selection: Selection, back_off: BackOff) -> None:
        self._source = source
        self._kind = kind
        self._sink = sink
        self._selection = selection
        self._back_off = back_off
        self.state: State = Empty()
        self._delivered = 0  # events, bookmarks included: what tells progress from spinning

    async def run(self) -> None:
        failures = 0
        while True:
            before = self._delivered
            try:
                await self.step()
                # a watch that ends at once, again and again, must not spin
                failures = 0 if self._delivered > before else failures + 1
                if failures > 1:
                    await self._pause(failures - 1, None)
            except errors.Gone as error:
                log.info("version is gone, listing anew: kind=%s cause=%s", self._kind.__name__, error)
                failures = 0 if self._delivered > before else failures + 1
                self.state = Empty(_number(self.state))
                if failures > 1:
                    await self._pause(failures - 1, None)
            except errors.ApiError as error:
                failures = 1 if self._delivered > before else failures + 1
                log.warning("watch failed, will resume: kind=%s cause=%s", self._kind.__name__, error)
                await self._pause(failures, error.retry_after_s)

    async def step(self) -> None:
        """One list, or one watch until it ends, and the state it leads to; raises `ApiError`, and what came before
        counts.
        """
        if isinstance(self.state, Empty):
            await self._list(self.state)
        else:
            await self._watch(self.state)

    async def _pause(self, failures: int, retry_after_s: float | None) -> None:
        await asyncio.sleep(max(self._back_off.delay_s(failures), retry_after_s or 0))

    async def _list(self, state: Empty) -> None:
        objects: list[T] = []
        undecodable: list[Undecodable] = []
        continue_ = ""
        while True:
            page = await self._source.list(
                self._kind,
                namespace=self._selection.namespace,
                label_selector=self._selection.label_selector,
                field_selector=self._selection.field_selector,
                limit=PAGE,
                continue_=continue_,
            )
            objects += page.items
            undecodable += page.undecodable
            continue_ = page.continue_
            if not continue_:
                break
        listed = Listed(page.resource_version)
        if _number(listed) < state.least:
            raise errors.Unavailable(f"the list at {page.resource_version} is older than {state.least}, which was seen")
        self._sink.replaced(objects, undecodable, page.resource_version)
        self.state = listed

    async def _watch(self, state: Listed) -> None:
        async with self._source.watch(
            self._kind,
            resource_version=state.version,
            namespace=self._selection.namespace,
            label_selector=self._selection.label_selector,
            field_selector=self._selection.field_selector,
            timeout_s=random.randint(300, 600),  # noqa: S311 - spreads the reconnects of many watchers
        ) as events:
            async for event in events:
                reached = Listed(event.resource_version)
                if _number(reached) >= _number(self.state):
                    self._deliver(event)
                    self.state = reached
                self._delivered += 1

    def _deliver(self, event: WatchEvent[T]) -> None:
        version = event.resource_version
        if event.type == "BOOKMARK":
            self._sink.advanced(version)
        elif event.undecodable is not None:
            if event.type == "DELETED":
                self._sink.deleted(event.undecodable.key, None, version)
            else:
                self._sink.not_decoded(event.undecodable)
        elif event.object is not None:
            if event.type == "DELETED":
                self._sink.deleted(event.object.key, event.object, version)
            else:
                self._sink.changed(event.object, version)


def _number(state: State) -> int:
    if isinstance(state, Empty):
        return state.least
    return int(state.version) if state.version.isdigit() else 0
