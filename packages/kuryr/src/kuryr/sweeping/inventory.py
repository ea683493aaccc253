"""The lists that a sweep is decided by, in the order that the planner needs, and the same asked live.

A look costs Neutron one list and the API one of pools; claims, nodes and pods are the stores', which may lag. So before
anything is deleted they are asked live, in `fetch_explanations` and step by step.
"""

from collections.abc import Iterable

from kubeloop import Client, Informer, Pod
from kuryr.model.ownership import ClusterId, PoolUid, device_owner
from kuryr.model.pods import sandbox_uid
from kuryr.model.resources import KuryrNode, KuryrPort, KuryrPortPool
from kuryr.openstack.neutron import Neutron
from kuryr.sweeping.planner import Found


class Unreadable(Exception):
    """Objects that do not decode may explain anything."""


class Inventory:
    """Of one cluster."""

    def __init__(
        self,
        client: Client,
        neutron: Neutron,
        cluster: ClusterId,
        *,
        claims: Informer[KuryrPort],
        nodes: Informer[KuryrNode],
        pods: Informer[Pod],
    ) -> None:
        self._client = client
        self._neutron = neutron
        self._cluster = cluster
        self._claims = claims
        self._nodes = nodes
        self._pods = pods

    async def look(self) -> Found:
        """Raises `OpenStackError` and `ApiError`, and `Unreadable`."""
        ports = await self._neutron.fetch_ports(device_owner=device_owner(self._cluster))
        pools = await self._fetch_pools()
        claims = tuple(self._claims.store.list())
        return Found(
            ports=ports,
            pools=_uids(pools),
            named=_named(pools, self._nodes.store.list(), claims),
            claims=claims,
            pods=frozenset(map(sandbox_uid, self._pods.store.list())),
        )

    async def fetch_explanations(self) -> tuple[frozenset[PoolUid], frozenset[str]]:
        """The pools that are there, and the ports that anybody names, all live. Raises as `look`."""
        pools = await self._fetch_pools()
        nodes = await self._client.list_all(KuryrNode)
        claims = await self._client.list_all(KuryrPort)
        _must_decode(*nodes.undecodable, *claims.undecodable)
        return _uids(pools), _named(pools, nodes.items, claims.items)

    async def _fetch_pools(self) -> tuple[KuryrPortPool, ...]:
        page = await self._client.list_all(KuryrPortPool)
        _must_decode(*page.undecodable)
        return page.items


def _must_decode(*undecodable: object) -> None:
    if undecodable:
        raise Unreadable(f"nothing is swept while there are objects that do not decode: {undecodable[0]}")


def _uids(pools: Iterable[KuryrPortPool]) -> frozenset[PoolUid]:
    return frozenset(PoolUid(pool.metadata.uid) for pool in pools)


def _named(pools: Iterable[KuryrPortPool], nodes: Iterable[KuryrNode], claims: Iterable[KuryrPort]) -> frozenset[str]:
    """The ids of ports that somebody has, or may still use."""
    return frozenset(
        [
            *(interface.port_id for claim in claims for interface in claim.spec.interfaces),
            *(node.spec.interface.port_id for node in nodes if node.spec.interface is not None),
            *(entry.port_id for pool in pools for entry in pool.status.quarantine),
        ]
    )
