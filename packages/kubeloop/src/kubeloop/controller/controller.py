"""The controller loop: changes are mapped to keys, keys are queued once, workers reconcile them.

Level-triggered: reconcile gets a key, never an event, and reads the stores. It returns `DONE`, or
`Result(requeue_after_s=...)`, or raises. `Terminal` waits until something changes; everything else that is raised comes
again with the key's back-off and delays no other key. Each reconcile has a deadline.

A reconcile sees its own writes: after one that wrote, its key is parked, outside the workers, until the informers that
this controller was given of the written kinds have caught up. Nothing else waits for that.

`run` owns every task that it starts: on return none is left. Not here: the lease, and closing the client (the runtime).
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, Protocol, Self, TypeVar

from kubeloop import tracing
from kubeloop.client import writes
from kubeloop.client.back_off import BackOff
from kubeloop.client.errors import ApiError, NotLeader
from kubeloop.client.writes import Write
from kubeloop.controller.deadline import Deadline
from kubeloop.controller.mapping import Mapping
from kubeloop.controller.work_queue import Priority, QueueClosed, RetryLimit, WorkQueue
from kubeloop.informer.store import Change, Store
from kubeloop.logs import Reconciling, reconciling
from kubeloop.metrics import Metrics
from kubeloop.model.base import KubeObject, ObjectKey, Resource

K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=KubeObject)

log = logging.getLogger(__name__)

_YIELD_EVERY_S = 0.005
_RESYNC_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconcile came to. `requeue_after_s`: look again then, even if nothing changes."""

    requeue_after_s: float | None = None


DONE = Result()


class Retry(Exception):
    """A reconcile cannot go on yet, for a reason that is no fault: logged as a warning, tried again with back-off, and
    counted as `requeue`, not as an error.
    """


class Terminal(Exception):
    """A reconcile failed in a way that no retry can mend: it comes again when something changes, not before."""


class Watched(Protocol[T]):
    """What a controller needs of an informer."""

    @property
    def kind(self) -> type[T]: ...

    @property
    def store(self) -> Store[T]: ...

    def add_handler(self, handler: Callable[[Change[T]], None]) -> Callable[[], None]: ...

    async def wait_synced(self) -> None: ...

    async def caught_up(self, write: Write, timeout_s: float = 10.0) -> None:
        """Returns once the store is at least as new as the write; raises `ApiError` if that cannot be found out."""
        ...


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
        retry_limit: RetryLimit = RetryLimit(),  # noqa: B008 - frozen
        resync_s: float | None = None,
        metrics: Metrics | None = None,
        new_id: Callable[[], str] = lambda: f"{random.getrandbits(32):08x}",
    ) -> None:
        """`name` must be unique in one `Metrics`. With `resync_s` every key that the stores give is queued anew that
        often (spread by a tenth), with low priority. `new_id` names the runs in the logs.
        """
        self.name = name
        self._reconcile = reconcile
        self._workers = workers
        self._deadline_s = deadline_s
        self._stop_grace_s = stop_grace_s
        self._back_off = back_off
        self._resync_s = resync_s
        self._new_id = new_id
        metrics = metrics if metrics is not None else Metrics()
        self._queue: WorkQueue[K] = WorkQueue(back_off, retry_limit=retry_limit, name=name, metrics=metrics)
        self._barriers: list[Callable[[], Awaitable[None]]] = []
        self._mappings: list[Mapping[Any, K]] = []
        self._owing = asyncio.Event()
        self._informers: dict[Resource, list[Watched[Any]]] = {}
        self._measure(metrics)

    def _measure(self, metrics: Metrics) -> None:
        metrics.max_workers.labels(self.name).set(self._workers)
        metrics.active_workers.labels(self.name).set_function(lambda: self._queue.active)
        self._seconds = metrics.reconcile_seconds.labels(self.name)
        self._errors = metrics.reconcile_errors.labels(self.name)
        self._terminal_errors = metrics.terminal_errors.labels(self.name)
        results = ("success", "error", "requeue", "requeue_after")
        self._results = {result: metrics.reconciles.labels(self.name, result) for result in results}

    def for_(
        self: "Controller[ObjectKey]", informer: Watched[T], predicate: Callable[[Change[T]], bool] | None = None
    ) -> "Controller[ObjectKey]":
        """Queues the key of each object that changed, for changes that `predicate` lets through."""
        return self.watches(informer, lambda obj: (obj.key,), predicate=predicate)

    def owns(
        self: "Controller[ObjectKey]",
        informer: Watched[T],
        owner: type[KubeObject],
        predicate: Callable[[Change[T]], bool] | None = None,
    ) -> "Controller[ObjectKey]":
        """Queues the key of the `owner` that is the changed object's controller, as its owner references say.

        An owner of a namespaced kind is in the object's namespace. The reference's API version does not matter: it is
        the one by which the reference was written.
        """
        resource = owner.resource

        def mapper(obj: T) -> Iterable[ObjectKey]:
            for reference in obj.metadata.owner_references:
                group = reference.api_version.rpartition("/")[0]
                if reference.controller and (group, reference.kind) == (resource.group, resource.kind):
                    yield ObjectKey(obj.metadata.namespace if resource.namespaced else "", reference.name)

        return self.watches(informer, mapper, predicate=predicate)

    def watches(
        self,
        informer: Watched[T],
        mapper: Callable[[T], Iterable[K]],
        predicate: Callable[[Change[T]], bool] | None = None,
    ) -> Self:
        """Queues the keys that `mapper` gives for an object's old and new state, for changes that `predicate` lets
        through.

        `mapper` must be pure and quick: a resync calls it too. One that raises, or a predicate, is logged and asked
        again with back-off.
        """
        mapping = Mapping(informer.store, mapper, predicate)

        def handle(change: Change[T]) -> None:
            priority = Priority.LOW if change.initial else Priority.LIVE
            for key in mapping.keys(change):
                self._queue.add(key, priority)
            if mapping.owes:
                self._owing.set()

        informer.add_handler(handle)
        self._barriers.append(informer.wait_synced)
        self._mappings.append(mapping)
        self._informers.setdefault(informer.kind.resource, []).append(informer)
        return self

    def enqueue(self, key: K, *, after_s: float = 0) -> None:
        """The key needs work, now or later."""
        self._queue.add_after(key, after_s)

    async def run(self) -> None:
        """Waits until every watched informer has synced, then works until cancelled; once only.

        On cancellation no new key is taken; running reconciles have `stop_grace_s` to finish, then they are cancelled,
        and awaited. A worker that ends by anything else (a bug, never a reconcile's `Exception`) ends the controller:
        an exception group is raised.
        """
        if self._queue.closing:
            raise RuntimeError(f"controller {self.name} has run already")
        for barrier in self._barriers:
            await barrier()
        log.info("controller started", extra={"controller": self.name, "workers": self._workers})
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._work(group), name=f"{self.name}-{n}") for n in range(self._workers)]
            group.create_task(self._map_again(), name=f"{self.name}-mapping")
            if self._resync_s is not None:
                group.create_task(self._resync(self._resync_s), name=f"{self.name}-resync")
            try:
                # until cancelled: by the caller, or by the group when a worker fails
                await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
                self._queue.close()
                raise RuntimeError(f"a worker of controller {self.name} was cancelled")  # the group would not mind
            except asyncio.CancelledError:
                self._queue.close()
                await asyncio.wait(workers, timeout=self._stop_grace_s)
                raise

    async def _resync(self, every_s: float) -> NoReturn:
        while True:
            await asyncio.sleep(every_s * random.uniform(0.9, 1.1))  # noqa: S311 - not a secret
            for mapping in self._mappings:
                for count, key in enumerate(mapping.all_keys(), 1):
                    self._queue.add(key, Priority.LOW)
                    if not count % _RESYNC_AT_ONCE:
                        await asyncio.sleep(0)

    async def _map_again(self) -> NoReturn:
        """Asks the mappers again that failed."""
        failures = 0
        while True:
            if not any(mapping.owes for mapping in self._mappings):
                failures = 0
                self._owing.clear()
                await self._owing.wait()
            failures += 1
            await asyncio.sleep(self._back_off.delay_s(failures))
            for mapping in self._mappings:
                for key in mapping.keys_owed():
                    self._queue.add(key, Priority.LIVE)

    async def _work(self, group: asyncio.TaskGroup) -> None:
        now = asyncio.get_running_loop().time
        yielded = now()
        with closing(Deadline(self._deadline_s)) as deadline:
            while True:
                try:
                    key = await self._queue.get()
                except QueueClosed:
                    return
                settles = False
                try:
                    settles = await self._attempt(key, group, deadline)
                finally:
                    if not settles:
                        self._queue.done(key)
                if now() - yielded > _YIELD_EVERY_S:
                    await asyncio.sleep(0)  # keys whose reconcile never waits must not keep the loop from all else
                    yielded = now()

    async def _attempt(self, key: K, group: asyncio.TaskGroup, deadline: Deadline) -> bool:
        """One reconcile. True: the key is parked until its writes are seen, and done by whoever waits for them."""
        written: list[Write] = []
        noted = writes.noted.set(written)
        named = reconciling.set(Reconciling(self.name, key, self._new_id()))
        try:
            tracer = tracing.tracer.get()
            if tracer is None:
                await self._judge(key, tracing.NO_SPAN, deadline)
            else:
                with tracer.span("reconcile", controller=self.name, key=str(key)) as span:
                    await self._judge(key, span, deadline)
            unseen = self._unseen(written) if written and not self._queue.closing else {}
            if not unseen:
                return False
            self._queue.park(key)
            group.create_task(self._settle(key, unseen))  # in this context: it logs for this reconcile
            return True
        finally:
            reconciling.reset(named)
            writes.noted.reset(noted)

    async def _judge(self, key: K, span: tracing.Span, deadline: Deadline) -> None:
        now = asyncio.get_running_loop().time
        began = now()
        try:
            with deadline:
                again_s = (await self._reconcile(key)).requeue_after_s  # one that returns None has failed
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            outcome = self._failed(key, error, span)  # something that the reconcile waited for was cancelled, not we
        except TimeoutError as error:
            outcome = self._failed(key, error, span, expected=deadline.expired)
        except Exception as error:  # noqa: BLE001 - one poisoned key must not end the worker
            outcome = self._failed(key, error, span)
        else:
            self._queue.forget(key)
            outcome = "success"
            if again_s is not None:
                outcome = "requeue_after"
                self._queue.add_after(key, again_s, self._queue.priority_of(key))
        self._seconds.observe(now() - began)
        self._results[outcome].inc()
        span.set("result", outcome)

    def _failed(self, key: K, raised: BaseException, span: tracing.Span, *, expected: bool = False) -> str:
        error = _alone(raised)
        if isinstance(error, Retry):
            delay_s = self._queue.add_failed(key)
            log.warning("reconcile cannot go on yet", extra={"again_in_s": round(delay_s, 1), "cause": error})
            return "requeue"
        self._errors.inc()
        span.failed(raised)
        if isinstance(error, Terminal):
            self._terminal_errors.inc()
            self._queue.forget(key)
            log.error("reconcile failed until something changes", extra={"cause": error}, exc_info=raised)
            return "error"
        after_s = error.retry_after_s if isinstance(error, ApiError) else None
        delay_s = self._queue.add_failed(key, at_least_s=after_s or 0.0)
        expected = expected or isinstance(error, NotLeader) or (isinstance(error, ApiError) and error.retryable)
        log.log(
            logging.WARNING if expected else logging.ERROR,
            "reconcile failed",
            extra={"again_in_s": round(delay_s, 1), "cause": repr(error)},
            exc_info=None if expected else raised,
        )
        return "error"

    def _unseen(self, written: list[Write]) -> dict[tuple[Watched[Any], ObjectKey], list[Write]]:
        unseen: dict[tuple[Watched[Any], ObjectKey], list[Write]] = {}
        for write in written:
            for informer in self._informers.get(write.kind.resource, ()):
                of_one = unseen.setdefault((informer, write.key), [])
                if of_one and of_one[-1].deleted == write.deleted:
                    of_one.pop()  # its informer passes it on the way; not so an absence before what was created shows
                of_one.append(write)
        return unseen

    async def _settle(self, key: K, unseen: dict[tuple[Watched[Any], ObjectKey], list[Write]]) -> None:
        async with asyncio.TaskGroup() as group:
            for (informer, _), of_one in unseen.items():
                group.create_task(self._catch_up_all(informer, of_one))
        self._queue.done(key)

    async def _catch_up_all(self, informer: Watched[Any], of_one: list[Write]) -> None:
        for write in of_one:
            await self._catch_up(informer, write)

    async def _catch_up(self, informer: Watched[Any], write: Write) -> None:
        failures = 0
        while True:
            try:
                async with asyncio.timeout(self._deadline_s):
                    await informer.caught_up(write)
                return
            except Exception as error:
                failures += 1
                self._errors.inc()
                delay_s = max(self._back_off.delay_s(failures), getattr(error, "retry_after_s", None) or 0.0)
                log.warning(
                    "cannot see what was written yet",
                    extra={"written": write.key, "again_in_s": round(delay_s, 1), "cause": repr(error)},
                    exc_info=None if isinstance(error, ApiError | TimeoutError) else error,
                )
                await asyncio.sleep(delay_s)


def _alone(error: BaseException) -> BaseException:
    """The error itself, where a reconcile's task group wrapped just one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
