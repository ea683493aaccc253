"""The controller loop: changes are mapped to keys, keys are queued once, workers reconcile them.

Level-triggered: reconcile gets a key, never an event, and reads the stores. It returns `DONE`, or
`Result(requeue_after_s=...)`, or raises. An `ApiError` that is retryable is a warning, anything else is logged with its
traceback; both come again with the key's back-off, and delay no other key. Each reconcile has a deadline.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from kubeloop.client.back_off import BackOff
from kubeloop.client.errors import ApiError
from kubeloop.controller.work_queue import QueueClosed, WorkQueue
from kubeloop.informer.informer import Informer
from kubeloop.informer.store import Change
from kubeloop.model.base import KubeObject

K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=KubeObject)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconcile came to. `requeue_after_s`: look again then, even if nothing changes."""

    requeue_after_s: float | None = None


DONE = Result()


class Retry(Exception):
    """A reconcile cannot go on yet, for a reason that is no fault: logged as a warning, tried again with back-off."""


class Controller(Generic[K]):
    """One reconcile function, its queue and its workers."""

    def __init__(
        self,
        name: str,
        reconcile: Callable[[K], Awaitable[Result]],
        *,
        workers: int = 4,
        deadline_s: float = 120.0,
        stop_grace_s: float = 5.0,
        back_off: BackOff = BackOff(0.1, 30.0),  # noqa: B008 - frozen
    ) -> None:
        self.name = name
        self._reconcile = reconcile
        self._workers = workers
        self._deadline_s = deadline_s
        self._stop_grace_s = stop_grace_s
        self._queue: WorkQueue[K] = WorkQueue(back_off)
        self._barriers: list[Callable[[], Awaitable[None]]] = []

    def watches(
        self,
        informer: Informer[T],
        mapper: Callable[[T], Iterable[K]],
        *,
        predicate: Callable[[Change[T]], bool] | None = None,
    ) -> Self:
        """Queues the keys that `mapper` gives for an object's old and new state, for changes that `predicate` lets
        through.
        """

        def handle(change: Change[T]) -> None:
            if predicate is not None and not predicate(change):
                return
            for obj in (change.old, change.new):
                if obj is not None:
                    for key in mapper(obj):
                        self._queue.add(key)

        informer.add_handler(handle)
        self._barriers.append(informer.wait_synced)
        return self

    def enqueue(self, key: K, *, after_s: float = 0) -> None:
        """The key needs work, now or later."""
        self._queue.add_after(key, after_s)

    async def run(self) -> None:
        """Waits until every watched informer has synced, then works until cancelled.

        On cancellation no new key is taken; running reconciles have `stop_grace_s` to finish, then they are cancelled.
        """
        for barrier in self._barriers:
            await barrier()
        log.info("controller started: controller=%s workers=%d", self.name, self._workers)
        tasks = [asyncio.create_task(self._work(), name=f"{self.name}-{n}") for n in range(self._workers)]
        try:
            await asyncio.gather(*tasks)
        except asyncio.CancelledError:
            self._queue.close()
            await asyncio.wait(tasks, timeout=self._stop_grace_s)
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            try:
                key = await self._queue.get()
            except QueueClosed:
                return
            try:
                await self._attempt(key)
            finally:
                self._queue.done(key)

    async def _attempt(self, key: K) -> None:
        deadline = asyncio.timeout(self._deadline_s)
        try:
            async with deadline:
                result = await self._reconcile(key)
        except (Retry, ApiError) as error:
            traceback = isinstance(error, ApiError) and not error.retryable
            self._failed(key, error, traceback=traceback)
        except TimeoutError as error:
            self._failed(key, error, traceback=not deadline.expired())
        except Exception as error:  # noqa: BLE001 - one poisoned key must not end the worker
            self._failed(key, error, traceback=True)
        else:
            self._queue.forget(key)
            if result.requeue_after_s is not None:
                self._queue.add_after(key, result.requeue_after_s)

    def _failed(self, key: K, error: Exception, *, traceback: bool) -> None:
        delay_s = self._queue.add_failed(key, at_least_s=getattr(error, "retry_after_s", None) or 0.0)
        log.log(
            logging.ERROR if traceback else logging.WARNING,
            "reconcile failed: controller=%s key=%s again_in_s=%.1f cause=%r",
            self.name,
            key,
            delay_s,
            error,
            exc_info=error if traceback else None,
        )
