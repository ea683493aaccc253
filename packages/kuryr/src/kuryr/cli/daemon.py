"""`kuryr daemon`: wires the node's agent together."""

import asyncio
import logging

from kubeloop import Cluster, ClusterConfig, Part, load_config
from kuryr.cli.running import open_component
from kuryr.daemon.agent import Agent
from kuryr.daemon.arbiter import ports_of
from kuryr.daemon.host import Host, LinuxHost
from kuryr.daemon.local_copy import LocalCopy
from kuryr.daemon.node_port import NodePort
from kuryr.daemon.readiness import Readiness
from kuryr.daemon.receipts import Receipts
from kuryr.daemon.reporting import NodeReporter
from kuryr.daemon.wiring import Wiring
from kuryr.model.configuration import Configuration, ConfigurationError, require
from kuryr.model.resources import KuryrNode, KuryrPort, KuryrPortPool

log = logging.getLogger(__name__)


async def run_daemon(configuration: Configuration) -> None:
    """Runs until cancelled; leaves plug-in and CNI configuration in place."""
    require(configuration.daemon.node, "daemon.node")
    cluster = load_config(configuration.kubernetes.kubeconfig, configuration.kubernetes.context)
    with LinuxHost(configuration.daemon) as host:
        await run_node(configuration, cluster, host)


async def run_node(configuration: Configuration, cluster: ClusterConfig | Cluster, host: Host) -> None:
    """The daemon on the cluster and the machine that it is given. Until cancelled."""
    options = configuration.daemon
    node, vswitch = options.node, host.vswitch
    async with open_component("daemon", cluster, options.http) as runtime:
        wiring = Wiring(host.kernel, vswitch, bridge=options.integration_bridge)
        of_node = f"spec.node={node}"
        claims = runtime.informer(KuryrPort, field_selector=of_node, indexers={"port": ports_of})
        pools = runtime.informer(KuryrPortPool, field_selector=of_node)
        copy = LocalCopy(host.copy, claims, node=node)
        receipts = Receipts(runtime.client, claims, pools, wiring, copy, metrics=runtime.metrics)
        agent = Agent(
            claims,
            wiring,
            receipts,
            copy,
            Readiness(vswitch, host.ovn),
            add_timeout_s=options.add_timeout_s,
            plug_timeout_s=options.plug_timeout_s,
        )
        server = host.cni(agent)
        nodes = runtime.informer(KuryrNode, field_selector=f"metadata.name={node}")
        node_port = NodePort(
            nodes,
            host,
            node=node,
            bridge=options.integration_bridge,
        )
        reporter = NodeReporter(runtime.client, host, node=node, node_port=lambda: node_port.condition)
        nodes.add_handler(reporter.note)

        async def serve() -> None:
            """From the start: DEL needs no API server, ADD waits. The switch stays until the last undo is done."""
            async with asyncio.TaskGroup() as group:
                switch = group.create_task(vswitch.run())
                await copy.load()
                try:
                    await server.run()
                except OSError as error:
                    raise ConfigurationError(f"daemon.socket: cannot serve {options.socket}: {error}") from error
                finally:
                    switch.cancel()

        async def announce() -> None:
            host.install()
            log.info("daemon serves: node=%s socket=%s", node, options.socket)

        def alone(part: Part) -> Part:
            """Once the socket is ours: another daemon's ADDs we would undo, and know nothing of for our receipts."""

            async def run() -> None:
                await server.wait_listening()
                await part()

            return run

        runtime.run_with(serve)
        for part in (agent.keep_clean, copy.run):
            runtime.run_with(alone(part))
        for part in (receipts.controller.run, receipts.quarantine.run, node_port.run, reporter.run, announce):
            runtime.lead_with(alone(part))
        await runtime.run()
