"""`kuryr daemon`: wires the node's agent together."""

import asyncio
import logging

from kubeloop import Cluster, ClusterConfig, load_config
from kuryr.cli.running import open_component
from kuryr.daemon.agent import Agent
from kuryr.daemon.host import Host, LinuxHost
from kuryr.daemon.kernel import KernelError
from kuryr.daemon.node_port import NodePort
from kuryr.daemon.reporting import NodeReporter
from kuryr.daemon.vswitch import VswitchError
from kuryr.daemon.wiring import Wiring
from kuryr.model.configuration import Configuration, ConfigurationError, require
from kuryr.model.resources import KuryrNode, KuryrPort

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
        agent = Agent(
            runtime.client,
            runtime.informer(KuryrPort, field_selector=f"spec.node={node}"),
            wiring,
            is_connected=lambda: vswitch.system().connected,
            add_timeout_s=options.add_timeout_s,
            plug_timeout_s=options.plug_timeout_s,
            metrics=runtime.metrics,
        )
        server = host.cni(agent)
        node_port = NodePort(
            runtime.informer(KuryrNode, field_selector=f"metadata.name={node}"),
            host,
            node=node,
            bridge=options.integration_bridge,
        )
        reporter = NodeReporter(runtime.client, host, node=node, node_port=lambda: node_port.condition)

        async def clean_up() -> None:
            while True:
                await vswitch.wait_connected()
                try:
                    await wiring.sweep(lambda record: True)  # what a killed daemon left half-done
                    return
                except (VswitchError, KernelError) as error:
                    log.warning("cannot clean up yet: cause=%s", error)
                await asyncio.sleep(1)

        async def serve() -> None:
            """From the start: DEL needs no API server, ADD waits. The switch stays until the last undo is done."""
            async with asyncio.TaskGroup() as group:
                switch = group.create_task(vswitch.run())
                try:
                    await server.run()
                except OSError as error:
                    raise ConfigurationError(f"daemon.socket: cannot serve {options.socket}: {error}") from error
                finally:
                    switch.cancel()

        async def announce() -> None:
            await server.wait_listening()
            host.install()
            log.info("daemon serves: node=%s socket=%s", node, options.socket)

        runtime.run_with(serve)
        runtime.before_leading(clean_up)
        for part in (agent.controller.run, node_port.run, reporter.run, announce):
            runtime.lead_with(part)
        await runtime.run()
