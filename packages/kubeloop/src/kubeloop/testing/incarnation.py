"""A simulated process, one incarnation of it: all that its main has started, however deep, is its.

- `kill`: from that instant nothing of it runs, no `finally` and no shielded task, as after SIGKILL. What of it still
  waits is cleared away when the run is over and nobody looks any more.
- `stop`: in order, as SIGTERM does to a program that runs `until_signalled`: its main is cancelled. When that has ended
  its other tasks are cancelled, as `asyncio.run` does. What does not end in time has swallowed its cancellation:
  `DidNotStop`.
- `pause`: it does not run, while time passes, as between SIGSTOP and SIGCONT.
"""

import asyncio
import contextvars
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from kubeloop.client.fence import Fence
from kubeloop.client.transport import Transport
from kubeloop.metrics import Metrics
from kubeloop.testing.faults import Fault, FaultKind
from kubeloop.testing.virtual_time import Owner, VirtualTimeLoop, owner, tasks_of

if TYPE_CHECKING:
    from kubeloop.testing.world import World

Main = Callable[["Process"], Coroutine[Any, Any, None]]
"""What a process runs: it is given itself, as its `Cluster`."""

GRACE_S = 30.0
"""What Kubernetes gives a pod by default between SIGTERM and SIGKILL."""


class DidNotStop(AssertionError):
    """A process was told to stop and did not end: something has swallowed its cancellation."""


class Exited(Exception):
    """A process ended itself with a code that is not 0."""


class Process(Owner):
    """One incarnation of a program, and all that its main has started. It is the `Cluster` that its main is given;
    `incarnation` counts those of its name, from 1.
    """

    def __init__(self, world: "World", name: str, incarnation: int, *, reliable: bool) -> None:
        super().__init__(name)
        self.world = world
        self.incarnation = incarnation
        self.reliable = reliable
        self.restart_s = 1.0
        self.cut_off_until = 0.0  # by the loop's clock
        self.paused = False
        self.stopping = False
        self.over = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.error: BaseException | None = None  # with which its main has ended
        self._loop = cast(VirtualTimeLoop, asyncio.get_running_loop())
        self._context = contextvars.Context()
        self._context.run(owner.set, self)

    def __str__(self) -> str:
        return f"{self.name}#{self.incarnation}"

    def transport(self, *, user_agent: str, fence: Fence | None, metrics: Metrics | None) -> Transport:
        """See `kubeloop.Cluster`: through the simulated network."""
        return self.world.network.transport(self, fence, user_agent)

    def run(self, main: Main) -> None:
        """Begins its life."""
        self.world.note(self, "starts")
        self.task = self._loop.create_task(self._run(main), name=str(self), context=self._context)
        self.task.add_done_callback(self._ended, context=self.world.nowhere)

    async def _run(self, main: Main) -> None:
        try:
            await main(self)
        except SystemExit as error:  # of this simulated process, not of ours
            if error.code:
                raise Exited(f"exits: {error.code}") from None

    @property
    def alive(self) -> bool:
        """It was not killed, and its main has not ended."""
        return not self.over.is_set()

    @property
    def cut_off(self) -> bool:
        """Nothing of it reaches the API now."""
        return self._loop.time() < self.cut_off_until

    def kill(self, *, restart_s: float = 1.0) -> None:
        """Nothing of it runs from now on; its next incarnation starts after `restart_s`."""
        if not self.alive:
            return
        self.world.note(self, "killed")
        self.restart_s = restart_s
        self._loop.kill(self)
        self.over.set()
        self.world.network.forget(self)

    def pause(self, seconds: float) -> None:
        """Nothing of it runs for `seconds`."""
        if not self.alive or self.paused:
            return
        self.world.note(self, f"paused for {seconds:g} s")
        self.halted = self.paused = True
        self.world.network.lasts(seconds, self._go_on)

    def isolate(self, seconds: float) -> None:
        """Nothing of it reaches the API, and nothing comes back, for `seconds`."""
        self.world.note(self, f"cut off for {seconds:g} s")
        self.cut_off_until = max(self.cut_off_until, self._loop.time() + seconds)
        self.world.network.cut(self, seconds)

    async def stop(self, *, grace_s: float = GRACE_S) -> None:
        """Until it has ended in order. Raises `DidNotStop` after `grace_s`, and it is killed."""
        if not self.alive or self.task is None:
            return
        self.world.note(self, "told to stop")
        self.stopping = True
        self._go_on()
        self._loop.call_soon(self.signal_handlers.get(signal.SIGTERM, self.task.cancel), context=self._context)
        ends_at = self._loop.time() + grace_s
        try:
            async with asyncio.timeout_at(ends_at):
                await self.over.wait()
        except TimeoutError:
            self._out_of_time(grace_s)
        if not self.dead:  # it may be killed while it stops
            await self.end_rest(grace_s=ends_at - self._loop.time())

    @asynccontextmanager
    async def effect(self, what: str, *, changes: bool = True) -> AsyncIterator[Fault | None]:
        """The gate of other simulated back ends: `async with process.effect("POST /ports") as fault: ...`; a call that
        only reads `changes` nothing. `backends` has all of a call.

        The body is one step, without `await`, does what `fault` says, as far as it knows such faults, and tells
        `World.changed` what it changed. Kills are done here. Of a dead process nothing gets here.
        """
        _, fault, line = self.world.gate.passed(self, "effect" if changes else "read", what, changes=changes)
        if fault is not None and fault.kind is FaultKind.KILL_BEFORE:
            self.kill(restart_s=fault.seconds)
            await self.never()
        yield fault
        line.answer = line.answer or "done"
        if fault is not None and fault.kind is FaultKind.KILL_AFTER:
            self.kill(restart_s=fault.seconds)
            await self.never()
        if fault is not None and fault.kind is FaultKind.PAUSE:
            self.pause(fault.seconds)
            await asyncio.sleep(0)

    async def never(self) -> None:
        """Where the code of a killed process stands."""
        await self._loop.create_future()

    def end_faults(self) -> None:
        """It runs, and reaches the API."""
        self.cut_off_until = 0.0
        self._go_on()

    def _go_on(self) -> None:
        if self.paused and not self.dead:
            self.paused = False
            self.world.note(self, "goes on")
            self._loop.resume(self)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if self.over.is_set():
            return
        self.over.set()
        self.error = None if task.cancelled() else task.exception()
        self.world.note(self, "ended" if self.error is None else f"failed: {self.error!r}")

    async def end_rest(self, *, grace_s: float = GRACE_S) -> None:
        """As `asyncio.run` does when its main has ended: what still runs is cancelled. Raises `DidNotStop`."""
        try:
            async with asyncio.timeout(grace_s):
                while rest := tasks_of(self._loop, self):
                    for task in rest:
                        task.cancel()
                    await asyncio.wait(rest)
        except TimeoutError:
            self._out_of_time(grace_s)

    def _out_of_time(self, grace_s: float) -> None:
        """Killed, as the kubelet does it; whoever ran all the time is to blame."""
        where = "; ".join(f"{task.get_name()} in {_place(task)}" for task in tasks_of(self._loop, self))
        stood_still = self.paused
        self.over.clear()
        self.kill()
        if not stood_still:
            text = f"{self} did not end within {grace_s:g} s of being told to: something swallows its cancellation"
            raise DidNotStop(f"{text}: {where}") from None


def _place(task: "asyncio.Task[Any]") -> str:
    """The innermost function that the task waits in."""
    found = "nothing"
    awaited: Any = task.get_coro()
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        found = f"{awaited.__qualname__} (line {frame.f_lineno} of {frame.f_code.co_filename.rpartition('/')[2]})"
        awaited = awaited.cr_await
    return found
