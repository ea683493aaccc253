"""Each reporting node has its pool; pools' counts are shown; surplus ports go; the ledger follows Neutron.

Counts are written at most every few seconds, whatever happens in a pool: they are for people.
"""

import asyncio
import logging
from collections.abc import Callable, Collection

import msgspec

from kubeloop import DONE, Change, Client, Controller, Informer, MergePatch, Metrics, ObjectKey, Result
from kubeloop import errors as kube
from kuryr.model.machines import Machine
from kuryr.model.ownership import PoolUid, PortId
from kuryr.model.resources import KuryrNode, KuryrPort, KuryrPortPool
from kuryr.openstack.errors import OpenStackError
from kuryr.openstack.placement import Placement
from kuryr.pools.ledger import PortLedger
from kuryr.pools.planner import desire_pool
from kuryr.pools.source import PoolSource

log = logging.getLogger(__name__)

_COUNTS_AFTER_S = 3.0
_TEND_EVERY_S = 2.0


class PoolController:
    """Keys are nodes for the pools, pools for their counts."""

    def __init__(
        self,
        client: Client,
        source: PoolSource,
        ledger: PortLedger,
        placement: Placement,
        *,
        nodes: Informer[KuryrNode],
        machines: Informer[Machine],
        pools: Informer[KuryrPortPool],
        claims: Informer[KuryrPort],
        changed: Callable[[Collection[PortId]], None],
        list_every_s: float,
        metrics: Metrics | None = None,
    ) -> None:
        """`changed` is told of ports that are gone from Neutron, or bound elsewhere, without our doing."""
        self._client = client
        self._source = source
        self._ledger = ledger
        self._placement = placement
        self._changed = changed
        self._list_every_s = list_every_s
        self._nodes = nodes
        self._machines = machines
        self._pools = pools
        self.pools: Controller[ObjectKey] = Controller("pools", self._reconcile_pool, workers=2, metrics=metrics)
        self.pools.watches(nodes, lambda node: (node.key,))
        self.pools.watches(machines, lambda machine: (machine.key,), predicate=_came_or_went)
        self.pools.watches(pools, lambda pool: (ObjectKey("", pool.spec.node),))
        self.counts: Controller[ObjectKey] = Controller(
            "pool-counts", self._reconcile_counts, workers=1, metrics=metrics
        )
        claims.add_handler(lambda change: self._count_later(change.object.spec.pool))
        pools.add_handler(lambda change: self._count_later(change.object.metadata.name))

    def _count_later(self, pool: str) -> None:
        self.counts.enqueue(ObjectKey("", pool), after_s=_COUNTS_AFTER_S)

    async def _reconcile_pool(self, key: ObjectKey) -> Result:
        node = self._nodes.store.get(key)
        pool = desire_pool(node, self._placement) if node is not None else None
        if pool is None or self._pools.store.get(pool.key) is not None:
            return DONE
        machine = self._machines.store.get(key)
        if machine is None or machine.metadata.uid != pool.spec.node_uid:
            return DONE  # what is left of a node that is no more gets no new pool
        try:
            await self._client.create(pool)
        except kube.AlreadyExists:
            return DONE
        log.info("pool created: pool=%s node=%s", pool.metadata.name, key.name)
        return DONE

    async def _reconcile_counts(self, key: ObjectKey) -> Result:
        pool = self._pools.store.get(key)
        if pool is None:
            return DONE
        counts = self._ledger.counts(PoolUid(pool.metadata.uid), asyncio.get_running_loop().time())
        status = msgspec.structs.replace(
            pool.status, ready=counts.ready, in_use=counts.in_use, growing=counts.growing, cooling=counts.cooling
        )
        if status != pool.status:
            # zeros too: a merge patch leaves alone what is not named
            shown = {
                "ready": counts.ready,
                "inUse": counts.in_use,
                "growing": counts.growing,
                "cooling": counts.cooling,
            }
            patch = MergePatch({"status": shown})
            await self._client.patch(KuryrPortPool, key.name, patch, subresource="status")
        if counts.cooling or counts.growing:
            return Result(requeue_after_s=_COUNTS_AFTER_S)
        return DONE

    async def tend(self) -> None:
        """Until cancelled: deletes surplus ports as they ripen, and lists Neutron now and then, and after failures."""
        loop = asyncio.get_running_loop()
        listed = loop.time()
        stale = False
        while True:
            try:
                if stale or loop.time() - listed > self._list_every_s:
                    self._changed(await self._source.resync())
                    listed, stale = loop.time(), False
                await self._source.delete_surplus([PoolUid(pool.metadata.uid) for pool in self._pools.store.list()])
            except OpenStackError as error:
                log.warning("cannot tend the pools: cause=%s", error)
                stale = True
            await asyncio.sleep(_TEND_EVERY_S)


def _came_or_went(change: Change[Machine]) -> bool:
    return change.old is None or change.new is None
