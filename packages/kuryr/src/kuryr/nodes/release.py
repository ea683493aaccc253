"""Lets claims go whose node gives no receipt, and pools whose node is no more. Only sequences the planner's steps.

A claim goes into quarantine and out of our sight in this order: the pool's entry is written; it is in our own store;
only then the finalizer is taken off. So in no store of this process is a port free in between, however differently two
watches lag; and a new leader lists claims before pools.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

import msgspec

from kubeloop import (
    DONE,
    Change,
    Client,
    Controller,
    Informer,
    MergePatch,
    Metrics,
    Namespace,
    ObjectKey,
    Result,
    Retry,
    remove_finalizer,
)
from kubeloop import errors as kube
from kuryr.model.machines import Machine, is_lost
from kuryr.model.ownership import PoolUid, PortId
from kuryr.model.resources import SANDBOX_FINALIZER, KuryrPort, KuryrPortPool, QuarantinedPort
from kuryr.nodes.planner import (
    ConfirmLost,
    DeletePool,
    FenceClaim,
    FenceQuarantine,
    LetGo,
    Quarantine,
    RetirePool,
    Step,
    plan_pool,
    waits_for_receipt,
)
from kuryr.openstack.errors import OpenStackError

log = logging.getLogger(__name__)

_LOOK_AGAIN_S = 3.0

POOL_INDEX = "pool"
NODE_INDEX = "node"
NAMESPACE_INDEX = "namespace"


class PoolPorts(Protocol):
    """The pools' ports in Neutron."""

    async def fence(self, port: PortId) -> None:
        """Deletes the port in Neutron, whoever claims it. Raises `OpenStackError`."""
        ...

    def retire(self, pool: PoolUid) -> None:
        """Nothing of the pool is given out any more."""
        ...

    def is_retired(self, pool: PoolUid) -> bool: ...

    def has_ports(self, pool: PoolUid) -> bool:
        """Neutron has ports of the pool, or one may be made."""
        ...


class ReleaseController:
    """Keys are pools, by name."""

    def __init__(
        self,
        client: Client,
        ports: PoolPorts,
        *,
        claims: Informer[KuryrPort],
        pools: Informer[KuryrPortPool],
        machines: Informer[Machine],
        namespaces: Informer[Namespace],
        quarantine_after_s: float,
        metrics: Metrics | None = None,
    ) -> None:
        """`claims` is indexed by pool, node and namespace, `pools` by node."""
        self._client = client
        self._ports = ports
        self._claims = claims
        self._pools = pools
        self._machines = machines
        self._namespaces = namespaces
        self._quarantine_after_s = quarantine_after_s
        self._waiting_since: dict[ObjectKey, dict[str, float]] = {}  # by pool, then by the claim's UID
        self.controller: Controller[ObjectKey] = Controller(
            "release", self._reconcile, workers=4, deadline_s=300, metrics=metrics
        )
        self.controller.watches(claims, lambda claim: (_pool_of(claim),), predicate=_may_end_a_wait)
        self.controller.watches(pools, lambda pool: (pool.key,))
        self.controller.watches(machines, self._of_machine, predicate=_is_lost_or_back)
        self.controller.watches(namespaces, self._of_namespace, predicate=_ends)

    def _of_machine(self, machine: Machine) -> Iterable[ObjectKey]:
        name = machine.metadata.name
        pools = (pool.key for pool in self._pools.store.by_index(NODE_INDEX, name))
        # a pool that is gone may have left claims
        return {*pools, *map(_pool_of, self._claims.store.by_index(NODE_INDEX, name))}

    def _of_namespace(self, namespace: Namespace) -> Iterable[ObjectKey]:
        return set(map(_pool_of, self._claims.store.by_index(NAMESPACE_INDEX, namespace.metadata.name)))

    async def _reconcile(self, key: ObjectKey) -> Result:
        pool = self._pools.store.get(key)
        claims = self._claims.store.by_index(POOL_INDEX, key.name)
        node = pool.spec.node if pool is not None else next((claim.spec.node for claim in claims), "")
        due_in_s = self._due_in_s(key, claims)
        steps = plan_pool(
            pool,
            claims,
            self._machines.store.get(ObjectKey("", node)),
            overdue={uid for uid, left_s in due_in_s.items() if left_s <= 0},
            has_ports=pool is not None and self._ports.has_ports(PoolUid(pool.metadata.uid)),
        )
        failures = [problem for step in steps if (problem := await self._try(step)) is not None]
        if failures:
            raise Retry(f"{len(failures)} of {len(steps)} steps failed, the first: {failures[0]}")
        waits = [left_s for left_s in due_in_s.values() if left_s > 0]
        if not claims and any(isinstance(step, RetirePool) for step in steps):
            waits.append(_LOOK_AGAIN_S)  # that its last port is gone from Neutron is no event
        return Result(requeue_after_s=min(waits)) if waits else DONE

    def _due_in_s(self, key: ObjectKey, claims: Iterable[KuryrPort]) -> dict[str, float]:
        """Of claims that wait in terminating namespaces: how long until each goes into quarantine.

        By our own clock, since we saw it deleting: that of the API server may be another.
        """
        now, before = asyncio.get_running_loop().time(), self._waiting_since.pop(key, {})
        waiting = {claim.metadata.uid: claim for claim in claims if waits_for_receipt(claim)}
        since = {uid: before.get(uid, now) for uid in waiting}
        if since:
            self._waiting_since[key] = since
        return {
            uid: since[uid] + self._quarantine_after_s - now
            for uid, claim in waiting.items()
            if self._is_terminating(claim.metadata.namespace)
        }

    def _is_terminating(self, name: str) -> bool:
        namespace = self._namespaces.store.get(ObjectKey("", name))
        return namespace is not None and namespace.metadata.deleting

    async def _try(self, step: Step) -> Exception | None:
        """What went wrong with this step, and does not keep the others."""
        try:
            await self._apply(step)
        except (OpenStackError, kube.Conflict) as error:
            return error
        except kube.NotFound:
            return None  # gone: its event brings the key again
        return None

    async def _apply(self, step: Step) -> None:
        match step:
            case ConfirmLost(node=node):
                if not is_lost(await self._fetch_machine(node)):
                    raise Retry(f"node {node} is there: our watch of Nodes lags")
            case FenceClaim(claim=claim):
                for interface in claim.spec.interfaces:
                    await self._ports.fence(PortId(interface.port_id))
                await self._let_go(claim, "its node is lost, and its port deleted")
            case FenceQuarantine(pool=pool, entries=entries):
                for entry in entries:
                    await self._ports.fence(PortId(entry.port_id))
                await self._write(pool, tuple(one for one in pool.status.quarantine if one not in entries))
            case Quarantine(pool=pool, entries=entries):
                await self._write(pool, (*pool.status.quarantine, *entries))
            case LetGo(claim=claim):
                await self._let_go(claim, "its namespace is terminating, and its port in quarantine")
            case RetirePool(pool=pool):
                await self._retire(pool)
            case DeletePool(pool=pool):
                await self._client.delete(KuryrPortPool, pool.metadata.name, uid=pool.metadata.uid)
                log.info("pool deleted, its node is no more: pool=%s node=%s", pool.metadata.name, pool.spec.node)

    async def _fetch_machine(self, node: str) -> Machine | None:
        try:
            return await self._client.get(Machine, node)
        except kube.NotFound:
            return None

    async def _let_go(self, claim: KuryrPort, why: str) -> None:
        if await remove_finalizer(self._client, claim, SANDBOX_FINALIZER):
            log.warning("claim goes without a receipt: claim=%s node=%s why=%s", claim.key, claim.spec.node, why)

    async def _write(self, pool: KuryrPortPool, quarantine: tuple[QuarantinedPort, ...]) -> None:
        meta = pool.metadata
        patch = MergePatch({"status": {"quarantine": msgspec.to_builtins(quarantine)}})
        await self._client.patch(
            KuryrPortPool,
            meta.name,
            patch,
            subresource="status",
            uid=meta.uid,
            resource_version=meta.resource_version,
        )

    async def _retire(self, pool: KuryrPortPool) -> None:
        if self._ports.is_retired(PoolUid(pool.metadata.uid)):
            return  # a UID does not come back
        machine = await self._fetch_machine(pool.spec.node)
        if machine is not None and machine.metadata.uid == pool.spec.node_uid:
            raise Retry(f"node {pool.spec.node} is there: our watch of Nodes lags")
        self._ports.retire(PoolUid(pool.metadata.uid))


def _pool_of(claim: KuryrPort) -> ObjectKey:
    return ObjectKey("", claim.spec.pool)


def _may_end_a_wait(change: Change[KuryrPort]) -> bool:
    """It waits for a receipt now, got it, or is gone."""
    waited = change.old is not None and waits_for_receipt(change.old)
    return change.new is None or waited != waits_for_receipt(change.new)


def _is_lost_or_back(change: Change[Machine]) -> bool:
    """Not its status, which a kubelet writes every few minutes."""
    if change.old is None or change.new is None:
        return True
    return is_lost(change.old) != is_lost(change.new)


def _ends(change: Change[Namespace]) -> bool:
    return change.new is not None and change.new.metadata.deleting
