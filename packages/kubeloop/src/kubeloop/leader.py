"""Leader election on a coordination.k8s.io/v1 Lease, and the fence that keeps a deposed process from writing.

Invariant: at no instant are the fences of two processes open. Ours closes `renew_deadline_s` after the moment *before*
the last successful renewal was sent. The others take over no sooner than the lease's duration after they saw that
renewal, which is later, each by its own clock: wall clocks are written into the Lease for people and never compared.
The clock counts suspension (CLOCK_BOOTTIME), so a machine that slept does not wake up as the leader. Every write of the
Lease has its resourceVersion as precondition. client-go's LeaderElector is the model; beyond it, a Lease in our
name is ours only if this very process wrote it.

What it does not do: guard against people who edit or delete the Lease; lead a second time. Losing the lease ends the
process, as no state in memory survives from one term to the next.
"""

import asyncio
import logging
import random
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import ClassVar

from kubeloop.client import errors
from kubeloop.client.client import Client, MergePatch
from kubeloop.metrics import Metrics
from kubeloop.model.base import KubeObject, KubeStruct, ObjectMeta, Resource
from kubeloop.model.times import micro_time_now

log = logging.getLogger(__name__)


class LeaseSpec(KubeStruct, frozen=True, kw_only=True):
    """Who holds the lease; an empty `holder_identity` is one that was given back. The times are MicroTimes."""

    holder_identity: str = ""
    lease_duration_seconds: int = 0
    acquire_time: str = ""
    renew_time: str = ""
    lease_transitions: int = 0


class Lease(KubeObject, frozen=True, kw_only=True):
    """coordination.k8s.io/v1 Lease, with the fields that leader election uses."""

    resource: ClassVar[Resource] = Resource("coordination.k8s.io", "v1", "leases", "Lease")

    spec: LeaseSpec = LeaseSpec()


# of a fence that was never open, or was closed for good
_NEVER = float("-inf")


class LeadershipLost(Exception):
    """The lease was not renewed in time, or somebody else has it: this process must end."""


def boot_time() -> float:
    """Seconds of a clock that nobody sets and that counts suspension, where the system has one."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def unique_identity() -> str:
    """`<hostname>_<uuid>`: another one for each process, also after a restart in the same pod."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


class LeaderElection:
    """One candidate for one Lease; also the `Fence` of everything that only the leader may write.

    `client` must have no fence of its own: it writes the Lease. It needs get, create and patch on it.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str = "",
        lease_duration_s: int = 15,
        renew_deadline_s: float = 10.0,
        retry_period_s: float = 2.0,
        clock: Callable[[], float] = boot_time,
        metrics: Metrics | None = None,
    ) -> None:
        """`identity` must be of this process alone: `unique_identity()` by default. Raises `ValueError` for durations
        with which two could lead: it must hold that lease > renew deadline > 1.2 retry periods.
        """
        _check_durations(lease_duration_s, renew_deadline_s, retry_period_s)
        self.identity = identity or unique_identity()
        self._client = client
        self._namespace = namespace
        self._name = name
        self._duration_s = lease_duration_s
        self._renew_deadline_s = renew_deadline_s
        self._retry_period_s = retry_period_s
        self._clock = clock
        self._master_status = (metrics or Metrics()).leader.labels(name)
        self._master_status.set(0)
        # the fence is open before this instant
        self._deadline = _NEVER
        # as last read or written; None: there is none
        self._lease: Lease | None = None
        # the last spec seen, even if the Lease is gone since, and when we saw it first
        self._spec = LeaseSpec()
        self._seen_at = _NEVER
        # renewTimes sent since the last success: by them we know a write of ours whose answer was lost
        self._sent: set[str] = set()

    @property
    def leading(self) -> bool:
        """Whether the fence is open."""
        return self._clock() < self._deadline

    def check(self) -> None:
        """`Fence`: raises `NotLeader` once this process may not start another write."""
        if not self.leading:
            raise errors.NotLeader(f"{self.identity} does not hold {self._title}")

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Waits for the lease, then runs `lead` while it is renewed; returns when `lead` does.

        Raises what `lead` raises, and `LeadershipLost` when the lease could not be kept: then `lead` was cancelled
        and waited for until others may lead, and at least a second. When cancelled, cancels `lead` and goes on
        renewing until it has ended. The lease is given back if it was ours until `lead` had ended.
        """
        await self._acquire()
        leading = asyncio.create_task(_run(lead), name=f"lead: {self._name}")
        renewing = asyncio.create_task(self._renew(), name=f"renew: {self._name}")
        both = (leading, renewing)
        in_time = True
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            in_time = self.leading
        except asyncio.CancelledError:
            leading.cancel()
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            _log_failure(leading)
            raise
        finally:
            await self._step_down(leading, renewing)
        if not renewing.cancelled():
            _log_failure(leading)
            raise renewing.result()
        failure = leading.exception()
        if failure is not None and not in_time:
            # its last write met the closed fence before the renewing task had its turn
            raise LeadershipLost(f"{self._title} was not renewed in time") from failure
        leading.result()

    async def _step_down(self, leading: asyncio.Task[None], renewing: asyncio.Task[LeadershipLost]) -> None:
        """Ends both tasks. Gives the lease back only when nothing runs any more that believes in it."""
        lost = renewing.done()
        others_lead_at = self._deadline - self._renew_deadline_s + self._duration_s
        renewing.cancel()
        self._close()
        if leading.done() and not lost:
            await asyncio.wait((renewing,))
            await self._attempt(self._give_back, self._retry_period_s)
            log.info("leadership given back", extra={"lease": self._title, "identity": self.identity})
            return
        log.error("leadership lost", extra={"lease": self._title, "identity": self.identity})
        leading.cancel()
        await asyncio.wait((leading, renewing), timeout=max(others_lead_at - self._clock(), 1.0))

    def _close(self) -> None:
        self._deadline = _NEVER
        self._master_status.set(0)

    async def _acquire(self) -> None:
        """Tries until the lease is ours and the fence open: an answer that came too late leaves it closed."""
        told = ""
        try:
            while True:
                problem = await self._attempt(self._take_or_renew, self._renew_deadline_s / 3)
                if self.leading:
                    break
                if problem is not None and str(problem) != told:
                    told = str(problem)
                    log.warning("cannot acquire the lease yet", extra={"lease": self._title, "error": told})
                await asyncio.sleep(self._retry_period_s * _jitter())
        except asyncio.CancelledError:
            if self._sent:  # a try whose answer we did not wait for may have made it ours
                await self._attempt(self._give_back, self._retry_period_s)
            raise
        self._master_status.set(1)
        log.info("leading", extra={"lease": self._title, "identity": self.identity})

    async def _renew(self) -> LeadershipLost:
        """Renews until the lease is lost; the result says why."""
        problem: Exception | None = None
        wait_s = self._retry_period_s * _jitter()
        while (left_s := self._deadline - self._clock()) > 0:
            await asyncio.sleep(min(wait_s, left_s))
            started = self._clock()
            if (left_s := self._deadline - started) <= 0:
                break
            # a request that hangs leaves time for two others
            problem = await self._attempt(self._take_or_renew, min(self._renew_deadline_s / 3, left_s))
            pause_s = self._retry_period_s * _jitter()
            wait_s = pause_s if problem is None else max(pause_s - (self._clock() - started), pause_s / 10)
        if self._deadline == _NEVER:
            return LeadershipLost(f"{self._title} is held by {self._spec.holder_identity}")
        lost = LeadershipLost(f"{self._title} was not renewed within {self._renew_deadline_s} s")
        lost.__cause__ = problem
        return lost

    async def _attempt(self, action: Callable[[], Awaitable[None]], timeout_s: float) -> Exception | None:
        """One try, of `timeout_s` at most, and another on the state read anew. Returns what went wrong."""
        try:
            async with asyncio.timeout(timeout_s):
                try:
                    await action()
                except (errors.Conflict, errors.NotFound, errors.AlreadyExists):
                    # the new state may be ours: a write whose answer was lost
                    await self._read()
                    await action()
        except (errors.ApiError, TimeoutError) as error:
            return error
        return None

    async def _take_or_renew(self) -> None:
        if self._lease is None or not self._ours():
            await self._read()
        if not self._ours() and not self._free():
            self._deadline = _NEVER  # if we led, somebody else does now: not a write more
            return
        started = self._clock()
        await self._write(self.identity, self._duration_s)
        self._deadline = started + self._renew_deadline_s

    async def _give_back(self) -> None:
        if not self._ours():
            await self._read()
        if self._ours() and self._lease is not None:
            await self._write("", 1)

    def _ours(self) -> bool:
        """The holder is this very process, whoever else may call himself so."""
        return self._spec.holder_identity == self.identity and self._spec.renew_time in self._sent

    def _free(self) -> bool:
        """Never held, given back, or not renewed for as long as its holder and we ask for: by our own clock.

        A Lease that somebody deleted is not free before its last holder's time is over.
        """
        lasts_s = max(self._spec.lease_duration_seconds, self._duration_s)
        return not self._spec.holder_identity or self._clock() >= self._seen_at + lasts_s

    async def _read(self) -> None:
        try:
            self._lease = await self._client.get(Lease, self._name, namespace=self._namespace)
        except errors.NotFound:
            self._lease = None
        else:
            self._see(self._lease.spec)

    def _see(self, spec: LeaseSpec) -> None:
        # the clock is read after the answer came: if anything we give the holder more time than it has
        if spec != self._spec:
            self._spec, self._seen_at = spec, self._clock()

    async def _write(self, holder: str, duration_s: int) -> None:
        """Writes the Lease as we know it (the precondition) or creates it. Raises `ApiError`."""
        now = micro_time_now()
        self._sent.add(now)
        if self._lease is None:
            spec = LeaseSpec(
                holder_identity=holder, lease_duration_seconds=duration_s, acquire_time=now, renew_time=now
            )
            metadata = ObjectMeta(name=self._name, namespace=self._namespace)
            self._lease = await self._client.create(Lease(metadata=metadata, spec=spec))
        else:
            patch = MergePatch(
                {
                    "metadata": {"resourceVersion": self._lease.metadata.resource_version},
                    "spec": self._next_spec(holder, duration_s, now),
                }
            )
            self._lease = await self._client.patch(Lease, self._name, patch, namespace=self._namespace)
        self._see(self._lease.spec)
        self._sent = {now}

    def _next_spec(self, holder: str, duration_s: int, now: str) -> dict[str, str | int]:
        same_term = holder != "" and self._ours()
        new_term = holder != "" and not same_term
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": duration_s,
            "acquireTime": self._spec.acquire_time if same_term else now,
            "renewTime": now,
            "leaseTransitions": self._spec.lease_transitions + new_term,
        }

    @property
    def _title(self) -> str:
        return f"lease {self._namespace}/{self._name}"


async def _run(lead: Callable[[], Awaitable[None]]) -> None:
    await lead()


def _log_failure(leading: asyncio.Task[None]) -> None:
    """Of a `lead` that failed while it was being cancelled: its error is not the one that is raised."""
    if leading.done() and not leading.cancelled() and (failure := leading.exception()) is not None:
        log.error("failed while stepping down", exc_info=failure)


def _jitter() -> float:
    return random.uniform(0.8, 1.2)  # noqa: S311 - not a secret


def _check_durations(lease_s: int, renew_s: float, retry_s: float) -> None:
    if retry_s <= 0:
        raise ValueError(f"the retry period must be above 0, not {retry_s} s")
    if lease_s != int(lease_s):
        raise ValueError(f"a Lease's duration is in whole seconds, not {lease_s}")
    if not lease_s > renew_s:
        raise ValueError(f"the lease ({lease_s} s) must last longer than the renew deadline ({renew_s} s)")
    if not renew_s > retry_s * 1.2:
        raise ValueError(f"the renew deadline ({renew_s} s) must be above 1.2 retry periods (of {retry_s} s)")
