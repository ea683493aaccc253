"""The world of one simulated run: storage and API servers, processes, faults, the trace, and one source of chance.

`simulate` sets the loop and all clocks, runs a scenario in a `World`, stops every process in order, and gives the
trace. What fails is a `SimulationFailed`, which has the seed, the decisions and the trace.
"""

import asyncio
import builtins
import contextvars
import gc
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import Any, TypeVar

from kubeloop.client import errors
from kubeloop.client.client import Client
from kubeloop.client.transport import Request, Response
from kubeloop.leader import LeadershipLost
from kubeloop.model.base import KubeObject
from kubeloop.simulator.server import ApiServer
from kubeloop.simulator.storage import Change, Storage
from kubeloop.simulator.transport import SimulatedTransport
from kubeloop.testing.determinism import Clock, determined
from kubeloop.testing.faults import Fault, Faults, NoFaults
from kubeloop.testing.gate import Gate
from kubeloop.testing.incarnation import DidNotStop, Exited, Main, Process
from kubeloop.testing.network import Network
from kubeloop.testing.requests import verb_of
from kubeloop.testing.trace import Line, Trace
from kubeloop.testing.truth import Truth
from kubeloop.testing.virtual_time import START_S, VirtualTimeLoop, owner

T = TypeVar("T", bound=KubeObject)

NO_CHANGE = frozenset(("leases.coordination.k8s.io", "events.events.k8s.io"))
"""Resources that are written while nothing happens, or to tell that it did."""


LONGEST_S = 24 * 3600.0
"""Of a scenario, in virtual time."""


class StillChanging(AssertionError):
    """It never became quiet."""


class SimulationFailed(AssertionError):
    """A run failed; `__cause__` is with what. By `seed` and `decisions` it can be repeated."""

    def __init__(self, seed: int, decisions: Mapping[int, Fault], trace: Trace, error: BaseException) -> None:
        super().__init__(f"seed {seed}, {len(decisions)} faults: {error!r}\n{trace.last(40)}")
        self.seed = seed
        self.decisions = decisions
        self.trace = trace


class World:
    """One run: storage, API servers, processes, faults, trace.

    `client` is the user's hand: no fault happens to it. `backend` is a scenario's own simulated world, `checks` are
    called after each write that took effect.
    """

    def __init__(self, loop: VirtualTimeLoop, *, seed: int, faults: Faults, servers: int = 1) -> None:
        self.loop = loop
        self.seed = seed
        self.faults = faults
        self.random = Random(f"{seed}/world")  # noqa: S311 - repeatable is what it must be
        self.nowhere = contextvars.Context()
        self.trace = Trace()
        self.gate = Gate(faults, self.trace)
        self.storage = Storage(random=Random(f"{seed}/storage"))  # noqa: S311
        self.servers = tuple(ApiServer(self.storage) for _ in range(servers))
        self.network = Network(self, self.servers, Random(f"{seed}/network"))  # noqa: S311
        self.client = Client(_Hand(self, self.servers[0]), field_manager="user")
        self.processes: dict[str, Process] = {}
        self.backend: Any = None
        self.checks: list[Callable[[], None]] = []
        self._truth = Truth(self.storage)
        self.failure: BaseException | None = None
        self._failed = asyncio.Event()
        self._changed_at = loop.time()
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._restarting = 0
        self.storage.subscribe(self._written)

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return self.loop.time() - START_S

    def get(self, kind: type[T], name: str, *, namespace: str = "") -> T | None:
        """The object as the storage has it now, or None. No call: it takes no time and never fails."""
        return self._truth.get(kind, name, namespace=namespace)

    def list(self, kind: type[T], *, namespace: str = "") -> builtins.list[T]:
        """All objects of the kind (and namespace) that there are now, by key. No call either."""
        return self._truth.list(kind, namespace=namespace)

    def start(self, name: str, main: Main, *, reliable: bool = False) -> Process:
        """A process that runs `main`, and is started again when it was killed, or failed as processes may.

        What it fails with otherwise than by an `ApiError` or `LeadershipLost` fails the run. To a `reliable` one no
        fault happens, and its calls are not numbered: for controllers of the cluster's own.
        """
        if name in self._keepers and not self._keepers[name].done():
            raise ValueError(f"a process {name} runs already")
        life = self._begin(name, main, reliable)
        self._keepers[name] = self.loop.create_task(self._keep(life, main), context=self.nowhere)
        return life

    async def stop(self, name: str) -> None:
        """Stops a process in order, for good. Raises `DidNotStop`."""
        self._keepers[name].cancel()
        life = self.processes[name]
        life.end_faults()
        await life.stop()

    def remove(self, name: str) -> None:
        """Kills a process, for good: the machine that it runs on is gone."""
        self._keepers[name].cancel()
        self.processes[name].kill()

    async def quiet(self, *, for_s: float = 35.0, within_s: float = 1800.0) -> None:
        """Returns when faults are over and nothing has changed `for_s`: longer than any back-off, and than a lease.

        That is: no write took effect (but for leases and Events), no process started or ended, no call is under way, no
        fault goes on. Raises `StillChanging` after `within_s`.
        """
        if self.faults.until_s == float("inf"):
            raise RuntimeError("it is never quiet in a step of a scenario: faults strike until after the last one")
        began = self.now
        while True:
            calm_at = max(self._changed_at + for_s, self.faults.until_s + START_S)
            if self.loop.time() >= calm_at and not self.network.busy and not self._restarting:
                return
            if self.now - began > within_s:
                raise StillChanging(f"still changing after {within_s / 60:g} minutes:\n{self.trace.last(30)}")
            await asyncio.sleep(max(calm_at - self.loop.time(), 1.0))

    def note(self, who: Process | None, what: str) -> None:
        """A line of the trace that is no call."""
        self.trace.add(Line(self.now, str(who) if who is not None else "", what))

    def changed(self) -> None:
        """Something happened: it is not quiet, and what must always hold is checked."""
        self._changed_at = self.loop.time()
        for check in self.checks:
            check()

    def restless(self) -> None:
        """A fault is over: what that leads to takes its time."""
        self._changed_at = self.loop.time()

    def fail(self, error: BaseException) -> None:
        """Ends the run with this, unless it has failed already; also for code that may not raise."""
        self.failure = self.failure or error
        self._failed.set()

    def _begin(self, name: str, main: Main, reliable: bool) -> Process:
        before = self.processes.get(name)
        life = Process(self, name, before.incarnation + 1 if before else 1, reliable=reliable)
        self.processes[name] = life
        self.changed()
        life.run(main)
        return life

    async def _keep(self, life: Process, main: Main) -> None:
        while True:
            await life.over.wait()
            self.changed()
            if not life.dead:
                if life.error is not None and not _may_happen(life.error):
                    self.fail(life.error)
                if life.stopping or not await self._ended_whole(life) or life.error is None:
                    return
            self._restarting += 1
            try:
                await asyncio.sleep(life.restart_s)
            finally:
                self._restarting -= 1
            life = self._begin(life.name, main, life.reliable)

    async def _ended_whole(self, life: Process) -> bool:
        """Its main has ended; what else it has started ends too, or the run fails."""
        try:
            await life.end_rest()
        except DidNotStop as error:
            self.fail(error)
        return self.failure is None

    def _written(self, change: Change) -> None:
        if change.resource not in NO_CHANGE:
            self.changed()

    def unhandled(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The loop's exception handler: what nobody caught fails the run, but for dead processes'."""
        task = context.get("task") or context.get("future")
        who = getattr(task, "owner", None) or owner.get()
        if who is None or not who.dead:
            self.fail(context.get("exception") or RuntimeError(context["message"]))

    async def run(self, scenario: Callable[["World"], Coroutine[Any, Any, None]]) -> None:
        """The whole run. Raises what it failed with."""
        steps = self.loop.create_task(scenario(self), name="scenario")
        failed = self.loop.create_task(self._failed.wait())
        await asyncio.wait((steps, failed), return_when=asyncio.FIRST_COMPLETED, timeout=LONGEST_S)
        if self.failure is None:
            if not steps.done():
                raise StillChanging(f"the scenario has not come to its end within {LONGEST_S / 3600:g} hours")
            await steps
            await self._stop_all()
        if self.failure is not None:
            raise self.failure

    async def _stop_all(self) -> None:
        for name in self.processes:
            try:
                await self.stop(name)
            except DidNotStop as error:
                self.fail(error)


class _Hand(SimulatedTransport):
    """The user's: what it writes is in the trace."""

    def __init__(self, world: World, server: ApiServer) -> None:
        super().__init__(server, user_agent="user")
        self._world = world

    async def request(self, request: Request, *, timeout_s: float) -> Response:
        """See `Transport.request`."""
        answer = "refused"
        try:
            response = await super().request(request, timeout_s=timeout_s)
            answer = str(response.status)
            return response
        except errors.ApiError as error:
            answer = str(error.status)
            raise
        finally:
            if request.method != "GET":
                self._world.note(None, f"user: {verb_of(request)} {request.path} -> {answer}")


def _may_happen(error: BaseException) -> bool:
    """Processes end by it when the cluster is in trouble, and are started again."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_may_happen, error.exceptions))
    return isinstance(error, errors.ApiError | LeadershipLost | Exited)


def simulate(
    scenario: Callable[[World], Coroutine[Any, Any, None]],
    *,
    seed: int,
    faults: Faults | None = None,
    servers: int = 1,
) -> Trace:
    """Runs a scenario in a world of its own, in virtual time, and then stops every process in order.

    Everything follows from the seed and the faults. Raises `SimulationFailed`.
    """
    with determined(seed) as clock:
        # in a function of its own: what is left of the run when that returns is collected at the end of `determined`
        trace, decisions, failure = _simulate(
            scenario, clock, seed, faults if faults is not None else NoFaults(), servers
        )
    if failure is not None:
        raise SimulationFailed(seed, decisions, trace, failure) from failure
    return trace


def _simulate(
    scenario: Callable[[World], Coroutine[Any, Any, None]], clock: Clock, seed: int, faults: Faults, servers: int
) -> tuple[Trace, Mapping[int, Fault], BaseException | None]:
    loop = VirtualTimeLoop(on_move=clock.moved)
    world = World(loop, seed=seed, faults=faults, servers=servers)
    loop.set_exception_handler(world.unhandled)
    failure: BaseException | None
    try:
        loop.run_until_complete(world.run(scenario))
        gc.collect()  # exceptions that nobody retrieved are told when their task goes
        failure = world.failure or loop.misuse
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told with the trace
        failure = error
    finally:
        loop.bury()
        loop.close()
    return world.trace, world.gate.decisions, failure
