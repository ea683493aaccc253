"""`kuryr controller`: wires the controllers together. The only place where they meet."""

import asyncio
import logging

from kubeloop.client.client import Client, connect
from kubeloop.client.errors import ApiError
from kubeloop.client.kubeconfig import load_config
from kubeloop.informer.informer import Informer
from kubeloop.informer.store import Change
from kubeloop.model.core import Namespace, Pod
from kuryr.cli.running import FIELD_MANAGER, run_together, user_agent
from kuryr.model.configuration import Configuration, require
from kuryr.model.ownership import ClusterId, PortId
from kuryr.model.resources import KuryrNode, KuryrPort, KuryrPortPool
from kuryr.openstack.clouds import load_cloud
from kuryr.openstack.errors import OpenStackError, Unauthorised
from kuryr.openstack.neutron import Neutron
from kuryr.openstack.placement import Placement, fetch_placement
from kuryr.openstack.session import HttpExchange, KeystoneToken, Session
from kuryr.pools.controller import PoolController
from kuryr.pools.ledger import PortLedger
from kuryr.pools.source import PoolSource
from kuryr.ports.controller import PortController, index_by_node

log = logging.getLogger(__name__)

_PORT_INDEX = "port"


async def run_controller(configuration: Configuration) -> None:
    """Runs until SIGTERM."""
    require(configuration.neutron.network, "neutron.network")
    cloud = load_cloud(configuration.openstack.cloud, configuration.openstack.clouds_file)
    cluster_config = load_config(configuration.kubernetes.kubeconfig, configuration.kubernetes.context)
    exchange = HttpExchange(cloud)
    session = Session(KeystoneToken(cloud), exchange, "network", user_agent=user_agent("controller"))
    neutron = Neutron(session, timeout_s=configuration.neutron.timeout_s)
    agent = user_agent("controller")
    try:
        async with connect(cluster_config, user_agent=agent, field_manager=FIELD_MANAGER) as client:
            cluster, placement = await _facts(configuration, client, neutron)
            await _run(configuration, client, neutron, cluster, placement)
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


async def _run(
    configuration: Configuration, client: Client, neutron: Neutron, cluster: ClusterId, placement: Placement
) -> None:
    pods = Informer(client, Pod, field_selector="spec.nodeName!=,spec.hostNetwork=false")
    nodes = Informer(client, KuryrNode)
    pools = Informer(client, KuryrPortPool, indexers=index_by_node())
    claims = Informer(
        client, KuryrPort, indexers={_PORT_INDEX: lambda claim: (one.port_id for one in claim.spec.interfaces)}
    )
    ledger = PortLedger(
        lambda port: bool(claims.store.by_index(_PORT_INDEX, port)), cool_down_s=configuration.pools.cool_down_s
    )
    source = PoolSource(neutron, ledger, cluster=cluster, placement=placement, node=nodes.store.get)
    claims.add_handler(lambda change: _note_released(ledger, change))
    pool_controller = PoolController(client, source, ledger, placement, nodes=nodes, pools=pools, claims=claims)
    ports = PortController(
        client, source, pods=pods, claims=claims, pools=pools, workers=configuration.controller.workers
    )

    async def work() -> None:
        # claims first, then Neutron: a port is free only if no KuryrPort of before the list names it
        for informer in (claims, pools, nodes, pods):
            await informer.wait_synced()
        await _resync(source)
        log.info("controller starts: cluster=%s network=%s", cluster, placement.network.name)
        async with asyncio.TaskGroup() as group:
            for controller in (pool_controller.pools, pool_controller.counts, ports.controller):
                group.create_task(controller.run())
            group.create_task(pool_controller.tend())

    await run_together(pods.run(), nodes.run(), pools.run(), claims.run(), work())


async def _resync(source: PoolSource) -> None:
    while True:
        try:
            return await source.resync()
        except OpenStackError as error:
            log.warning("cannot list our ports yet: cause=%s", error)
        await asyncio.sleep(2)


def _note_released(ledger: PortLedger, change: Change[KuryrPort]) -> None:
    if change.new is None and change.old is not None:
        for interface in change.old.spec.interfaces:
            ledger.released(PortId(interface.port_id), asyncio.get_running_loop().time())
