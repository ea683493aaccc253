"""The receipts that this node gives: that no sandbox of it uses a port any more. And what it says about its claims.

- The finalizer on a KuryrPort goes only when the object is deleting, no sandbox is wired with its port, no ADD for it
  runs, and the local copy does not hold it any more.
- An entry of a pool's quarantine, of a claim that had to go before, is taken away on the same terms.
- A claim's status says that it is plugged, once per sandbox; or that its port is another's (`PortConflict`), and then
  the controller replaces it.

An OVSDB that is away says nothing of what is wired: then there is no receipt. A claim whose receipt is under way is not
wired any more, although the store may be behind and show it as living.
"""

import datetime
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from kubeloop import (
    DONE,
    Change,
    Client,
    Controller,
    Informer,
    JsonPatch,
    MergePatch,
    Metrics,
    ObjectKey,
    Result,
    Retry,
    condition,
    remove_finalizer,
    set_condition,
)
from kubeloop import (
    errors as kube,
)
from kuryr.daemon.arbiter import find_winner, ports_of
from kuryr.daemon.local_copy import LocalCopy
from kuryr.daemon.records import SandboxRecord
from kuryr.daemon.wiring import Wiring
from kuryr.model.resources import PORT_CONFLICT, SANDBOX_FINALIZER, KuryrPort, KuryrPortPool, QuarantinedPort

log = logging.getLogger(__name__)

_LOOK_AGAIN = Result(requeue_after_s=1.0)


class Receipts:
    """The controllers of this node's claims and pools. `claims` has an index `port`, by `ports_of`."""

    def __init__(
        self,
        client: Client,
        claims: Informer[KuryrPort],
        pools: Informer[KuryrPortPool],
        wiring: Wiring,
        copy: LocalCopy,
        *,
        metrics: Metrics | None = None,
    ) -> None:
        self._client = client
        self._claims = claims
        self._pools = pools
        self._wiring = wiring
        self._copy = copy
        self._adding: dict[str, int] = {}  # running ADDs by UID of the KuryrPort
        self._refused: dict[ObjectKey, tuple[str, str]] = {}  # UID of a claim whose port another interface has, and why
        self.controller: Controller[ObjectKey] = Controller("sandboxes", self._reconcile, workers=8, metrics=metrics)
        self.controller.watches(claims, self._affected, predicate=_concerns_us)
        self.quarantine: Controller[ObjectKey] = Controller(
            "quarantine", self._reconcile_pool, workers=1, metrics=metrics
        )
        self.quarantine.watches(pools, lambda pool: (pool.key,), predicate=_quarantine_changed)

    @contextmanager
    def adding(self, claim: KuryrPort) -> Iterator[None]:
        """While an ADD for the claim runs: no receipt."""
        uid = claim.metadata.uid
        self._adding[uid] = self._adding.get(uid, 0) + 1
        try:
            yield
        finally:
            self._adding[uid] -= 1
            if not self._adding[uid]:
                del self._adding[uid]
            self.controller.enqueue(claim.key)
            self._look_at_quarantine()

    def refused(self, claim: KuryrPort, why: str) -> None:
        """Another interface of this node has the claim's port."""
        self._refused[claim.key] = (claim.metadata.uid, why)
        self.controller.enqueue(claim.key)

    def unwired(self, records: Iterable[SandboxRecord], *pods: ObjectKey) -> None:
        """These may not be wired any more: receipts may be due."""
        for key in {*pods, *(ObjectKey(record.pod_namespace, record.pod_name) for record in records)}:
            self.controller.enqueue(key)
        self._look_at_quarantine()

    def winner(self, claim: KuryrPort) -> KuryrPort | None:
        """The claim that has this one's port, by right."""
        return find_winner(claim, self._rivals(claim), lambda one: bool(self._sandboxes(one, self._wiring.records())))

    def _rivals(self, claim: KuryrPort) -> list[KuryrPort]:
        named = [one for port_id in ports_of(claim) for one in self._claims.store.by_index("port", port_id)]
        return [one for one in named if not self._copy.is_forgotten(one.metadata.uid)]

    def _affected(self, claim: KuryrPort) -> set[ObjectKey]:
        return {claim.key, *(rival.key for rival in self._rivals(claim))}

    def _look_at_quarantine(self) -> None:
        for pool in self._pools.store.list():
            if pool.status.quarantine:
                self.quarantine.enqueue(pool.key)

    async def _reconcile(self, key: ObjectKey) -> Result:
        claim = self._claims.store.get(key)
        refused_uid, why = self._refused.get(key, ("", ""))
        if claim is None or claim.metadata.uid != refused_uid:
            self._refused.pop(key, None)
            why = ""
        if claim is None:
            return DONE
        if not self._wiring.connected:
            return _LOOK_AGAIN
        if claim.metadata.deleting:
            return await self._release(claim)
        if claim.metadata.uid in self._adding:
            return DONE
        # without a running ADD: a failed one takes its record with it, one whose daemon was killed has no mark
        wired = self._sandboxes(claim, self._wiring.finished())
        if wired:
            self._refused.pop(key, None)
            told = claim.status.plugged and claim.status.sandbox in wired
            return DONE if told else await self._write_plugged(claim, wired[-1])
        winner = self.winner(claim)
        if winner is not None:
            why = f"Neutron port {' or '.join(ports_of(claim))} is {winner.key}'s"
        if why:
            return await self._write_conflict(claim, why)
        return DONE

    async def _release(self, claim: KuryrPort) -> Result:
        await self._forget(claim.metadata.uid)
        if claim.metadata.uid in self._adding or self._sandboxes(claim, self._wiring.records()):
            return DONE
        if not self._wiring.connected:
            return _LOOK_AGAIN
        await remove_finalizer(self._client, claim, SANDBOX_FINALIZER)
        return DONE

    async def _forget(self, uid: str) -> None:
        try:
            await self._copy.forget(uid)
        except OSError as error:
            raise Retry(f"no receipt while the local copy cannot be written: {error}") from error

    async def _reconcile_pool(self, key: ObjectKey) -> Result:
        pool = self._pools.store.get(key)
        if pool is None or not pool.status.quarantine:
            return DONE
        for entry in pool.status.quarantine:
            await self._forget(entry.claim_uid)
        if not self._wiring.connected:
            return _LOOK_AGAIN
        free = [index for index, entry in enumerate(pool.status.quarantine) if not self._is_used(entry)]
        if not free:
            return DONE
        operations = [one for index in reversed(free) for one in _take_away(index, pool.status.quarantine[index])]
        try:
            await self._client.patch(
                KuryrPortPool, key.name, JsonPatch(operations), subresource="status", uid=pool.metadata.uid
            )
        except kube.NotFound:
            return DONE
        except kube.Conflict:
            return _LOOK_AGAIN
        log.info("quarantine left: pool=%s ports=%d", key.name, len(free))
        return DONE

    def _is_used(self, entry: QuarantinedPort) -> bool:
        """Whichever pod's sandbox has it: the entry is of the port."""
        return entry.claim_uid in self._adding or any(
            record.port_id == entry.port_id for record in self._wiring.records()
        )

    async def _write_plugged(self, claim: KuryrPort, container: str) -> Result:
        status = {"plugged": True, "sandbox": container, "policyGeneration": claim.spec.policy_generation}
        return await self._patch_status(claim, status)

    async def _write_conflict(self, claim: KuryrPort, why: str) -> Result:
        new = condition(PORT_CONFLICT, True, reason="PortInUse", message=why)
        conditions = set_condition(claim.status.conditions, new, datetime.datetime.now(datetime.UTC))
        if conditions is claim.status.conditions:
            return DONE
        log.warning("port conflict: claim=%s cause=%s", claim.key, why)
        # the controller has conditions of its own there: only on the version that was looked at
        return await self._patch_status(
            claim, {"conditions": msgspec.to_builtins(conditions)}, claim.metadata.resource_version
        )

    async def _patch_status(self, claim: KuryrPort, status: dict[str, Any], version: str = "") -> Result:
        """With a version, only on that one."""
        name, namespace = claim.key.name, claim.key.namespace
        try:
            await self._client.patch(
                KuryrPort,
                name,
                MergePatch({"status": status}),
                namespace=namespace,
                subresource="status",
                uid=claim.metadata.uid,
                resource_version=version,
            )
        except (kube.NotFound, kube.Conflict):
            return _LOOK_AGAIN
        return DONE

    def _sandboxes(self, claim: KuryrPort, records: Iterable[SandboxRecord]) -> tuple[str, ...]:
        """Container ids of those records that have the claim's ports."""
        ports = ports_of(claim)
        return tuple(
            record.container_id
            for record in records
            if record.pod_uid == claim.spec.pod_uid and record.port_id in ports
        )


def _take_away(index: int, entry: QuarantinedPort) -> Iterator[dict[str, Any]]:
    path = f"/status/quarantine/{index}"
    yield {"op": "test", "path": f"{path}/portID", "value": entry.port_id}
    yield {"op": "test", "path": f"{path}/claimUID", "value": entry.claim_uid}
    yield {"op": "remove", "path": path}


def _concerns_us(change: Change[KuryrPort]) -> bool:
    """Of the status, what we write: a write of ours that was given up may come late, over a newer one."""
    if change.old is None or change.new is None:
        return True
    return _facts(change.old) != _facts(change.new)


def _facts(claim: KuryrPort) -> tuple[object, ...]:
    return claim.metadata.uid, claim.metadata.deleting, claim.status.plugged, claim.status.sandbox


def _quarantine_changed(change: Change[KuryrPortPool]) -> bool:
    before = change.old.status.quarantine if change.old is not None else ()
    return change.new is not None and change.new.status.quarantine != before
