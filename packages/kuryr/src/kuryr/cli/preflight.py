"""`kuryr preflight`: what would keep pods from their network, before it does."""

import argparse
import asyncio
import os
from collections.abc import Iterable

from kubeloop import connect, load_config
from kuryr.cli.running import FIELD_MANAGER, user_agent
from kuryr.model.configuration import load_configuration, require
from kuryr.openstack.clouds import load_cloud
from kuryr.openstack.session import HttpExchange, KeystoneToken, Session
from kuryr.preflight.checks import Finding, check, is_ready
from kuryr.preflight.reading import fetch_facts


def preflight(options: argparse.Namespace) -> int:
    """Prints the findings; 0 where nothing failed."""
    findings = asyncio.run(_check(options.config))
    for line in render(findings):
        print(line)
    return 0 if is_ready(findings) else 1


async def _check(path: str) -> tuple[Finding, ...]:
    configuration = load_configuration(path, os.environ)
    require(configuration.neutron.network, "neutron.network")
    cloud = load_cloud(configuration.openstack.cloud, configuration.openstack.clouds_file)
    cluster = load_config(configuration.kubernetes.kubeconfig, configuration.kubernetes.context)
    agent = user_agent("preflight")
    exchange, token = HttpExchange(cloud), KeystoneToken(cloud)
    try:
        async with connect(cluster, user_agent=agent, field_manager=FIELD_MANAGER) as client:
            session = Session(token, exchange, "network", user_agent=agent)
            return check(await fetch_facts(configuration, client, session, await token.fetch_identity()))
    finally:
        await exchange.close()


def render(findings: Iterable[Finding]) -> tuple[str, ...]:
    """A line for each, and one below for what to do."""
    return tuple(
        line
        for one in findings
        for line in (f"{one.level:8s} {one.what}", *((f"         -> {one.todo}",) if one.todo else ()))
    )
