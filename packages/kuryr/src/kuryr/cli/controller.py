"""`kuryr controller`: wires the controllers together. The only place where they meet."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from kubeloop import (
    ApiError,
    Change,
    Client,
    Cluster,
    ClusterConfig,
    Fence,
    Namespace,
    ObjectKey,
    Pod,
    Runtime,
    load_config,
)
from kuryr.cli.running import open_component, user_agent
from kuryr.model.configuration import Configuration, require
from kuryr.model.ownership import ClusterId, PortId
from kuryr.model.resources import KuryrNode, KuryrPort, KuryrPortPool
from kuryr.nodes.node_port import NodePortController
from kuryr.openstack.clouds import Cloud, load_cloud
from kuryr.openstack.errors import OpenStackError, Unauthorised
from kuryr.openstack.neutron import Neutron
from kuryr.openstack.placement import Placement, fetch_placement
from kuryr.openstack.session import HttpExchange, KeystoneToken, Session
from kuryr.pools.controller import PoolController
from kuryr.pools.ledger import PortLedger
from kuryr.pools.planner import desire_pool
from kuryr.pools.source import PoolSource
from kuryr.ports.controller import PortController
from kuryr.ports.notices import PodNotices

log = logging.getLogger(__name__)

_PORT_INDEX = "port"


OpenCloud = Callable[[Fence], AbstractAsyncContextManager[Session]]
"""The network service as the controller reaches it, writes fenced: the seam that a simulated OpenStack replaces."""


async def run_controller(configuration: Configuration) -> None:
    """Runs until cancelled."""
    require(configuration.neutron.network, "neutron.network")
    cloud = load_cloud(configuration.openstack.cloud, configuration.openstack.clouds_file)
    cluster = load_config(configuration.kubernetes.kubeconfig, configuration.kubernetes.context)
    await control(configuration, cluster, lambda fence: _open_cloud(cloud, fence))


async def control(configuration: Configuration, cluster: ClusterConfig | Cluster, open_cloud: OpenCloud) -> None:
    """The controller on the cluster and the cloud that it is given. Until cancelled."""
    http = configuration.controller.http
    async with (
        open_component("controller", cluster, http) as runtime,
        open_cloud(runtime.fence) as session,
    ):
        neutron = Neutron(session, timeout_s=configuration.neutron.timeout_s)
        cluster_id, placement = await _facts(configuration, runtime.client, neutron)
        assemble(runtime, configuration, neutron, cluster_id, placement)
        await runtime.run()


@asynccontextmanager
async def _open_cloud(cloud: Cloud, fence: Fence) -> AsyncIterator[Session]:
    exchange = HttpExchange(cloud, fence=fence)
    try:
        yield Session(KeystoneToken(cloud), exchange, "network", user_agent=user_agent("controller"))
    finally:
        await exchange.close()


async def _facts(configuration: Configuration, client: Client, neutron: Neutron) -> tuple[ClusterId, Placement]:
    """What must be known before anything is decided; waits for servers that are not there yet."""
    while True:
        try:
            cluster = configuration.cluster_id or (await client.get(Namespace, "kube-system")).metadata.uid
            return ClusterId(cluster), await fetch_placement(neutron, configuration.neutron)
        except (ApiError, OpenStackError) as error:
            if isinstance(error, Unauthorised) or not error.retryable:
                raise
            log.warning("waiting for the servers: cause=%s", error)
        await asyncio.sleep(2)


def assemble(
    runtime: Runtime, configuration: Configuration, neutron: Neutron, cluster: ClusterId, placement: Placement
) -> None:
    """The controllers, their informers and the order in which they start."""
    pods = runtime.informer(Pod, field_selector="spec.nodeName!=,spec.hostNetwork=false")
    nodes = runtime.informer(KuryrNode, indexers={_PORT_INDEX: _port_of_node})
    pools = runtime.informer(KuryrPortPool)
    claims = runtime.informer(
        KuryrPort, indexers={_PORT_INDEX: lambda claim: (one.port_id for one in claim.spec.interfaces)}
    )

    def is_claimed(port: PortId) -> bool:
        return bool(claims.store.by_index(_PORT_INDEX, port) or nodes.store.by_index(_PORT_INDEX, port))

    ledger = PortLedger(is_claimed, cool_down_s=configuration.pools.cool_down_s)
    source = PoolSource(neutron, ledger, cluster=cluster, placement=placement, node=nodes.store.get)

    def pool_of(name: str) -> KuryrPortPool | None:
        """By what is configured now: pools of an older configuration may be left, for the pods that they have."""
        node = nodes.store.get(ObjectKey("", name))
        desired = desire_pool(node, placement) if node is not None else None
        return pools.store.get(desired.key) if desired is not None else None

    claims.add_handler(lambda change: _note_released(ledger, change))
    nodes.add_handler(lambda change: _note_node_port_released(ledger, change))
    # claims first, then Neutron: a port is free only if no KuryrPort of before the list names it
    runtime.before_leading(lambda: _resync(source))
    pool_controller = PoolController(
        runtime.client, source, ledger, placement, nodes=nodes, pools=pools, claims=claims, metrics=runtime.metrics
    )
    ports = PortController(
        runtime.client,
        source,
        pods=pods,
        claims=claims,
        nodes=nodes,
        pools=pools,
        pool_of=pool_of,
        notices=PodNotices(runtime.client, runtime.recorder),
        workers=configuration.controller.workers,
        metrics=runtime.metrics,
    )
    node_ports = NodePortController(
        runtime.client,
        source,
        nodes=nodes,
        pools=pools,
        pool_of=pool_of,
        is_there=ledger.holds,
        metrics=runtime.metrics,
    )
    for controller in (pool_controller.pools, pool_controller.counts, node_ports.controller, ports.controller):
        runtime.lead_with(controller.run)
    runtime.lead_with(pool_controller.tend)


async def _resync(source: PoolSource) -> None:
    while True:
        try:
            return await source.resync()
        except OpenStackError as error:
            log.warning("cannot list our ports yet: cause=%s", error)
        await asyncio.sleep(2)


def _port_of_node(node: KuryrNode) -> tuple[str, ...]:
    return (node.spec.interface.port_id,) if node.spec.interface is not None else ()


def _note_released(ledger: PortLedger, change: Change[KuryrPort]) -> None:
    if change.new is None and change.old is not None:
        for interface in change.old.spec.interfaces:
            ledger.released(PortId(interface.port_id), asyncio.get_running_loop().time())


def _note_node_port_released(ledger: PortLedger, change: Change[KuryrNode]) -> None:
    before = _port_of_node(change.old) if change.old is not None else ()
    after = _port_of_node(change.new) if change.new is not None else ()
    for port in before:
        if port not in after:
            ledger.released(PortId(port), asyncio.get_running_loop().time())
