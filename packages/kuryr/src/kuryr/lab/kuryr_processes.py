"""Kuryr itself in the lab: its definitions, what deploy/ says of rights and admission, then the controller's replicas
and one daemon on each node, each with exactly those rights, and a daemon with a token bound to its node.
"""

import json
import re
import sys
import urllib.request
from contextlib import suppress

import yaml

from kubeloop import crd_yaml
from kuryr.lab.kubernetes import kubectl, write_kubeconfig
from kuryr.lab.layout import KURYR_PORT, ROOT_UNDERLAY_IP, Layout, NodeSpec, repository
from kuryr.lab.processes import Processes, run
from kuryr.model.resources import KINDS

NAMESPACE = "kuryr-system"
TOKEN_FOR = "24h"  # noqa: S105 - a duration

CONTROLLER = "kuryr-controller"
CONTROLLERS = (CONTROLLER, f"{CONTROLLER}-2")
"""The replicas, equal; one leads."""

_QUICKLY = ("--request-timeout=5s",)


class Kuryr:
    """The product."""

    name = "kuryr"

    def __init__(self, layout: Layout, processes: Processes) -> None:
        self._layout = layout
        self._processes = processes

    def start(self) -> None:
        kubectl(self._layout, "apply", "-f", "-", stdin=crd_yaml(KINDS))
        for name in ("rbac", "admission"):
            kubectl(self._layout, "apply", "-f", str(repository() / "deploy" / f"{name}.yaml"))
        crds = [f"crd/{kind.resource.plural}.{kind.resource.group}" for kind in KINDS]
        kubectl(self._layout, "wait", "--for=condition=Established", "--timeout=30s", *crds)
        nodes = [f"node/{node.name}" for node in self._layout.nodes]
        kubectl(self._layout, "wait", "--for=create", "--timeout=60s", *nodes, timeout_s=70)
        self.start_controllers()
        for node in self._layout.nodes:
            self.start_daemon(node)

    def start_controllers(self) -> None:
        """Those that do not run."""
        for name in CONTROLLERS:
            self.start_controller(name)

    def start_controller(self, name: str = CONTROLLER) -> None:
        """Also after a test has killed it."""
        kubeconfig = self._account("kuryr-controller", "127.0.0.1")
        self._start(
            name,
            "controller",
            {
                "kubernetes": {"kubeconfig": kubeconfig},
                "openstack": {"cloud": "kuryr", "clouds_file": str(self._layout.clouds)},
                "neutron": {"network": "pods", "security_groups": ["kuryr-pods"]},
                "pools": {"cool_down_s": 3.0, "list_every_s": 10.0},
                "sweep": {"every_s": 10.0, "after_s": 5.0},
                "controller": {"http": f"127.0.0.1:{controller_port(name)}"},
            },
        )

    def leader(self) -> str:
        """The replica that says of itself that it leads; empty: none."""
        for name in CONTROLLERS:
            with suppress(OSError), urllib.request.urlopen(_metrics_url(name), timeout=5) as answer:  # noqa: S310
                text = answer.read().decode()
                if re.search(r"^leader_election_master_status\{[^}]*\} 1", text, re.MULTILINE):
                    return name
        return ""

    def start_daemon(self, node: NodeSpec, **changes: float) -> None:
        """Also after a test has killed it; `changes` are options of the daemon's section."""
        home = self._layout.node_state(node)
        kubeconfig = self._account("kuryr-daemon", ROOT_UNDERLAY_IP, node=node.name)
        options: dict[str, object] = {
            "node": node.name,
            "http": f"127.0.0.1:{KURYR_PORT}",
            "socket": str(home / "kuryr/cni.sock"),
            "ovsdb": f"unix:{self._layout.ovsdb(node)}",
            "ovn_run_dir": str(self._layout.ovsdb(node).parent),
            "state_dir": str(home / "kuryr"),
            "cni_conf_dir": str(home / "cni/net.d"),
            "cni_bin_dir": str(home / "cni/bin"),
            **changes,
        }
        self._start(
            daemon_name(node), "daemon", {"kubernetes": {"kubeconfig": kubeconfig}, "daemon": options}, netns=node.netns
        )

    def daemon_is_ready(self, node: NodeSpec) -> bool:
        """As kubelet would ask."""
        ask = ["curl", "-fsS", "--max-time", "5", f"http://127.0.0.1:{KURYR_PORT}/readyz"]
        return bool(run(ask, netns=node.netns, check=False))

    def _start(self, name: str, command: str, configuration: dict[str, object], netns: str = "") -> None:
        path = self._layout.state / "etc" / f"{name}.yaml"
        path.write_text(yaml.safe_dump(configuration))
        argv = [sys.executable, "-m", "kuryr", command, "--config", str(path)]
        self._processes.start(name, argv, netns=netns)

    def _account(self, account: str, host: str, *, node: str = "") -> str:
        """A kubeconfig with a token of the service account, bound to the node if there is one."""
        name = f"{account}-{node}" if node else account
        path = self._layout.kubeconfig(name)
        if not path.exists():
            bound = ["--bound-object-kind=Node", f"--bound-object-name={node}"] if node else []
            create = ["-n", NAMESPACE, "create", "token", account, f"--duration={TOKEN_FOR}", *bound]
            write_kubeconfig(self._layout, name, {"token": kubectl(self._layout, *create).strip()}, host=host)
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


def controller_port(name: str) -> int:
    """Where the replica serves metrics and health."""
    return KURYR_PORT + CONTROLLERS.index(name)


def _metrics_url(name: str) -> str:
    return f"http://127.0.0.1:{controller_port(name)}/metrics"


def daemon_name(node: NodeSpec) -> str:
    return f"{node.name}-kuryr-daemon"
