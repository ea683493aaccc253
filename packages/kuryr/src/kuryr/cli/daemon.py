"""`kuryr daemon`: wires the node's agent together."""

import asyncio
import logging
import sys
from pathlib import Path

from kubeloop import load_config
from kuryr.cli.running import open_component
from kuryr.daemon.agent import Agent
from kuryr.daemon.cni.install import Installation, ensure_installed
from kuryr.daemon.cni.server import CniServer
from kuryr.daemon.kernel import KernelError
from kuryr.daemon.netlink.kernel import NetlinkKernel
from kuryr.daemon.ovn import OvnController
from kuryr.daemon.ovsdb.vswitch import OvsdbVswitch
from kuryr.daemon.reporting import NodeReporter
from kuryr.daemon.vswitch import VswitchError
from kuryr.daemon.wiring import Wiring
from kuryr.model.configuration import Configuration, ConfigurationError, require
from kuryr.model.resources import KuryrPort

log = logging.getLogger(__name__)


async def run_daemon(configuration: Configuration) -> None:
    """Runs until cancelled; leaves plug-in and CNI configuration in place."""
    options = configuration.daemon
    node = require(options.node, "daemon.node")
    cluster = load_config(configuration.kubernetes.kubeconfig, configuration.kubernetes.context)
    installation = Installation(
        plugin_dir=Path(options.cni_bin_dir),
        config_dir=Path(options.cni_conf_dir),
        socket=Path(options.socket),
        interpreter=_interpreter(),
    )
    vswitch = OvsdbVswitch(options.ovsdb)
    ovn = OvnController(Path(options.ovn_run_dir))
    async with open_component("daemon", cluster, options.http) as runtime:
        with NetlinkKernel() as kernel:
            wiring = Wiring(kernel, vswitch, bridge=options.integration_bridge)
            agent = Agent(
                runtime.client,
                runtime.informer(KuryrPort, field_selector=f"spec.node={node}"),
                wiring,
                is_connected=lambda: vswitch.system().connected,
                add_timeout_s=options.add_timeout_s,
                plug_timeout_s=options.plug_timeout_s,
                metrics=runtime.metrics,
            )
            server = CniServer(options.socket, agent)
            reporter = NodeReporter(runtime.client, vswitch, kernel, ovn, node=node)

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
                try:
                    ensure_installed(installation)
                except (OSError, ValueError) as error:
                    raise ConfigurationError(f"daemon.cni_bin_dir, daemon.cni_conf_dir: {error}") from error
                log.info("daemon serves: node=%s socket=%s", node, options.socket)

            runtime.run_with(serve)
            runtime.before_leading(clean_up)
            for part in (agent.controller.run, reporter.run, announce):
                runtime.lead_with(part)
            await runtime.run()


def _interpreter() -> str:
    """The plug-in needs only the standard library: the system's Python where there is one, for it outlives ours."""
    system = Path("/usr/bin/python3")
    return str(system) if system.exists() else str(Path(sys.executable).resolve())
