"""A real control plane on loopback, and a real kubelet with containerd in each node's network namespace."""

import json
import secrets
import shutil
from pathlib import Path

import yaml

from kuryr.lab.images import build_images
from kuryr.lab.layout import (
    APISERVER_PORT,
    ETCD_PEER_PORT,
    ETCD_PORT,
    PAUSE_IMAGE,
    ROOT_UNDERLAY_IP,
    Layout,
    NodeSpec,
)
from kuryr.lab.processes import Processes, run

SERVICE_RANGE = "10.96.0.0/16"

USERS = {
    "admin": ("admin", "system:masters"),
    "scheduler": ("system:kube-scheduler", ""),
    "controller-manager": ("system:kube-controller-manager", ""),
}

# every finished request once, with verb and user agent: what the benchmarks count
AUDIT_POLICY = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules: [{level: Metadata}]
"""


class ControlPlane:
    """etcd, kube-apiserver, scheduler, controller manager."""

    name = "control plane"

    def __init__(self, layout: Layout, processes: Processes) -> None:
        self._layout = layout
        self._processes = processes
        self._bin = layout.kube_bin
        self._home = layout.kubernetes

    def start(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True)
        self._write_certificates()
        self._write_users()
        url = f"http://127.0.0.1:{ETCD_PORT}"
        peers = f"http://127.0.0.1:{ETCD_PEER_PORT}"
        listen = ["--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", peers]
        self._processes.start(
            "etcd", [self._bin / "etcd", "--data-dir", self._home / "etcd", "--unsafe-no-fsync", *listen]
        )
        self.start_apiserver()
        self.start_controllers()

    def start_apiserver(self) -> None:
        """Also after a test has stopped it."""
        pki = self._home / "pki"
        audit = self._home / "audit.yaml"
        audit.write_text(AUDIT_POLICY)
        options = {
            "etcd-servers": f"http://127.0.0.1:{ETCD_PORT}",
            "secure-port": APISERVER_PORT,
            "bind-address": "0.0.0.0",  # noqa: S104 - the nodes' namespaces reach it over the underlay
            "advertise-address": ROOT_UNDERLAY_IP,
            "tls-cert-file": pki / "server.crt",
            "tls-private-key-file": pki / "server.key",
            "cert-dir": pki,
            "service-account-issuer": "https://lab.kuryr",
            "service-account-key-file": pki / "accounts.pub",
            "service-account-signing-key-file": pki / "accounts.key",
            "token-auth-file": self._home / "tokens.csv",
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "anonymous-auth": "false",
            "allow-privileged": "true",
            "service-cluster-ip-range": SERVICE_RANGE,
            "endpoint-reconciler-type": "none",
            "kubelet-preferred-address-types": "InternalIP",
            "audit-policy-file": audit,
            "audit-log-path": self._home / "audit.log",
            "audit-log-mode": "batch",
            "shutdown-delay-duration": "0s",
        }
        self._processes.start(
            "kube-apiserver", [self._bin / "kube-apiserver", *(f"--{k}={v}" for k, v in options.items())]
        )
        self._processes.wait("kube-apiserver", self.ready, timeout_s=90)

    def start_controllers(self) -> None:
        scheduler = [
            self._bin / "kube-scheduler",
            f"--kubeconfig={self._layout.kubeconfig('scheduler')}",
            "--leader-elect=false",
        ]
        self._processes.start("kube-scheduler", scheduler)
        pki = self._home / "pki"
        options = {
            "kubeconfig": self._layout.kubeconfig("controller-manager"),
            "leader-elect": "false",
            "service-account-private-key-file": pki / "accounts.key",
            "root-ca-file": pki / "ca.crt",
            "use-service-account-credentials": "true",
            "controllers": "*,-bootstrap-signer-controller,-token-cleaner-controller",
        }
        argv = [self._bin / "kube-controller-manager", *(f"--{key}={value}" for key, value in options.items())]
        self._processes.start("kube-controller-manager", argv)

    def ready(self) -> bool:
        """/readyz says ok."""
        return kubectl(self._layout, "get", "--raw=/readyz", check=False).startswith("ok")

    def _write_certificates(self) -> None:
        pki = self._home / "pki"
        if (pki / "server.crt").exists():
            return
        pki.mkdir(parents=True, exist_ok=True)
        new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650"]
        run([*new, "-subj", "/CN=kuryr-lab", "-keyout", pki / "ca.key", "-out", pki / "ca.crt"])
        names = "DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1"
        run(
            [
                *new,
                "-subj",
                "/CN=kube-apiserver",
                "-CA",
                pki / "ca.crt",
                "-CAkey",
                pki / "ca.key",
                "-addext",
                f"subjectAltName={names},IP:{ROOT_UNDERLAY_IP}",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
                "-keyout",
                pki / "server.key",
                "-out",
                pki / "server.crt",
            ]
        )
        run(["openssl", "genrsa", "-out", pki / "accounts.key", "2048"])
        run(["openssl", "rsa", "-in", pki / "accounts.key", "-pubout", "-out", pki / "accounts.pub"])

    def _write_users(self) -> None:
        tokens = self._home / "tokens.csv"
        if tokens.exists():
            return
        nodes = {node.name: (f"system:node:{node.name}", "system:nodes") for node in self._layout.nodes}
        lines = []
        for name, (user, group) in {**USERS, **nodes}.items():
            token = secrets.token_hex(16)
            lines.append(f"{token},{user},{user}{f',{group}' if group else ''}")
            host = ROOT_UNDERLAY_IP if name in nodes else "127.0.0.1"
            write_kubeconfig(self._layout, name, {"token": token}, host=host)
        tokens.write_text("\n".join(lines) + "\n")
        tokens.chmod(0o600)


def write_kubeconfig(layout: Layout, name: str, user: dict[str, str], *, host: str = "127.0.0.1") -> Path:
    """A kubeconfig that verifies the server."""
    cluster = {
        "server": f"https://{host}:{APISERVER_PORT}",
        "certificate-authority": str(layout.kubernetes / "pki/ca.crt"),
    }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
        "current-context": "lab",
    }
    path = layout.kubeconfig(name)
    path.write_text(yaml.safe_dump(content))
    path.chmod(0o600)
    return path


def kubectl(layout: Layout, *arguments: str, stdin: str = "", check: bool = True, timeout_s: float = 60) -> str:
    """Runs kubectl as the lab's admin."""
    argv = [layout.kube_bin / "kubectl", f"--kubeconfig={layout.kubeconfig()}", *arguments]
    return run(argv, stdin=stdin, check=check, timeout_s=timeout_s)


class Nodes:
    """containerd and kubelet of every node. A node is Ready when Kuryr's daemon has written the CNI configuration."""

    name = "nodes"

    def __init__(self, layout: Layout, processes: Processes) -> None:
        self._layout = layout
        self._processes = processes

    def start(self) -> None:
        images = build_images(self._layout)
        for node in self._layout.nodes:
            self._start_containerd(node, images)
        for node in self._layout.nodes:
            self._start_kubelet(node)

    def _start_containerd(self, node: NodeSpec, images: list[Path]) -> None:
        home = self._layout.node_state(node)
        for folder in ("root", "state", "cni/net.d", "cni/bin"):
            (home / folder).mkdir(parents=True, exist_ok=True)
        for plugin in (Path("/usr/lib/cni/loopback"), self._layout.kube_bin / "portmap"):
            if not (home / "cni/bin" / plugin.name).exists():
                shutil.copy(plugin, home / "cni/bin")
        (home / "containerd.toml").write_text(_containerd_configuration(home))
        name = f"{node.name}-containerd"
        env = {"PATH": f"{self._layout.kube_bin}:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self._processes.start(
            name, [self._layout.kube_bin / "containerd", "-c", home / "containerd.toml"], netns=node.netns, env=env
        )
        self._processes.wait(
            name, lambda: "Revision" in self._ctr(node, "version", check=False).partition("Server:")[2], timeout_s=30
        )
        present = self._ctr(node, "images", "ls", "-q")
        if PAUSE_IMAGE not in present:
            for image in images:
                self._ctr(node, "images", "import", str(image), timeout="55s")  # a busy machine takes its time

    def _ctr(self, node: NodeSpec, *arguments: str, check: bool = True, timeout: str = "5s") -> str:
        socket = self._layout.node_state(node) / "containerd.sock"
        argv = [self._layout.kube_bin / "ctr", f"--timeout={timeout}", "-a", socket, "-n", "k8s.io", *arguments]
        return run(argv, check=check, timeout_s=60)

    def _start_kubelet(self, node: NodeSpec) -> None:
        home = self._layout.node_state(node)
        (home / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet_configuration(home, node)))
        options = {
            "config": home / "kubelet.yaml",
            "kubeconfig": self._layout.kubeconfig(node.name),
            "root-dir": home / "kubelet",
            "cert-dir": home / "pki",
            "hostname-override": node.name,
            "node-ip": node.underlay_ip,
        }
        argv = [self._layout.kube_bin / "kubelet", *(f"--{key}={value}" for key, value in options.items())]
        env = {"PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self._processes.start(f"{node.name}-kubelet", argv, netns=node.netns, env=env)

    def container_pids(self) -> list[int]:
        """Processes in containers of ours: their environment is their own, and they outlive a killed containerd."""
        bundles = self._layout.state.glob("nodes/*/state/io.containerd.runtime.v2.task/k8s.io/*")
        lists = [path for one in bundles for path in Path("/sys/fs/cgroup").glob(f"*/k8s.io/{one.name}/cgroup.procs")]
        return sorted({int(pid) for path in lists for pid in path.read_text().split()})

    def empty(self) -> None:
        """Before `down`: no kubelet, no tasks, so that containerd leaves nothing behind."""
        self._processes.stop(*(f"{node.name}-kubelet" for node in self._layout.nodes))
        for node in self._layout.nodes:
            if self._processes.alive(f"{node.name}-containerd"):
                self._remove_tasks(node)

    def _remove_tasks(self, node: NodeSpec) -> None:
        for task in self._ctr(node, "tasks", "ls", "-q", check=False).split():
            self._ctr(node, "tasks", "rm", "-f", task, check=False)
        for container in self._ctr(node, "containers", "ls", "-q", check=False).split():
            self._ctr(node, "containers", "rm", container, check=False)


def _containerd_configuration(home: Path) -> str:
    disabled = [
        "io.containerd.internal.v1.opt",
        "io.containerd.snapshotter.v1.btrfs",
        "io.containerd.snapshotter.v1.zfs",
        "io.containerd.snapshotter.v1.devmapper",
        "io.containerd.tracing.processor.v1.otlp",
        "io.containerd.internal.v1.tracing",
        "io.containerd.nri.v1.nri",
    ]
    runtime = 'plugins."io.containerd.cri.v1.runtime"'
    images = 'plugins."io.containerd.cri.v1.images"'
    return f"""version = 3
root = "{home}/root"
state = "{home}/state"
disabled_plugins = {json.dumps(disabled)}
[grpc]
address = "{home}/containerd.sock"
[ttrpc]
address = "{home}/containerd.sock.ttrpc"
[{images}]
snapshotter = "overlayfs"
[{images}.pinned_images]
sandbox = "{PAUSE_IMAGE}"
[{runtime}]
disable_apparmor = true
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[{runtime}.containerd]
default_runtime_name = "runc"
[{runtime}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{runtime}.containerd.runtimes.runc.options]
SystemdCgroup = false
[{runtime}.cni]
bin_dirs = ["{home}/cni/bin"]
conf_dir = "{home}/cni/net.d"
"""


def _kubelet_configuration(home: Path, node: NodeSpec) -> dict[str, object]:
    return {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "address": node.underlay_ip,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/kuryr-lab-{node.name}",
        "failCgroupV1": False,
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{home}/containerd.sock",
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "healthzPort": 10248,
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": "cluster.local",
        "makeIPTablesUtilChains": False,
        "resolvConf": "/etc/resolv.conf",
        "volumePluginDir": str(home / "volume-plugins"),
        "staticPodPath": str(home / "static-pods"),
    }
