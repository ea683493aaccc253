"""`python -m kuryr.simulator`: a simulated OpenStack on loopback, for the `openstack` client, until it is interrupted.

$ python -m kuryr.simulator --latency
$ export OS_CLIENT_CONFIG_FILE=... OS_CLOUD=kuryr     # as it prints
$ openstack network list
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from kubeloop import until_signalled
from kuryr.simulator.cloud import Cloud
from kuryr.simulator.first_look import PASSWORD, USERS, furnish
from kuryr.simulator.http import HttpCloud
from kuryr.simulator.latency import latency_s


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m kuryr.simulator", description="A simulated Keystone and Neutron on loopback. Nothing is kept."
    )
    parser.add_argument("--port", type=int, default=0, help="default: one that is free")
    parser.add_argument("--latency", action="store_true", help="take as long as a real Neutron does on a small machine")
    arguments = parser.parse_args(argv)
    try:
        asyncio.run(until_signalled(_serve(arguments.port, latency=arguments.latency)))
    except OSError as error:
        print(f"cannot listen on port {arguments.port}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


async def _serve(port: int, *, latency: bool) -> None:
    chance = random.Random()  # noqa: S311 - a simulation
    cloud: Cloud = furnish(chance)

    def takes(method: str, path: str, body: bytes) -> float:
        return latency_s(method, path, body, chance)

    async with HttpCloud(cloud, port=port, latency=takes if latency else None) as server:
        with tempfile.TemporaryDirectory(prefix="kuryr-cloud-") as folder:
            path = Path(folder) / "clouds.yaml"
            path.write_text(clouds_yaml(server))
            print(_usage(server.url, path), flush=True)
            await asyncio.Event().wait()


def clouds_yaml(server: HttpCloud) -> str:
    """With a cloud for each user of `furnish`."""
    entries = {
        user: {"auth": server.auth(user, PASSWORD, project), "region_name": "RegionOne", "identity_api_version": 3}
        for user, project, _ in USERS
    }
    return yaml.safe_dump({"clouds": entries})


def _usage(url: str, path: Path) -> str:
    return f"""A simulated OpenStack listens on {url} (Keystone at /identity, Neutron at /network).

    export OS_CLIENT_CONFIG_FILE={path} OS_CLOUD=kuryr
    openstack network list

Ctrl-C ends it, and nothing is kept."""


if __name__ == "__main__":
    sys.exit(main())
