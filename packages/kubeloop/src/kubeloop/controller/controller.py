"""The controller loop: changes are mapped to keys, keys are queued once, workers reconcile them.

Level-triggered: reconcile gets a key, never an event, and reads the stores. It returns `DONE` or
`Result(requeue_after_s=...)`, or raises: `Retry` for what is no fault, `Terminal` for what no repetition mends, an
`ApiError` or anything else for a failure. All but `Terminal` come again with the key's back-off and delay no other key.

A reconcile sees what its predecessor wrote: after one that wrote, its key is parked (its worker is free for others)
until every informer of ours that holds the written kind shows the write. Events of that time bring the key again.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, Self, TypeVar

from kubeloop.client.back_off import BackOff
from kubeloop.client.errors import ApiError
from kubeloop.client.writes import Write, noted
from kubeloop.controller.predicates import Predicate
from kubeloop.controller.work_queue import Priority, QueueClosed, RetryLimit, WorkQueue
from kubeloop.informer.informer import Informer
from kubeloop.informer.store import Change
from kubeloop.logs import Reconciling, reconciling
from kubeloop.metrics import Metrics
from kubeloop.model.base import KubeObject, ObjectKey
from kubeloop.tracing import Span, span

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


class Terminal(Exception):
    """A reconcile cannot succeed with the object as it is: logged as an error, left until something changes."""


class Controller(Generic[K]):
    """One reconcile function, its queue and its workers. Say what it looks at, then `run` it, once."""

    def __init__(
        self,
        name: str,
        reconcile: Callable[[K], Awaitable[Result]],
        *,
        workers: int = 4,
        deadline_s: float = 120.0,
        stop_grace_s: float = 5.0,
        resync_s: float | None = None,
        back_off: BackOff = BackOff(0.1, 30.0),  # noqa: B008 - frozen
        retry_limit: RetryLimit = RetryLimit(),  # noqa: B008 - frozen
        own_writes_s: float = 10.0,
        metrics: Metrics | None = None,
    ) -> None:
        """`deadline_s` bounds one reconcile, `own_writes_s` the wait for its writes to show before they are read live;
        every `resync_s`, about, all objects of `for_` are looked at again, with low priority.
        """
        self.name = name
        self._reconcile = reconcile
        self._workers = workers
        self._deadline_s = deadline_s
        self._stop_grace_s = stop_grace_s
        self._resync_s = resync_s
        self._own_writes_s = own_writes_s
        metrics = metrics if metrics is not None else Metrics()
        self._queue: WorkQueue[K] = WorkQueue(back_off, retry_limit=retry_limit, name=name, metrics=metrics)
        self._informers: list[Informer[Any]] = []
        self._own: list[Callable[[], Iterable[K]]] = []
        self._parked: set[asyncio.Task[None]] = set()
        self._numbers = count(1)
        self._measure(metrics)

    def _measure(self, metrics: Metrics) -> None:
        self._results = {
            result: metrics.reconciles.labels(self.name, result)
            for result in ("success", "requeue", "requeue_after", "error")
        }
        self._errors = metrics.reconcile_errors.labels(self.name)
        self._terminal_errors = metrics.terminal_errors.labels(self.name)
        self._seconds = metrics.reconcile_seconds.labels(self.name)
        metrics.max_workers.labels(self.name).set(self._workers)
        metrics.active_workers.labels(self.name).set_function(lambda: self._queue.active)

    def for_(
        self: "Controller[ObjectKey]", informer: Informer[T], *, predicate: Predicate | None = None
    ) -> "Controller[ObjectKey]":
        """Reconciles the informer's objects, by their keys."""
        self._own.append(lambda: [obj.key for obj in informer.store.list()])
        return self.watches(informer, lambda obj: (obj.key,), predicate=predicate)

    def owns(
        self: "Controller[ObjectKey]",
        informer: Informer[T],
        owner: type[KubeObject],
        *,
        predicate: Predicate | None = None,
    ) -> "Controller[ObjectKey]":
        """Reconciles the `owner` that controls an object of the informer: its controller reference, of any version."""
        return self.watches(informer, lambda obj: controlled_by(obj, owner), predicate=predicate)

    def watches(
        self, informer: Informer[T], mapper: Callable[[T], Iterable[K]], *, predicate: Predicate | None = None
    ) -> Self:
        """Queues the keys that `mapper` gives for an object's old and new state, for changes that `predicate` lets
        through. What was there before us is queued with low priority.
        """

        def handle(change: Change[T]) -> None:
            if predicate is not None and not predicate(change):
                return
            priority = Priority.LOW if change.initial else Priority.LIVE
            for obj in (change.old, change.new):
                if obj is not None:
                    for key in mapper(obj):
                        self._queue.add(key, priority)

        informer.add_handler(handle)
        self._informers.append(informer)
        return self

    def enqueue(self, key: K, *, after_s: float = 0) -> None:
        """The key needs work, now or later."""
        self._queue.add_after(key, after_s)

    async def run(self) -> None:
        """Waits until every informer it looks at has synced, then works until cancelled.

        On cancellation no new key is taken; running reconciles have `stop_grace_s` to finish, then they are cancelled.
        """
        for informer in self._informers:
            await informer.wait_synced()
        log.info("controller started: controller=%s workers=%d", self.name, self._workers)
        tasks = [asyncio.create_task(self._work(), name=f"{self.name}-{n}") for n in range(self._workers)]
        resync = asyncio.create_task(self._resync(), name=f"{self.name}-resync")
        try:
            ended, _ = await asyncio.wait(
                tasks, return_when=asyncio.FIRST_COMPLETED
            )  # gather would cancel them at once
            for task in ended:
                task.result()
        except asyncio.CancelledError:
            self._queue.close()
            await asyncio.wait(tasks, timeout=self._stop_grace_s)
            raise
        finally:
            self._queue.close()
            left = [*tasks, resync, *self._parked]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _resync(self) -> None:
        while self._resync_s is not None:
            await asyncio.sleep(self._resync_s * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
            for keys in self._own:
                for key in keys():
                    self._queue.add(key, Priority.LOW)

    async def _work(self) -> None:
        while True:
            try:
                key = await self._queue.get()
            except QueueClosed:
                return
            writes: list[Write] = []
            token = noted.set(writes)
            try:
                await self._attempt(key)
            finally:
                noted.reset(token)
                self._finish(key, writes)

    def _finish(self, key: K, writes: list[Write]) -> None:
        """The key is done, or parked until the informers show what was written."""
        waits = [
            informer.caught_up(write, self._own_writes_s)
            for write in writes
            for informer in self._informers
            if informer.kind.resource == write.kind.resource
        ]
        if not waits:
            self._queue.done(key)
            return
        self._queue.park(key)
        task = asyncio.create_task(self._wait_for_writes(key, waits), name=f"{self.name}-writes")
        self._parked.add(task)
        task.add_done_callback(self._parked.discard)

    async def _wait_for_writes(self, key: K, waits: list[Any]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for wait in waits:
                    group.create_task(wait)
        except* ApiError as group_error:
            # nobody may decide by a store that lacks our own write: the live read is tried again with the key
            self._failed(key, group_error.exceptions[0], traceback=False)
        finally:
            self._queue.done(key)

    async def _attempt(self, key: K) -> None:
        token = reconciling.set(Reconciling(self.name, key, f"{next(self._numbers):x}"))
        began = asyncio.get_running_loop().time()
        try:
            with span("reconcile", controller=self.name, key=str(key)) as made:
                await self._reconcile_once(key, made)
        finally:
            self._seconds.observe(asyncio.get_running_loop().time() - began)
            reconciling.reset(token)

    async def _reconcile_once(self, key: K, made: Span) -> None:
        deadline = asyncio.timeout(self._deadline_s)
        try:
            async with deadline:
                result = await self._reconcile(key)
        except Terminal as error:
            made.failed(error)
            self._results["error"].inc()
            self._terminal_errors.inc()
            self._queue.forget(key)
            log.error("reconcile gave up until something changes: cause=%s", error)  # noqa: TRY400 - no fault of code
        except Retry as error:
            self._results["requeue"].inc()
            self._again(key, error, traceback=False)
        except Exception as error:  # noqa: BLE001 - one poisoned key must not end the worker
            made.failed(error)
            expected = isinstance(error, ApiError) and error.retryable
            self._failed(key, error, traceback=not expected and not deadline.expired())
        else:
            self._queue.forget(key)
            self._results["success" if result.requeue_after_s is None else "requeue_after"].inc()
            if result.requeue_after_s is not None:
                self._queue.add_after(key, result.requeue_after_s)

    def _failed(self, key: K, error: Exception, *, traceback: bool) -> None:
        self._results["error"].inc()
        self._errors.inc()
        self._again(key, error, traceback=traceback)

    def _again(self, key: K, error: Exception, *, traceback: bool) -> None:
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


def controlled_by(obj: KubeObject, owner: type[KubeObject]) -> tuple[ObjectKey, ...]:
    """The key of the `owner` that is the object's controller, if one is; versions of one group are one kind."""
    namespace = obj.metadata.namespace if owner.resource.namespaced else ""
    return tuple(
        ObjectKey(namespace, reference.name)
        for reference in obj.metadata.owner_references
        if reference.controller
        and reference.kind == owner.resource.kind
        and reference.api_version.rpartition("/")[0] == owner.resource.group
    )
