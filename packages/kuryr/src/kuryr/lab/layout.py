"""Names, addresses and places of the lab: the one table that everything else reads.

Everything that runs lives under `state` and goes with `down`; everything that was built or downloaded lives under
`cache` and stays. All network namespaces and all interfaces in the root namespace begin with `kuryr-`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FABRIC = "kuryr-fabric"
WORLD = "kuryr-world"
VM = "kuryr-vm1"
ROOT_VETH = "kuryr-ul"

ROOT_UNDERLAY_IP = "10.99.0.254"
WORLD_IP = "172.24.4.1"

KEYSTONE_PORT = 15000
NEUTRON_PORT = 19696
ETCD_PORT = 12379
ETCD_PEER_PORT = 12380
APISERVER_PORT = 16443
KURYR_PORT = 18090  # metrics and health; the daemons listen in their nodes' namespaces

POD_IMAGE = "docker.io/kuryr-lab/agnhost:1"
PAUSE_IMAGE = "docker.io/kuryr-lab/pause:1"

PASSWORD = "kuryr-lab"  # noqa: S105 - every service of the lab listens on loopback only


class LabError(Exception):
    """The lab cannot go on; the message says what to do."""


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node: a network namespace with its own OVS, containerd and kubelet.

    Its OVS hostname is not its name, as in life.
    """

    name: str
    underlay_ip: str
    gateway: bool = False

    @property
    def netns(self) -> str:
        return f"kuryr-{self.name}"

    @property
    def ovs_hostname(self) -> str:
        return f"{self.name}.lab.kuryr"


NODES = (NodeSpec("node1", "10.99.0.1", gateway=True), NodeSpec("node2", "10.99.0.2"))


@dataclass(frozen=True, slots=True)
class Layout:
    """Places."""

    state: Path
    cache: Path
    nodes: tuple[NodeSpec, ...] = field(default=NODES)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Layout":
        home_cache = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "/root")) / ".cache")
        return cls(
            state=Path(environ.get("KURYR_LAB_STATE", "/var/lib/kuryr-lab")), cache=Path(home_cache) / "kuryr-lab"
        )

    @property
    def ovs_bin(self) -> Path:
        return self.cache / "trixie" / "bin"

    @property
    def kube_bin(self) -> Path:
        return self.cache / "bin"

    @property
    def openstack_venv(self) -> Path:
        return self.cache / "openstack"

    @property
    def user_bin(self) -> Path:
        """What `kuryr lab env` puts on PATH."""
        return self.state / "bin"

    @property
    def kubernetes(self) -> Path:
        return self.state / "kubernetes"

    @property
    def clouds(self) -> Path:
        return self.state / "clouds.yaml"

    def kubeconfig(self, user: str = "admin") -> Path:
        return self.kubernetes / f"{user}.kubeconfig"

    def node_state(self, node: NodeSpec) -> Path:
        return self.state / "nodes" / node.name

    def ovsdb(self, node: NodeSpec) -> Path:
        return self.node_state(node) / "ovs" / "db.sock"

    @property
    def northbound(self) -> str:
        return f"unix:{self.state}/central/nb.sock"

    @property
    def southbound(self) -> str:
        return f"unix:{self.state}/central/sb.sock"


def repository() -> Path:
    """The source checkout that this runs from: pins and manifests are read there."""
    for parent in Path(__file__).resolve().parents:
        if (parent / "requirements" / "openstack.txt").exists():
            return parent
    raise LabError("the lab runs from a source checkout: clone the repository and use `make lab`")


def environment() -> dict[str, str]:
    """A copy of this process's environment, for children."""
    return dict(os.environ)
