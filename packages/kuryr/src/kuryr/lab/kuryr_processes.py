"""Kuryr itself in the lab: its definitions, its rights, then the controller and one daemon on each node, each with
exactly those rights.
"""

import json
import sys

import yaml

from kubeloop import crd_yaml
from kuryr.lab.kubernetes import kubectl, write_kubeconfig
from kuryr.lab.layout import KURYR_PORT, ROOT_UNDERLAY_IP, Layout, NodeSpec, repository
from kuryr.lab.processes import Processes
from kuryr.model.resources import KINDS

NAMESPACE = "kuryr-system"
TOKEN_FOR = "24h"  # noqa: S105 - a duration

CONTROLLER = "kuryr-controller"

_QUICKLY = ("--request-timeout=5s",)


class Kuryr:
    """The product."""

    name = "kuryr"

    def __init__(self, layout: Layout, processes: Processes) -> None:
        self._layout = layout
        self._processes = processes

    def start(self) -> None:
        kubectl(self._layout, "apply", "-f", "-", stdin=crd_yaml(KINDS))
        manifests = repository() / "deploy" / "rbac.yaml"
        kubectl(self._layout, "apply", "-f", str(manifests))
        crds = [f"crd/{kind.resource.plural}.{kind.resource.group}" for kind in KINDS]
        kubectl(self._layout, "wait", "--for=condition=Established", "--timeout=30s", *crds)
        self.start_controller()
        for node in self._layout.nodes:
            self.start_daemon(node)

    def start_controller(self) -> None:
        """Also after a test has killed it."""
        kubeconfig = self._account(CONTROLLER, "127.0.0.1")
        self._start(
            CONTROLLER,
            "controller",
            {
                "kubernetes": {"kubeconfig": kubeconfig},
                "openstack": {"cloud": "kuryr", "clouds_file": str(self._layout.clouds)},
                "neutron": {"network": "pods", "security_groups": ["kuryr-pods"]},
                "pools": {"cool_down_s": 3.0},
                "controller": {"http": f"127.0.0.1:{KURYR_PORT}"},
            },
        )

    def start_daemon(self, node: NodeSpec, **changes: float) -> None:
        """Also after a test has killed it; `changes` are options of the daemon's section."""
        home = self._layout.node_state(node)
        kubeconfig = self._account("kuryr-daemon", ROOT_UNDERLAY_IP)
        options: dict[str, object] = {
            "node": node.name,
            "http": f"127.0.0.1:{KURYR_PORT}",
            "socket": str(home / "kuryr/cni.sock"),
            "ovsdb": f"unix:{self._layout.ovsdb(node)}",
            "ovn_run_dir": str(self._layout.ovsdb(node).parent),
            "cni_conf_dir": str(home / "cni/net.d"),
            "cni_bin_dir": str(home / "cni/bin"),
            "state_dir": str(home / "kuryr"),
            **changes,
        }
        self._start(
            daemon_name(node), "daemon", {"kubernetes": {"kubeconfig": kubeconfig}, "daemon": options}, netns=node.netns
        )

    def _start(self, name: str, command: str, configuration: dict[str, object], netns: str = "") -> None:
        path = self._layout.state / "etc" / f"{name}.yaml"
        path.write_text(yaml.safe_dump(configuration))
        argv = [sys.executable, "-m", "kuryr", command, "--config", str(path)]
        self._processes.start(name, argv, netns=netns)

    def _account(self, account: str, host: str) -> str:
        """A kubeconfig with a token of the service account."""
        path = self._layout.kubeconfig(account)
        if not path.exists():
            token = kubectl(
                self._layout, "-n", NAMESPACE, "create", "token", account, f"--duration={TOKEN_FOR}"
            ).strip()
            write_kubeconfig(self._layout, account, {"token": token}, host=host)
        return str(path)

    def ready(self) -> bool:
        """Both nodes are Ready and have their pools."""
        nodes = json.loads(kubectl(self._layout, *_QUICKLY, "get", "nodes", "-o", "json", check=False) or "{}").get(
            "items", []
        )
        ready = [
            condition["status"] == "True"
            for node in nodes
            for condition in node["status"].get("conditions", [])
            if condition["type"] == "Ready"
        ]
        pools = kubectl(self._layout, *_QUICKLY, "get", "kuryrportpools", "-o", "name", check=False).split()
        return len(ready) == len(pools) == len(self._layout.nodes) and all(ready)


def daemon_name(node: NodeSpec) -> str:
    return f"{node.name}-kuryr-daemon"
