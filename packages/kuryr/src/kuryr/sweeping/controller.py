"""Looks now and then for what nothing explains, sweeps what it may, and tells the rest by the KuryrCluster: its status,
Events, metrics. The leader's.

What was seen, and what a person approved, is in memory: a new leader looks twice before it deletes anything, and what
an approved sweep has not yet deleted when its leader ends is judged, or approved, anew.
"""

import asyncio
import contextlib
import datetime
import logging
import time

from prometheus_client import Counter, Gauge

from kubeloop import (
    DONE,
    Client,
    Controller,
    EventRecorder,
    Informer,
    MergePatch,
    Metrics,
    ObjectKey,
    ObjectMeta,
    Result,
    Retry,
    predicates,
)
from kubeloop import errors as kube
from kuryr.model.configuration import Sweep
from kuryr.model.ownership import ClusterId, PoolUid
from kuryr.model.resources import CLUSTER_NAME, KuryrCluster, KuryrClusterStatus, KuryrPortPool
from kuryr.openstack.errors import OpenStackError
from kuryr.sweeping import report
from kuryr.sweeping.broom import Broom
from kuryr.sweeping.guard import Limits, Term, Verdict, judge
from kuryr.sweeping.inventory import Inventory, Unreadable
from kuryr.sweeping.planner import DeletePort, Found, Step, digest, due, find_unexplained, note_look

log = logging.getLogger(__name__)

KEY = ObjectKey("", CLUSTER_NAME)

_AT_ONCE = 50


class SweepController:
    """The one key is the KuryrCluster, which it makes."""

    def __init__(
        self,
        client: Client,
        recorder: EventRecorder,
        inventory: Inventory,
        broom: Broom,
        *,
        cluster: ClusterId,
        options: Sweep,
        clusters: Informer[KuryrCluster],
        pools: Informer[KuryrPortPool],
        metrics: Metrics | None = None,
    ) -> None:
        """Made when a term of leading begins: that is when it counts from."""
        metrics = metrics if metrics is not None else Metrics()
        self._client = client
        self._recorder = recorder
        self._inventory = inventory
        self._broom = broom
        self._cluster_id = cluster
        self._options = options
        self._limits = Limits(options.max_count, options.max_percent)
        self._clusters = clusters
        self._since = time.time()
        self._pools_seen: set[PoolUid] = set()
        self._seen: dict[str, float] = {}  # unexplained things, since when
        self._approved: frozenset[str] = frozenset()  # what a person saw and let go
        self._measures = _Measures(metrics)
        self.controller: Controller[ObjectKey] = Controller(
            "sweep", self._reconcile, workers=1, deadline_s=300, metrics=metrics
        )
        self.controller.watches(clusters, lambda _: (KEY,), predicate=predicates.not_status_alone)
        self.controller.enqueue(KEY)
        pools.add_handler(lambda change: self._pools_seen.add(PoolUid(change.object.metadata.uid)))

    async def _reconcile(self, key: ObjectKey) -> Result:
        cluster = self._clusters.store.get(key)
        if cluster is None:
            return await self._make()
        try:
            found = await self._inventory.look()
            return await self._sweep(cluster, found)
        except OpenStackError as error:
            await self._write(cluster, report.cloud_failed(cluster.status, error, datetime.datetime.now(datetime.UTC)))
            raise Retry(f"cannot sweep: {error}") from error
        except Unreadable as error:
            raise Retry(str(error)) from error

    async def _make(self) -> Result:
        with contextlib.suppress(kube.AlreadyExists):
            await self._client.create(KuryrCluster(metadata=ObjectMeta(name=CLUSTER_NAME)))
        return DONE  # its event brings the key again

    def _hear(self, cluster: KuryrCluster, steps: tuple[Step, ...]) -> None:
        """A person's word is of the plan with that digest, and of what is left of it, and of nothing else."""
        if steps and cluster.spec.approved_sweep == digest(steps):
            self._approved = frozenset(step.identity for step in steps)

    async def _sweep(self, cluster: KuryrCluster, found: Found) -> Result:
        now = asyncio.get_running_loop().time()
        unexplained = find_unexplained(found)
        self._seen = note_look(self._seen, unexplained, now)
        twice = due(unexplained, self._seen, now, after_s=self._options.after_s)
        self._hear(cluster, twice)
        self._pools_seen |= found.pools
        verdict = judge(
            unexplained,
            twice,
            ports=len(found.ports),
            limits=self._limits,
            approved=self._approved,
            term=Term(self._since, self._pools_seen),
        )
        gone = await self._broom.sweep(verdict.steps[:_AT_ONCE])
        left = tuple(step for step in twice if step not in gone)
        await self._tell(cluster, verdict, left, gone)
        self._measures.note(verdict, unexplained, gone)
        if len(verdict.steps) > _AT_ONCE and gone:
            return Result(requeue_after_s=0.1)
        more = len(unexplained) > len(gone)
        return Result(
            requeue_after_s=min(self._options.every_s, self._options.after_s) if more else self._options.every_s
        )

    async def _tell(
        self, cluster: KuryrCluster, verdict: Verdict, left: tuple[Step, ...], gone: tuple[Step, ...]
    ) -> None:
        status = report.swept(cluster.status, self._cluster_id, verdict, left, datetime.datetime.now(datetime.UTC))
        await self._write(cluster, status)
        if report.is_refused_anew(cluster.status, status):
            log.warning("nothing is swept: reason=%s cause=%s", verdict.reason, verdict.message)
            self._recorder.event(cluster, type="Warning", reason=verdict.reason, action="Sweep", note=verdict.message)
        if gone:
            some = ", ".join(step.identity for step in gone[:10])
            note = f"deleted {len(gone)} things that nothing explained: {some}"
            self._recorder.event(cluster, type="Normal", reason="Swept", action="Sweep", note=note)

    async def _write(self, cluster: KuryrCluster, status: KuryrClusterStatus) -> None:
        if status == cluster.status:
            return
        patch = MergePatch(report.whole(status))
        try:
            await self._client.patch(KuryrCluster, CLUSTER_NAME, patch, subresource="status", uid=cluster.metadata.uid)
        except (kube.NotFound, kube.Conflict):
            return  # gone, and made anew by its event


class _Measures:
    """What alerts are made of."""

    def __init__(self, metrics: Metrics) -> None:
        registry = metrics.registry
        self._unexplained = Gauge(
            "kuryr_unexplained", "Things of ours that nothing explains", ["kind"], registry=registry
        )
        self._swept = Counter("kuryr_swept", "Things that the sweeper has deleted", ["kind"], registry=registry)
        self._refused = Gauge(
            "kuryr_sweep_refused",
            "1 while nothing is swept, by reason: a person must look",
            ["reason"],
            registry=registry,
        )

    def note(self, verdict: Verdict, unexplained: tuple[Step, ...], gone: tuple[Step, ...]) -> None:
        for kind in ("Port", "KuryrPort"):
            self._unexplained.labels(kind).set(_count(unexplained, kind) - _count(gone, kind))
            self._swept.labels(kind).inc(_count(gone, kind))
        for reason in ("TooMuch", "ClusterIdShared"):
            self._refused.labels(reason).set(int(verdict.allowed is False and verdict.reason == reason))


def _count(steps: tuple[Step, ...], kind: str) -> int:
    return sum(isinstance(step, DeletePort) == (kind == "Port") for step in steps)
