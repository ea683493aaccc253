"""Gives each node a port of its own, out of the node's pool as pods get theirs, and writes it into its KuryrNode.

The order is that of a claim: reserve, create, write; the reservation ends when the store has what was written. A port
that Neutron has no longer, or has on another host, or that is not of the pool configured now, is replaced: unlike a
pod's it may change, since the daemon changes the device in place.
"""

import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from kubeloop import DONE, Client, Controller, Informer, MergePatch, Metrics, ObjectKey, Result, Retry
from kubeloop import errors as kube
from kuryr.model.ownership import PodUid, PortId
from kuryr.model.resources import Interface, KuryrNode, KuryrPortPool
from kuryr.openstack.errors import OpenStackError

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 60.0


class NodePortSource(Protocol):
    """Where ports come from: the pools."""

    async def acquire(self, pool: KuryrPortPool, pod: PodUid) -> Interface:
        """A port of the pool, reserved for whom this UID is of until `release`. The same one when asked again."""
        ...

    def release(self, pod: PodUid) -> None:
        """The reservation has served."""
        ...


class NodePortController:
    """Keys are nodes."""

    def __init__(
        self,
        client: Client,
        ports: NodePortSource,
        *,
        nodes: Informer[KuryrNode],
        pools: Informer[KuryrPortPool],
        pool_of: Callable[[str], KuryrPortPool | None],
        is_usable: Callable[[KuryrPortPool, PortId], bool],
        metrics: Metrics | None = None,
    ) -> None:
        """`pool_of`: where a node's ports come from now. `is_usable`: Neutron has this port of the pool, bound to the
        node, as far as we know.
        """
        self._client = client
        self._ports = ports
        self._nodes = nodes
        self._pool_of = pool_of
        self._is_usable = is_usable
        self._reserved: dict[ObjectKey, PodUid] = {}
        self.controller: Controller[ObjectKey] = Controller(
            "node-ports", self._reconcile, workers=2, deadline_s=180, resync_s=_LOOK_EVERY_S, metrics=metrics
        )
        self.controller.watches(nodes, lambda node: (node.key,))
        self.controller.watches(pools, lambda pool: (ObjectKey("", pool.spec.node),))

    async def _reconcile(self, key: ObjectKey) -> Result:
        node = self._nodes.store.get(key)
        if node is None or node.metadata.deleting:
            self._release(key)
            return DONE
        pool = self._pool_of(key.name)
        # of an earlier node of this name: its daemon makes the KuryrNode anew
        if pool is None or pool.metadata.deleting or pool.spec.node_uid != node.spec.node_uid:
            return DONE
        has = node.spec.interface
        if has is not None and self._is_usable(pool, PortId(has.port_id)):
            self._release(key)
            return DONE
        await self._give(node, pool)
        return DONE

    async def _give(self, node: KuryrNode, pool: KuryrPortPool) -> None:
        # no pod has a UID of this form, so a node's reservation is never a pod's
        whose = self._reserved.setdefault(node.key, PodUid(f"node/{node.spec.node_uid}"))
        try:
            interface = await self._ports.acquire(pool, whose)
        except OpenStackError as error:
            raise Retry(f"no port for the node yet: {error}") from error
        patch = MergePatch({"spec": {"interface": msgspec.to_builtins(interface)}})
        meta = node.metadata
        try:
            await self._client.patch(KuryrNode, meta.name, patch, uid=meta.uid, resource_version=meta.resource_version)
        except (kube.NotFound, kube.Conflict):
            return  # gone, or changed since: its event brings the key again
        log.info("node has its port: node=%s port=%s", meta.name, interface.port_id)

    def _release(self, key: ObjectKey) -> None:
        whose = self._reserved.pop(key, None)
        if whose is not None:
            self._ports.release(whose)
