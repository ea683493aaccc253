"""`kuryr uninstall`: takes out of cluster and cloud what Kuryr made, and lists what stays.

It holds the controllers' lease while it works: so none works beside it, and it does not begin while one leads. The
nodes' daemons must run: they give the receipts.
"""

import argparse
import asyncio
import os
from collections.abc import Callable

from kubeloop import Cluster, ClusterConfig, LeaseName, connect, load_config
from kuryr.cli.controller import LEASE, OpenCloud, fetch_cluster_id, open_cloud
from kuryr.cli.removal import Present, Removal, some
from kuryr.cli.running import FIELD_MANAGER, Refused, open_component, user_agent
from kuryr.model.configuration import Configuration, load_configuration
from kuryr.openstack.clouds import load_cloud
from kuryr.openstack.neutron import Neutron

_LEASE_WAIT_S = 30.0
"""Longer than a killed controller's lease lasts."""


def uninstall(options: argparse.Namespace) -> int:
    """Prints what it does; with `--plan` what it would do."""
    configuration = load_configuration(options.config, os.environ)
    cloud = load_cloud(configuration.openstack.cloud, configuration.openstack.clouds_file)
    cluster = load_config(configuration.kubernetes.kubeconfig, configuration.kubernetes.context)

    def say(line: str) -> None:
        print(line, flush=True)

    asyncio.run(
        remove(
            configuration,
            cluster,
            lambda fence: open_cloud(cloud, fence, "uninstall"),
            say,
            plan=options.plan,
            force=options.force,
            wait_s=options.wait,
        )
    )
    return 0


async def remove(
    configuration: Configuration,
    cluster: ClusterConfig | Cluster,
    cloud: OpenCloud,
    say: Callable[[str], None],
    *,
    plan: bool = False,
    force: bool = False,
    wait_s: float = 60.0,
    lease_wait_s: float = _LEASE_WAIT_S,
) -> None:
    """On the cluster and the cloud that it is given. Raises `Refused` where a person must do something first."""
    if plan:
        return await _show(configuration, cluster, cloud, say)
    lease = LeaseName(configuration.controller.lease_namespace, LEASE)
    async with (
        open_component("uninstall", cluster, "", lease=lease) as runtime,
        cloud(runtime.fence) as session,
    ):
        leading = asyncio.Event()

        async def lead() -> None:
            leading.set()
            cluster_id = await fetch_cluster_id(configuration, runtime.client)
            neutron = Neutron(session, timeout_s=configuration.neutron.timeout_s)
            present = await Removal(runtime.client, neutron, cluster_id, say, force=force, wait_s=wait_s).run()
            for line in stays(configuration, present):
                say(line)

        async def lose_patience() -> None:
            try:
                async with asyncio.timeout(lease_wait_s):
                    await leading.wait()
            except TimeoutError as error:
                raise Refused(
                    f"a kuryr controller leads: it holds the Lease {lease.namespace}/{lease.name}. Stop all its "
                    "replicas and run this again; the daemons must go on"
                ) from error

        runtime.lead_with(lead)
        runtime.run_with(lose_patience)
        await runtime.run()
    return None


class _Anybody:
    """The fence of who only reads."""

    def check(self) -> None:
        """Never refuses."""


async def _show(
    configuration: Configuration, cluster: ClusterConfig | Cluster, cloud: OpenCloud, say: Callable[[str], None]
) -> None:
    async with (
        connect(cluster, user_agent=user_agent("uninstall"), field_manager=FIELD_MANAGER) as client,
        cloud(_Anybody()) as session,
    ):
        neutron = Neutron(session, timeout_s=configuration.neutron.timeout_s)
        present = await Removal(client, neutron, await fetch_cluster_id(configuration, client), say).fetch()
    for line in (*would_do(present), *stays(configuration, present)):
        say(line)


def would_do(present: Present) -> tuple[str, ...]:
    """What a run would do now."""
    users, foreign = some(str(pod.key) for pod in present.users), some(port.id for port in present.foreign)
    return (
        *([f"refuses, as ports of our mark seem to be another cluster's: {foreign}"] if foreign else []),
        *([f"refuses, as pods need their network: {users} (--force takes it away)"] if users else []),
        f"deletes {len(present.claims)} KuryrPorts, and waits for the nodes' receipts",
        *([f"waits for {present.quarantined} ports in quarantine"] if present.quarantined else []),
        f"deletes {len(present.ports)} Neutron ports",
        f"deletes {len(present.definitions)} definitions with all objects of their kinds",
    )


def stays(configuration: Configuration, present: Present) -> tuple[str, ...]:
    """What is not ours to delete, or is still needed until the end."""
    daemon, names = configuration.daemon, ", ".join(present.nodes)
    return (
        "what stays, for you to remove:",
        "- the controller's Deployment, the daemon's DaemonSet, and what deploy/ made: namespace kuryr-system, roles, "
        "admission policy",
        f"- on the nodes ({names}), when the daemon has ended: {daemon.cni_conf_dir}/10-kuryr.conflist, "
        f"{daemon.cni_bin_dir}/kuryr-cni, {daemon.state_dir}, and port kuryr0 of {daemon.integration_bridge}",
        "- in OpenStack: the network, its subnets and the security groups, which were yours",
    )
