"""`python -m kubeloop.simulator`: a simulated cluster for kubectl and for controllers, until it is interrupted.

With `--run` it is there for one program, which finds it by KUBECONFIG, and ends with it:

    python -m kubeloop.simulator --nodes 2 --apply crd.yaml --run controller.py
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from kubeloop.runtime import until_signalled
from kubeloop.simulator import ApiServer, SimulatedCluster
from kubeloop.simulator.controllers.cluster import run_controllers
from kubeloop.simulator.http import HttpSimulator, NotLoopback
from kubeloop.simulator.kubeconfig import written_kubeconfig
from kubeloop.simulator.manifests import ManifestError, apply_manifests, make_nodes


class Failed(Exception):
    """It cannot start. The message says why."""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: that of the program that was run, if any."""
    arguments = _parser().parse_args(argv)
    status = [0]

    async def run() -> None:
        status[0] = await _serve(arguments)

    try:
        asyncio.run(until_signalled(run()))
    except (Failed, ManifestError, NotLoopback) as error:
        print(error, file=sys.stderr)
        return 1
    return status[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kubeloop.simulator",
        description="A simulated Kubernetes API server over plain HTTP, without credentials. Nothing is kept.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    add("--port", type=int, default=0, help="default: one that is free")
    add("--reachable", action="store_true", help="allow a HOST that other machines reach; they may do everything here")
    add("--kubeconfig", type=Path, help="where to write it, and removed at the end (default: in a folder of its own)")
    add("--apply", type=Path, action="append", default=[], metavar="FILE", help="a manifest to begin with; repeatable")
    add("--nodes", type=int, default=1, metavar="N", help="nodes that are there and ready (default: %(default)s)")
    add("--no-controllers", action="store_true", help="nobody schedules, runs pods or collects garbage")
    add("--run", nargs=argparse.REMAINDER, metavar=("SCRIPT", "ARG"), help="a Python program to run, and end with it")
    return parser


async def _serve(arguments: argparse.Namespace) -> int:
    cluster = SimulatedCluster()
    async with _listening(arguments, cluster.server) as simulator:
        for path in arguments.apply:
            apply_manifests(cluster.server, path)
        make_nodes(cluster.server, arguments.nodes)
        with written_kubeconfig(simulator.url, arguments.kubeconfig) as kubeconfig:
            async with _controllers(cluster, wanted=not arguments.no_controllers):
                if arguments.run:
                    return await _run(arguments.run, kubeconfig)
                print(_usage(simulator.url, kubeconfig), flush=True)
                await asyncio.Event().wait()
    return 0


@asynccontextmanager
async def _controllers(cluster: SimulatedCluster, *, wanted: bool) -> AsyncIterator[None]:
    """Those of the cluster, which reach its server without HTTP."""
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run_controllers(cluster, cluster.server)) if wanted else None
        yield
        if running is not None:
            running.cancel()


@asynccontextmanager
async def _listening(arguments: argparse.Namespace, server: ApiServer) -> AsyncIterator[HttpSimulator]:
    simulator = HttpSimulator(server, host=arguments.host, port=arguments.port, reachable=arguments.reachable)
    try:
        await simulator.__aenter__()
    except OSError as error:
        where = f"{arguments.host}:{arguments.port}"
        raise Failed(f"cannot listen on {where}: {error.strerror or error}") from error
    try:
        yield simulator
    finally:
        await simulator.__aexit__()


def _usage(url: str, kubeconfig: Path) -> str:
    return f"""A simulated API server listens on {url} (plain HTTP, no credentials).

    export KUBECONFIG={kubeconfig}
    kubectl get nodes

Ctrl-C ends it, and nothing is kept."""


async def _run(program: Sequence[str], kubeconfig: Path) -> int:
    """Runs the user's program until its end; its exit status. When we are told to stop, so is it."""
    environ = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    # in a session of its own: a ^C in the terminal is told to it once, by us
    process = await asyncio.create_subprocess_exec(sys.executable, *program, env=environ, start_new_session=True)
    try:
        return await process.wait()
    except asyncio.CancelledError:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        raise


if __name__ == "__main__":
    sys.exit(main())
