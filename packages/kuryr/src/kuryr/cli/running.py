"""What every long-running command shares: who we are at the servers, and a runtime with its health server."""

from contextlib import AbstractAsyncContextManager
from importlib.metadata import version

from kubeloop import Cluster, ClusterConfig, LeaseName, Runtime, open_runtime
from kuryr.model.configuration import ConfigurationError

FIELD_MANAGER = "kuryr"


class Refused(Exception):
    """What a person asks for is not done. The message says why, and what to do."""


def user_agent(component: str) -> str:
    """How we are counted at the servers: `kuryr-controller/0.1.0`."""
    return f"kuryr-{component}/{version('kuryr')}"


def open_component(
    component: str, cluster: ClusterConfig | Cluster, http: str, *, lease: LeaseName | None = None
) -> AbstractAsyncContextManager[Runtime]:
    """A runtime of ours; with a `lease` only one replica works at a time. `http` is where it serves metrics and health:
    host:port, empty for not at all. Raises `ConfigurationError`.
    """
    host, _, port = http.rpartition(":")
    if http and int(port) > 65535:
        raise ConfigurationError(f"{component}.http: there is no port {port}: they end at 65535")
    return open_runtime(
        cluster,
        name=FIELD_MANAGER,
        user_agent=user_agent(component),
        lease=lease,
        serve_on=(host.strip("[]"), int(port)) if http else None,
    )
