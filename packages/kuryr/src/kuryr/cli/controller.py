"""`kuryr controller`: wires the controllers together. The only place where they meet.

Replicas contend for a Lease. A standby has warm stores and serves /healthz and /readyz; all else is made when the lease
is taken, so nothing of an earlier term is left. What a new leader knows, it knows in this order: claims, then what else
may name a port, then pods, then Neutron. So a port is free only if nothing of before names it, and a claim is without a
pod only if its pod is gone.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from kubeloop import (
    ApiError,
    Change,
    Client,
    Cluster,
    ClusterConfig,
    Fence,
    Informer,
    KubeObject,
    LeaseName,
    Namespace,
    ObjectKey,
    Pod,
    Runtime,
    load_config,
)
from kuryr.cli.running import open_component, user_agent
from kuryr.model.configuration import Configuration, require
from kuryr.model.machines import Machine, without_details
from kuryr.model.ownership import ClusterId, PoolUid, PortId
from kuryr.model.resources import KuryrCluster, KuryrNode, KuryrPort, KuryrPortPool
from kuryr.nodes.node_port import NodePortController
from kuryr.nodes.release import NAMESPACE_INDEX, NODE_INDEX, POOL_INDEX, ReleaseController
from kuryr.openstack.clouds import Cloud, load_cloud
from kuryr.openstack.errors import CloudConfigError, OpenStackError
from kuryr.openstack.neutron import Api, Neutron
from kuryr.openstack.placement import Placement, fetch_placement
from kuryr.openstack.session import HttpExchange, KeystoneToken, Session
from kuryr.pools.controller import PoolController
from kuryr.pools.ledger import PortLedger
from kuryr.pools.planner import desire_pool
from kuryr.pools.source import PoolSource
from kuryr.ports.controller import PortController
from kuryr.ports.notices import PodNotices
from kuryr.ports.trouble import PortTrouble
from kuryr.sweeping.broom import Broom
from kuryr.sweeping.controller import SweepController
from kuryr.sweeping.inventory import Inventory

log = logging.getLogger(__name__)

LEASE = "kuryr-controller"

_PORT_INDEX = "port"

T = TypeVar("T")
Named = TypeVar("Named", bound=KubeObject)

Facts = tuple[ClusterId, Placement]
"""What must be known before anything is decided."""

OpenCloud = Callable[[Fence], AbstractAsyncContextManager[Api]]
"""The network service as the controller reaches it, writes fenced: the seam that a simulated OpenStack replaces."""


async def run_controller(configuration: Configuration) -> None:
    """Runs until cancelled."""
    require(configuration.neutron.network, "neutron.network")
    cloud = load_cloud(configuration.openstack.cloud, configuration.openstack.clouds_file)
    cluster = load_config(configuration.kubernetes.kubeconfig, configuration.kubernetes.context)
    await control(configuration, cluster, lambda fence: open_cloud(cloud, fence, "controller"))


async def control(configuration: Configuration, cluster: ClusterConfig | Cluster, open_cloud: OpenCloud) -> None:
    """The controller on the cluster and the cloud that it is given. Until cancelled."""
    options = configuration.controller
    lease = LeaseName(options.lease_namespace, LEASE)
    async with (
        open_component("controller", cluster, options.http, lease=lease) as runtime,
        open_cloud(runtime.fence) as session,
    ):
        neutron = Neutron(session, timeout_s=configuration.neutron.timeout_s)
        assemble(runtime, configuration, neutron, lambda: _fetch_facts(configuration, runtime.client, neutron))
        await runtime.run()


@asynccontextmanager
async def open_cloud(cloud: Cloud, fence: Fence, component: str) -> AsyncIterator[Session]:
    """The real one's network service, for a command of ours."""
    exchange = HttpExchange(cloud, fence=fence)
    try:
        yield Session(KeystoneToken(cloud), exchange, "network", user_agent=user_agent(component))
    finally:
        await exchange.close()


async def _fetch_facts(configuration: Configuration, client: Client, neutron: Neutron) -> Facts:
    return await fetch_cluster_id(configuration, client), await fetch_placement(neutron, configuration.neutron)


async def fetch_cluster_id(configuration: Configuration, client: Client) -> ClusterId:
    """What marks this cluster's ports in Neutron."""
    return ClusterId(configuration.cluster_id or (await client.get(Namespace, "kube-system")).metadata.uid)


class _Servers:
    """Waits for them as long as it takes: no restart mends a cloud. /readyz says meanwhile what a leader waits for."""

    def __init__(self) -> None:
        self.cause: str | None = None

    async def answer(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                answer = await ask()
            except (ApiError, OpenStackError, CloudConfigError) as error:
                self.cause = str(error)
                log.warning("waiting for the servers: cause=%s", error)
            else:
                self.cause = None
                return answer
            await asyncio.sleep(2)


class _Informers:
    """What a replica follows, in the order in which a new leader lists."""

    def __init__(self, runtime: Runtime) -> None:
        self.claims = runtime.informer(
            KuryrPort,
            indexers={
                _PORT_INDEX: _ports_of_claim,
                POOL_INDEX: lambda claim: (claim.spec.pool,),
                NODE_INDEX: lambda claim: (claim.spec.node,),
                NAMESPACE_INDEX: lambda claim: (claim.metadata.namespace,),
            },
        )
        self.pools = runtime.informer(
            KuryrPortPool, indexers={_PORT_INDEX: _ports_of_pool, NODE_INDEX: lambda pool: (pool.spec.node,)}
        )
        self.nodes = runtime.informer(KuryrNode, indexers={_PORT_INDEX: _ports_of_node})
        self.machines = runtime.informer(Machine, transform=without_details)
        self.namespaces = runtime.informer(Namespace)
        self.pods = runtime.informer(Pod, field_selector="spec.nodeName!=,spec.hostNetwork=false")
        self.clusters = runtime.informer(KuryrCluster)

    def is_claimed(self, port: PortId) -> bool:
        """Something names it, so it is not free, whatever else is known of it. Of an object that was never read nobody
        knows what it names: while there is one, no port is free.
        """
        informers: tuple[Informer[Any], ...] = (self.claims, self.pools, self.nodes)
        return any(one.store.by_index(_PORT_INDEX, port) or _has_unread(one) for one in informers)

    def tell_released(self, ledger: PortLedger) -> None:
        """From now on the ledger hears what is not named any more."""
        self.claims.add_handler(lambda change: _note_released(ledger, change, _ports_of_claim))
        self.pools.add_handler(lambda change: _note_released(ledger, change, _ports_of_pool))
        self.nodes.add_handler(lambda change: _note_released(ledger, change, _ports_of_node))


def assemble(
    runtime: Runtime, configuration: Configuration, neutron: Neutron, fetch_facts: Callable[[], Awaitable[Facts]]
) -> None:
    """Informers and health now; when this process leads, the facts, Neutron's ports, and then the controllers."""
    informers, servers = _Informers(runtime), _Servers()
    if runtime.serving is not None:
        runtime.serving.add_readiness_check("servers", lambda: servers.cause)

    async def lead() -> None:
        cluster, placement = await servers.answer(fetch_facts)
        await _lead(runtime, configuration, neutron, informers, servers, cluster, placement)

    runtime.lead_with(lead)


async def _lead(
    runtime: Runtime,
    configuration: Configuration,
    neutron: Neutron,
    informers: _Informers,
    servers: _Servers,
    cluster: ClusterId,
    placement: Placement,
) -> None:
    """One term: a ledger made anew, Neutron listed, and the controllers until cancelled."""
    claims, pools, nodes = informers.claims, informers.pools, informers.nodes
    ledger = PortLedger(informers.is_claimed, cool_down_s=configuration.pools.cool_down_s)
    source = PoolSource(neutron, ledger, cluster=cluster, placement=placement, node=nodes.store.get)

    def pool_of(name: str) -> KuryrPortPool | None:
        """By what is configured now: pools of an older configuration may be left, for the pods that they have."""
        node = nodes.store.get(ObjectKey("", name))
        desired = desire_pool(node, placement) if node is not None else None
        pool = pools.store.get(desired.key) if desired is not None else None
        return None if pool is None or source.is_retired(PoolUid(pool.metadata.uid)) else pool

    informers.tell_released(ledger)
    await servers.answer(source.resync)
    ledger.rest_all(until=asyncio.get_running_loop().time() + configuration.neutron.timeout_s)
    ports = PortController(
        runtime.client,
        source,
        pods=informers.pods,
        claims=claims,
        nodes=nodes,
        pools=pools,
        pool_of=pool_of,
        notices=PodNotices(runtime.client, runtime.recorder),
        trouble=PortTrouble(runtime.client, runtime.recorder),
        workers=configuration.controller.workers,
        metrics=runtime.metrics,
    )

    def look_at_claims(changed: Iterable[PortId]) -> None:
        for port in changed:
            for claim in claims.store.by_index(_PORT_INDEX, port):
                ports.controller.enqueue(claim.key)

    pool_controller = PoolController(
        runtime.client,
        source,
        ledger,
        placement,
        nodes=nodes,
        machines=informers.machines,
        pools=pools,
        claims=claims,
        changed=look_at_claims,
        list_every_s=configuration.pools.list_every_s,
        metrics=runtime.metrics,
    )
    node_ports = NodePortController(
        runtime.client,
        source,
        nodes=nodes,
        pools=pools,
        pool_of=pool_of,
        is_usable=source.is_usable,
        metrics=runtime.metrics,
    )
    release = ReleaseController(
        runtime.client,
        source,
        claims=claims,
        pools=pools,
        machines=informers.machines,
        namespaces=informers.namespaces,
        quarantine_after_s=configuration.pools.quarantine_after_s,
        metrics=runtime.metrics,
    )
    inventory = Inventory(runtime.client, neutron, cluster, claims=claims, nodes=nodes, pods=informers.pods)
    sweep = SweepController(
        runtime.client,
        runtime.recorder,
        inventory,
        Broom(runtime.client, neutron, inventory, source.discard),
        cluster=cluster,
        options=configuration.sweep,
        clusters=informers.clusters,
        pools=pools,
        metrics=runtime.metrics,
    )
    async with asyncio.TaskGroup() as group:
        for controller in (
            pool_controller.pools,
            pool_controller.counts,
            node_ports.controller,
            release.controller,
            sweep.controller,
            ports.controller,
        ):
            group.create_task(controller.run())
        group.create_task(pool_controller.tend())


def _has_unread(informer: Informer[Any]) -> bool:
    """There is an object that does not decode, and no earlier state of it that did."""
    return any(informer.store.get(key) is None for key in informer.undecodable)


def _ports_of_claim(claim: KuryrPort) -> Iterable[str]:
    return (interface.port_id for interface in claim.spec.interfaces)


def _ports_of_pool(pool: KuryrPortPool) -> Iterable[str]:
    """In quarantine."""
    return (entry.port_id for entry in pool.status.quarantine)


def _ports_of_node(node: KuryrNode) -> Iterable[str]:
    return (node.spec.interface.port_id,) if node.spec.interface is not None else ()


def _note_released(ledger: PortLedger, change: Change[Named], ports_of: Callable[[Named], Iterable[str]]) -> None:
    after = set(ports_of(change.new)) if change.new is not None else set()
    for port in ports_of(change.old) if change.old is not None else ():
        if port not in after:
            ledger.released(PortId(port), asyncio.get_running_loop().time())
