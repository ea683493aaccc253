"""Gives out ports of pools, making them in Neutron exactly once, and deletes those that nobody claims.

The order is always: reserve the slot, then create. A create whose answer was lost is asked again with the same MAC and
gets 409 MacAddressInUse, and then the port that is there is taken, if it is ours.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from kubeloop import ObjectKey, Retry
from kuryr.model.ownership import (
    ClusterId,
    PodUid,
    PoolUid,
    PortId,
    Slot,
    device_id,
    device_owner,
    mac_address,
    parse_device_id,
)
from kuryr.model.resources import Address, Interface, KuryrNode, KuryrPortPool
from kuryr.openstack import errors
from kuryr.openstack.neutron import Neutron, Port, PortRequest
from kuryr.openstack.placement import Placement
from kuryr.pools.ledger import PortLedger

log = logging.getLogger(__name__)

DELETED = "Deleted"
MOVED = "Moved"

_BINDING_FAILED = ("binding_failed", "unbound")


class PoolSource:
    """The `PortSource` of the ports' controller."""

    def __init__(
        self,
        neutron: Neutron,
        ledger: PortLedger,
        *,
        cluster: ClusterId,
        placement: Placement,
        node: Callable[[ObjectKey], KuryrNode | None],
    ) -> None:
        self._neutron = neutron
        self._ledger = ledger
        self._cluster = cluster
        self._placement = placement
        self._node = node

    async def acquire(self, pool: KuryrPortPool, pod: PodUid) -> Interface:
        """A port for the pod: a free one, else a new one. Raises `OpenStackError`."""
        pool_uid = PoolUid(pool.metadata.uid)
        if self._ledger.is_retired(pool_uid):
            raise Retry(f"pool {pool.metadata.name} gives nothing out: its node is no more")
        slot = self._ledger.reserve(pool_uid, pod, asyncio.get_running_loop().time())
        port = self._ledger.port(slot)
        if port is not None and (trouble := await self.fetch_trouble(PortId(port.id), pool.spec.node)):
            if trouble == MOVED:
                # behind our back, or the node has another host id since: nobody could be plugged with it
                self._ledger.release(pod)
                self._ledger.mark_deleting(slot)
            return await self.acquire(pool, pod)
        if port is None:
            port = await self._make(pool, slot)
            self._ledger.add(port)
        return self._interface(port)

    def release(self, pod: PodUid) -> None:
        self._ledger.release(pod)

    def retire(self, pool: PoolUid) -> None:
        """Nothing of the pool is given out any more: its ports are deleted as they are released."""
        self._ledger.retire(pool)

    def is_retired(self, pool: PoolUid) -> bool:
        return self._ledger.is_retired(pool)

    def has_ports(self, pool: PoolUid) -> bool:
        """Neutron has ports of the pool, or one may be made."""
        return not self._ledger.is_empty(pool)

    async def fence(self, port: PortId) -> None:
        """Deletes the port in Neutron, whoever claims it, if it is ours there. Raises `OpenStackError`."""
        # asked of Neutron: whoever may write KuryrPorts can name any port in one
        if await self._neutron.fetch_ports(id=port, device_owner=device_owner(self._cluster)):
            await self._neutron.delete_port(port)
            log.info("port deleted, its node is lost: port=%s", port)
        self._ledger.forget(port)

    async def fetch_trouble(self, port: PortId, node: str) -> str:
        """What was done to a claimed port behind our back: DELETED or MOVED; empty: nothing. Neutron is asked only
        about a port that the last list did not have, or had elsewhere. Raises `OpenStackError`.
        """
        known = self._ledger.find(port)
        if known is not None and not self._is_elsewhere(known, node):
            return ""
        found = await self._neutron.fetch_ports(id=port, device_owner=device_owner(self._cluster))
        if not found:
            self._ledger.forget(port)
            return DELETED
        self._ledger.add(found[0])
        return MOVED if self._is_elsewhere(found[0], node) else ""

    def is_usable(self, pool: KuryrPortPool, port: PortId) -> bool:
        """Neutron has this port, of this pool, bound where the pool's node is: as far as we know."""
        known = self._ledger.find(port)
        return (
            known is not None
            and self._ledger.holds(PoolUid(pool.metadata.uid), port)
            and not self._is_elsewhere(known, pool.spec.node)
        )

    def _is_elsewhere(self, port: Port, node: str) -> bool:
        """The port is bound to another host than the node's ports are to be, or to none."""
        if port.vif_type in _BINDING_FAILED:
            return True
        known = self._node(ObjectKey("", node))
        host_id = known.status.host_id if known is not None else ""
        return bool(host_id and port.host_id) and port.host_id != host_id

    async def resync(self) -> set[PortId]:
        """Makes the ledger equal Neutron: one list of all ports with our mark. Gives the ids of ports that are gone, or
        bound elsewhere.
        """
        known = set(self._ledger.port_ids())
        ports = await self._neutron.fetch_ports(device_owner=device_owner(self._cluster))
        return self._ledger.replace(ports, unchanged_since=known)

    async def delete_surplus(self, pools: Iterable[PoolUid]) -> None:
        """Deletes what nobody claimed for a whole cool-down, of these pools: those that are there. What no pool
        explains may be another cluster's with our id, and is for the sweeper. A failed delete is asked again next time.

        One that Neutron refuses, or fails at, does not keep the others. Raises `OpenStackError` when Neutron does not
        work.
        """
        now = asyncio.get_running_loop().time()
        for pool in pools:
            for port in self._ledger.surplus(pool, keep=0, now=now):
                try:
                    await self._delete(port)
                except errors.OpenStackError as error:
                    if not error.is_of_one_thing:
                        raise
                    log.warning("port cannot be deleted: port=%s cause=%s", port.id, error)

    async def discard(self, port: Port) -> bool:
        """Deletes a port that Neutron has just shown, unless a pod has it or is being given it: then False."""
        self._ledger.add(port)
        return await self._delete(port)

    async def _delete(self, port: Port) -> bool:
        slot = parse_device_id(port.device_id)
        assert slot is not None, "the ledger holds only ports of ours"
        if not self._ledger.mark_deleting(slot):
            return False  # while those before it were deleted a pod got it
        await self._neutron.delete_port(port.id)
        self._ledger.removed(slot)
        log.info("port deleted, nobody claimed it: port=%s", port.id)
        return True

    async def _make(self, pool: KuryrPortPool, slot: Slot) -> Port:
        node = self._node(ObjectKey("", pool.spec.node))
        if node is None or not node.status.host_id:
            raise Retry(f"node {pool.spec.node} does not say where its ports are to be bound")
        request = PortRequest(
            name=f"kuryr-{pool.spec.node}-{slot.index}",
            network_id=pool.spec.network_id,
            subnet_ids=pool.spec.subnet_ids,
            mac_address=mac_address(self._cluster, slot),
            device_owner=device_owner(self._cluster),
            device_id=device_id(slot),
            host_id=node.status.host_id,
            security_groups=pool.spec.security_group_ids,
        )
        port: Port
        request_id = ""
        try:
            port = created = await self._neutron.create_port(request)
            request_id = created.request_id
        except errors.Conflict as error:
            if error.reason != "MacAddressInUse":
                raise
            port = await self._adopt(request, slot)
        if port.vif_type in _BINDING_FAILED:
            await self._neutron.delete_port(port.id)
            self._ledger.forget(PortId(port.id))
            what = f"port binding failed on host {request.host_id}: is OVN running there?"
            raise errors.BindingFailed(what, request_id=request_id)
        return port

    async def _adopt(self, request: PortRequest, slot: Slot) -> Port:
        """The port that has the MAC: an earlier create of ours took effect, unless it is somebody else's."""
        for port in await self._neutron.fetch_ports(network_id=request.network_id, mac_address=request.mac_address):
            if (port.device_owner, port.device_id) != (request.device_owner, request.device_id):
                continue
            self._ledger.add(port)
            if self._ledger.is_claimed(slot):  # the ledger had missed it: another slot next time
                raise Retry(f"port {port.id} of slot {slot.index} is in use")
            return port
        # also when nothing is seen: a port of another project has the MAC, and would have it for ever
        self._ledger.burn(slot)
        raise Retry(f"MAC {request.mac_address} of slot {slot.index} belongs to a port that is not ours")

    def _interface(self, port: Port) -> Interface:
        addresses = tuple(
            Address(
                ip=fixed.ip_address,
                prefix_length=self._placement.prefix_length(fixed.subnet_id),
                gateway=self._placement.gateway(fixed.subnet_id),
            )
            for fixed in port.fixed_ips
        )
        return Interface(
            port_id=port.id,
            mac_address=port.mac_address,
            mtu=self._placement.network.mtu,
            addresses=addresses,
            vif_type=port.vif_type,
        )
