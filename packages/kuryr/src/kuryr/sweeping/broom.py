"""Deletes what a sweep may delete, each thing asked live right before.

A port goes only if Neutron shows it as it was, not in use, and no pool or name explains it now; and through the ledger,
so that no pod is given it meanwhile. A KuryrPort goes only if its pod is not there now, and by its UID.
"""

import logging
from collections.abc import Awaitable, Callable

from kubeloop import Client, Pod
from kubeloop import errors as kube
from kuryr.model.ownership import PoolUid
from kuryr.model.pods import sandbox_uid
from kuryr.model.resources import KuryrPort
from kuryr.openstack import errors
from kuryr.openstack.neutron import Neutron, Port
from kuryr.sweeping.inventory import Inventory
from kuryr.sweeping.planner import DeleteClaim, DeletePort, Step, is_explained

log = logging.getLogger(__name__)


class Broom:
    """`discard` deletes a port in Neutron unless a pod is being given it, and says whether it did."""

    def __init__(
        self, client: Client, neutron: Neutron, inventory: Inventory, discard: Callable[[Port], Awaitable[bool]]
    ) -> None:
        self._client = client
        self._neutron = neutron
        self._inventory = inventory
        self._discard = discard

    async def sweep(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """What was deleted of these. What Neutron does not delete does not keep the others.

        Raises `OpenStackError` and `ApiError` where the servers do not work: what is left is found again.
        """
        pools: frozenset[PoolUid] = frozenset()
        named: frozenset[str] = frozenset()
        if any(isinstance(step, DeletePort) for step in steps):
            pools, named = await self._inventory.fetch_explanations()
        gone: list[Step] = []
        for step in steps:
            match step:
                case DeletePort(port=port) if not is_explained(port, pools, named):
                    done = await self._delete_port(port)
                case DeleteClaim(claim=claim):
                    done = await self._delete_claim(claim)
                case _:
                    done = False
            if done:
                gone.append(step)
                log.info("swept: what=%s reason=%s", step.identity, step.reason)
        return tuple(gone)

    async def _delete_port(self, seen: Port) -> bool:
        for port in await self._neutron.fetch_ports(id=seen.id):
            if (port.device_owner, port.device_id) != (seen.device_owner, seen.device_id) or port.status == "ACTIVE":
                return False
            try:
                return await self._discard(port)
            except errors.OpenStackError as error:
                if not error.is_of_one_thing:
                    raise
                log.warning("port cannot be deleted: port=%s cause=%s", port.id, error)
                return False
        return True

    async def _delete_claim(self, claim: KuryrPort) -> bool:
        meta = claim.metadata
        try:
            pod = await self._client.get(Pod, meta.name, namespace=meta.namespace)
        except kube.NotFound:
            pod = None
        if pod is not None and sandbox_uid(pod) == claim.spec.pod_uid:
            return False
        try:
            await self._client.delete(KuryrPort, meta.name, namespace=meta.namespace, uid=meta.uid)
        except (kube.NotFound, kube.Conflict):
            return False  # gone, or another one by now
        return True
