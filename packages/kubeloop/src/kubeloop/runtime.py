"""The runtime: client, informers, controllers, leader election, Events and the health server, wired and run in order.

Start: informers list and follow; when all have synced this process stands for the lease (where there is one); with the
lease, Events are sent, the informers list once more, one after the other in the order in which they were made, so that
nobody acts by a store from before the last leader's end, `before_leading` runs, then controllers and leading parts. So
a standby has warm stores, full queues, and keeps its Events until it may write them.
Stop, on cancellation: controllers finish or are cancelled, their last Events are sent, the lease is released, then
informers and the server end. A part that fails ends everything: a process that half works is worse than one that is
started again.

The runtime decides nothing about Kubernetes; whoever wants another wiring uses the parts themselves.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from kubeloop import tracing
from kubeloop.client.back_off import BackOff
from kubeloop.client.client import Client, connect
from kubeloop.client.config import ClusterConfig
from kubeloop.client.definitions import ensure_definitions
from kubeloop.client.fence import Fence
from kubeloop.client.transport import Cluster
from kubeloop.controller.controller import Controller, Result
from kubeloop.controller.work_queue import RetryLimit
from kubeloop.events import EventRecorder, ObjectReference
from kubeloop.informer.informer import Informer
from kubeloop.informer.store import Indexer
from kubeloop.leader import LeaderElection, LeadershipLost, unique_identity
from kubeloop.metrics import Metrics
from kubeloop.model.base import KubeObject
from kubeloop.model.codec import Undecodable
from kubeloop.serving import Serving

K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=KubeObject)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeaseName:
    """Which Lease the replicas of a controller contend for."""

    namespace: str
    name: str


Part = Callable[[], Coroutine[Any, Any, None]]
"""Something that runs until it is cancelled: `controller.run`, for example."""


class Runtime:
    """What one process runs. Made by `open_runtime`; add informers and controllers, then `run`, once.

    `serving` takes health checks of your own; None where nothing is served.
    """

    def __init__(
        self,
        client: Client,
        recorder: EventRecorder,
        metrics: Metrics,
        *,
        unfenced: Client | None = None,
        election: LeaderElection | None = None,
        serving: Serving | None = None,
        tracer: tracing.Tracer | None = None,
    ) -> None:
        self.client = client
        self._unfenced = unfenced if unfenced is not None else client
        self.recorder = recorder
        self.metrics = metrics
        self._election = election
        self.serving = serving
        self._tracer = tracer
        self._informers: list[Informer[Any]] = []
        self._leading: list[Part] = []
        self._always: list[Part] = []
        self._before: list[Part] = []
        self._running = False

    @property
    def fence(self) -> Fence:
        """For writes to anything else than the cluster: ask it right before each, and it raises `NotLeader` when this
        process does not lead (any more). The client's own writes are fenced by it.
        """
        return self._election if self._election is not None else _Open()

    async def ensure_definitions(self, *kinds: type[KubeObject], allow_breaking: bool = False) -> None:
        """Makes the server serve these kinds, before anybody leads: the informers wait for them, and every replica
        applies the same. Raises as `kubeloop.ensure_definitions`.
        """
        await ensure_definitions(self._unfenced, kinds, allow_breaking=allow_breaking)

    def informer(
        self,
        kind: type[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexers: Mapping[str, Indexer[T]] | None = None,
        transform: Callable[[T], T] | None = None,
    ) -> Informer[T]:
        """An informer that runs with us. Share one among controllers: each costs a watch and a store.

        A new leader lists anew in the order in which its informers were made: what is first written to one kind, and
        then taken away from another, is not missed if the other's informer is made first.
        """
        self._must_not_run()
        informer = Informer(
            self.client,
            kind,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            indexers=indexers,
            transform=transform,
            metrics=self.metrics,
            on_undecodable=self._tell_undecodable(kind),
        )
        self._informers.append(informer)
        return informer

    def controller(
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
    ) -> Controller[K]:
        """A controller that works while this process leads. See `Controller` for the options and what they promise."""
        controller = Controller(
            name,
            reconcile,
            workers=workers,
            deadline_s=deadline_s,
            stop_grace_s=stop_grace_s,
            resync_s=resync_s,
            back_off=back_off,
            retry_limit=retry_limit,
            metrics=self.metrics,
        )
        self.lead_with(controller.run)
        return controller

    def lead_with(self, part: Part) -> None:
        """Runs `part` while this process leads."""
        self._must_not_run()
        self._leading.append(part)

    def before_leading(self, part: Part) -> None:
        """Awaited with the lease in hand and all stores in sync, before any controller works; in the order added."""
        self._must_not_run()
        self._before.append(part)

    def run_with(self, part: Part) -> None:
        """Runs `part` from start to stop, whoever leads."""
        self._must_not_run()
        self._always.append(part)

    async def run(self) -> None:
        """Until cancelled, or until all leading parts, if there are any, have returned. All that it starts has ended
        then.

        Raises `LeadershipLost`, after which the process must end, or what a part failed with: as it is, not in an
        exception group, unless several failed.
        """
        self._must_not_run()
        self._running = True
        failures: BaseExceptionGroup[BaseException] | None = None
        before = tracing.tracer.get()
        tracing.tracer.set(self._tracer or before)  # what is started from here inherits it
        try:
            await self._run()
        except BaseExceptionGroup as error:
            failures = error
        finally:
            tracing.tracer.set(before)
        if failures is not None:
            raise _foremost(failures)

    async def _run(self) -> None:
        parts: list[Part] = [*(one.run for one in self._informers), *self._always]
        if self.serving is not None:
            self.serving.add_readiness_check("informers", self._why_not_synced)
            parts.append(self.serving.run)
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(part()) for part in parts]
            for informer in self._informers:
                await informer.wait_synced()
            if self._election is None:
                await self._lead()
            else:
                await self._election.run(self._lead)
            for task in background:
                task.cancel()

    def _must_not_run(self) -> None:
        if self._running:
            raise RuntimeError("this runtime runs, or has run, already")

    def _why_not_synced(self) -> str | None:
        missing = [informer.kind.__name__ for informer in self._informers if not informer.synced]
        return f"waiting for the first list of {', '.join(missing)}" if missing else None

    async def _lead(self) -> None:
        async with asyncio.TaskGroup() as outer:
            # Here, not with the informers: the fence lets nobody else write Events, and the last ones are sent, after
            # the controllers' end, before the lease is released.
            recording = outer.create_task(self.recorder.run())
            if self._election is not None:
                await self._list_anew()
            for part in self._before:
                await part()
            async with asyncio.TaskGroup() as group:
                for part in self._leading:
                    group.create_task(part())
                if not self._leading:
                    await asyncio.Event().wait()
            recording.cancel()

    async def _list_anew(self) -> None:
        """Our stores may not show what the last leader wrote: a dead watch is not noticed at once."""
        for informer in self._informers:
            await informer.list_anew()

    def _tell_undecodable(self, kind: type[KubeObject]) -> Callable[[Undecodable], None]:
        def tell(broken: Undecodable) -> None:
            resource = kind.resource
            regarding = ObjectReference(
                api_version=resource.api_version,
                kind=resource.kind,
                namespace=broken.key.namespace,
                name=broken.key.name,
                uid=broken.uid,
            )
            note = f"left alone, since it cannot be read: {broken.problem}"
            self.recorder.event(regarding, type="Warning", reason="NotDecodable", action="Decode", note=note)

        return tell


class _Open:
    """The fence of who stands for no lease."""

    def check(self) -> None:
        """Never refuses."""


def _foremost(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """What to raise: the lost leadership, else the only failure, else all of them."""
    lost, others = failures.split(LeadershipLost)
    if lost is not None and others is not None:
        log.error("failed while leadership was lost", exc_info=others)
    error: BaseException = failures if lost is None else lost
    while isinstance(error, BaseExceptionGroup) and (lost is not None or len(error.exceptions) == 1):
        error = error.exceptions[0]
    return error


@asynccontextmanager
async def open_runtime(
    config: ClusterConfig | Cluster,
    *,
    name: str,
    user_agent: str = "",
    lease: LeaseName | None = None,
    serve_on: tuple[str, int] | None = None,
    metrics: Metrics | None = None,
    tracer: tracing.Tracer | None = None,
    timeout_s: float = 30.0,
) -> AsyncIterator[Runtime]:
    """A runtime on the cluster of `config`; its connections are closed on exit.

    `name` is the controller's: field manager, user agent and reporter of Events. With a `lease` only one replica works
    at a time, and the client's writes are fenced by it. `serve_on` is host and port of /metrics, /healthz and /readyz.
    Reconciles, and the requests of all that `Runtime.run` starts, are spans of the `tracer`.
    """
    metrics = metrics or Metrics()
    agent, identity = user_agent or name, unique_identity()
    async with AsyncExitStack() as stack:
        election = unfenced = None
        if lease is not None:
            # a client of its own, without fence: the lease must be written when nothing else may
            unfenced = await stack.enter_async_context(
                connect(config, user_agent=agent, field_manager=name, timeout_s=timeout_s, metrics=metrics)
            )
            election = LeaderElection(
                unfenced, namespace=lease.namespace, name=lease.name, identity=identity, metrics=metrics
            )
        client = await stack.enter_async_context(
            connect(config, user_agent=agent, field_manager=name, timeout_s=timeout_s, metrics=metrics, fence=election)
        )
        recorder = EventRecorder(client, reporting_controller=name, reporting_instance=identity, metrics=metrics)
        serving = Serving(*serve_on, metrics=metrics) if serve_on is not None else None
        yield Runtime(client, recorder, metrics, unfenced=unfenced, election=election, serving=serving, tracer=tracer)


async def until_signalled(part: Coroutine[Any, Any, None]) -> None:
    """Runs `part` until it ends, or until SIGTERM or SIGINT, which cancel it; then waits for its orderly stop. A second
    signal cuts that short. Raises what `part` raises.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(part)
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        ours = asyncio.current_task()
        if not stopped or (ours is not None and ours.cancelling()):
            raise
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
