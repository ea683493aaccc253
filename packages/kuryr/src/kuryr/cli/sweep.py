"""`kuryr sweep`: shows what the sweeper would delete and why, and lets a person approve exactly that.

All is in the KuryrCluster, so this needs no OpenStack credentials: the leading controller looks, and deletes.
"""

import argparse
import asyncio
import os

from kubeloop import Client, Conflict, MergePatch, NotFound, connect, find_condition, load_config
from kuryr.cli.running import FIELD_MANAGER, Refused, user_agent
from kuryr.model.configuration import load_configuration
from kuryr.model.resources import CLUSTER_NAME, KuryrCluster
from kuryr.sweeping.report import SWEEP_ALLOWED


def sweep(options: argparse.Namespace) -> int:
    """Prints the plan; with `--apply` approves what it printed."""
    configuration = load_configuration(options.config, os.environ)
    cluster = load_config(configuration.kubernetes.kubeconfig, configuration.kubernetes.context)

    async def run() -> None:
        async with connect(cluster, user_agent=user_agent("sweep"), field_manager=FIELD_MANAGER) as client:
            shown = await fetch_cluster(client)
            print("\n".join(render(shown)))
            if options.apply is not None:
                print(await approve(client, shown, options.apply))

    asyncio.run(run())
    return 0


async def fetch_cluster(client: Client) -> KuryrCluster:
    """Raises `Refused` where no controller has ever led."""
    try:
        return await client.get(KuryrCluster, CLUSTER_NAME)
    except NotFound as error:
        raise Refused("there is no KuryrCluster: no kuryr controller has run here yet") from error


def render(cluster: KuryrCluster) -> tuple[str, ...]:
    """A table, and what the sweeper says of it."""
    plan = cluster.status.sweep
    allowed = find_condition(cluster.status.conditions, SWEEP_ALLOWED)
    said = f"{allowed.reason}: {allowed.message}".removesuffix(": ") if allowed is not None else "not looked yet"
    if not plan.total:
        return ("There is nothing to sweep.", said)
    widths = [max(map(len, column)) for column in zip(*((one.kind, one.name) for one in plan.steps), strict=True)]
    rows = [f"{one.kind:{widths[0]}s}  {one.name:{widths[1]}s}  {one.reason}" for one in plan.steps]
    more = [f"... and {plan.total - len(rows)} more"] if plan.total > len(rows) else []
    return (f"{'KIND':{widths[0]}s}  {'NAME':{widths[1]}s}  WHY", *rows, *more, f"plan {plan.digest}", said)


async def approve(client: Client, shown: KuryrCluster, digest: str) -> str:
    """Approves the plan that was shown, or the one of `digest` if it is still that. Raises `Refused`."""
    plan = shown.status.sweep
    allowed = find_condition(shown.status.conditions, SWEEP_ALLOWED)
    if allowed is not None and allowed.reason == "ClusterIdShared":
        raise Refused(f"nothing is swept, whatever is approved: {allowed.message}")
    if digest and digest != plan.digest:
        raise Refused(f"the plan is {plan.digest or 'empty'} now, not {digest}: look at it again")
    if not plan.total:
        return "Nothing was approved."
    patch = MergePatch({"spec": {"approvedSweep": plan.digest}})
    meta = shown.metadata
    try:
        await client.patch(KuryrCluster, CLUSTER_NAME, patch, uid=meta.uid, resource_version=meta.resource_version)
    except Conflict as error:
        raise Refused("the plan has changed while you looked: run the command again") from error
    return f"Approved: the controller deletes these {plan.total}. See `kubectl describe kuryrcluster {CLUSTER_NAME}`."
