"""Up, down and status of the whole lab."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path

from kuryr.lab.installing import KUBERNETES, install, say
from kuryr.lab.kubernetes import ControlPlane, Nodes, kubectl
from kuryr.lab.kuryr_processes import Kuryr
from kuryr.lab.layout import KEYSTONE_PORT, POD_IMAGE, ROOT_VETH, LabError, Layout
from kuryr.lab.network import Network
from kuryr.lab.openstack import KEYSTONE_URL, NEUTRON_URL, OpenStack, Topology, answering
from kuryr.lab.processes import Processes, end_all, run


class Lab:
    """All parts, wired."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.processes = Processes(layout)
        self.network = Network(layout, self.processes)
        self.openstack = OpenStack(layout, self.processes)
        self.topology = Topology(layout)
        self.control_plane = ControlPlane(layout, self.processes)
        self.nodes = Nodes(layout, self.processes)
        self.kuryr = Kuryr(layout, self.processes)

    def up(self) -> None:
        """Installs what is missing, then starts what does not run, in parallel where it can be. Raises `LabError`."""
        install(self.layout)
        if self.layout.state.exists() and not any(record.alive for record in self.processes.all()):
            self.down()  # the rest of a lab that died as a whole, with the machine for example
        self.layout.state.mkdir(parents=True, exist_ok=True)
        self.layout.state.chmod(0o755)  # the database runs as a user of its own
        began = time.monotonic()
        steps: dict[str, tuple[Callable[[], None], tuple[str, ...]]] = {
            "OVN, OVS and the wires": (self.network.start, ()),
            "MariaDB": (self.openstack.start_database, ()),
            "Keystone": (self.openstack.start_keystone, ()),
            "Kubernetes": (self.control_plane.start, ("OVN, OVS and the wires",)),
            "Neutron": (self.openstack.start_neutron, ("OVN, OVS and the wires", "MariaDB", "Keystone")),
            "networks and VM": (self.topology.start, ("Neutron",)),
            "nodes": (self.nodes.start, ("Kubernetes",)),
            "Kuryr": (self._start_kuryr, ("nodes", "networks and VM")),
        }
        _run_steps(steps)
        self._write_user_bin()
        say(f"{'the lab is up':28s} {time.monotonic() - began:6.1f} s")

    def _start_kuryr(self) -> None:
        self.kuryr.start()
        self.processes.wait("kuryr-controller", self.kuryr.ready, timeout_s=90)

    def _write_user_bin(self) -> None:
        self.layout.user_bin.mkdir(exist_ok=True)
        tools = {
            "kubectl": self.layout.kube_bin / "kubectl",
            "ctr": self.layout.kube_bin / "ctr",
            "openstack": self.layout.openstack_venv / "bin/openstack",
            "ovs-vsctl": self.layout.ovs_bin / "ovs-vsctl",
            "ovn-nbctl": self.layout.ovs_bin / "ovn-nbctl",
        }
        for name, target in tools.items():
            link = self.layout.user_bin / name
            link.unlink(missing_ok=True)
            link.symlink_to(target)

    def env(self) -> dict[str, str]:
        """What makes kubectl and openstack work in any shell."""
        return {
            "PATH": f"{self.layout.user_bin}:{os.environ.get('PATH', '')}",
            "KUBECONFIG": str(self.layout.kubeconfig()),
            "OS_CLIENT_CONFIG_FILE": str(self.layout.clouds),
            "OS_CLOUD": "kuryr",
            "KURYR_LAB_IMAGE": POD_IMAGE,
        }

    def status(self) -> bool:
        """Prints every process; True when all live and answer."""
        healthy = True
        for record in self.processes.all():
            state = "running" if record.alive else "DEAD"
            healthy &= record.alive
            say(f"{record.name:24s} {state:8s} pid {record.pid:<7d} {record.log}")
            if not record.alive:
                say("\n".join(f"    {line}" for line in self.processes.tail(record.name).splitlines()))
        if not self.processes.all():
            say("the lab is down")
            return False
        answers = kubectl(self.layout, "get", "--raw=/readyz", check=False).startswith("ok")
        kuryr = answers and self.kuryr.ready()
        openstack = answering(KEYSTONE_URL) and answering(NEUTRON_URL)
        say(f"Keystone and Neutron: {_word(openstack)}; Kuryr: {_word(kuryr)}")
        say(f"Kubernetes {KUBERNETES}: {_word(answers)}")
        say(f'Keystone at 127.0.0.1:{KEYSTONE_PORT}; `eval "$(kuryr lab env)"` for kubectl and openstack')
        return healthy and openstack and kuryr

    def down(self) -> None:
        """Leaves nothing of the lab, whatever state it was in."""
        sandboxes, contained = self.nodes.sandbox_namespaces(), self.nodes.container_pids()
        self.nodes.empty()
        names = [record.name for record in self.processes.all()]
        self.processes.stop(*names, timeout_s=10)
        end_all([*self.processes.marked(), *contained], 5)
        _unmount(self.layout.state)
        _remove_namespaces(sandboxes)
        if Path(f"/sys/class/net/{ROOT_VETH}").exists():
            run(["ip", "link", "del", ROOT_VETH], check=False)
        _remove_cgroups()
        shutil.rmtree(self.layout.state, ignore_errors=True)
        left = [*self.processes.marked(), *([self.layout.state] if self.layout.state.exists() else [])]
        if left:
            raise LabError(f"still there: {left}")


def _remove_namespaces(sandboxes: set[str]) -> None:
    """Ours by name, and those that the lab's containerd made: with the lab's processes gone nobody lives in them."""
    folder = Path("/run/netns")
    ours = {path.name for path in folder.glob("kuryr-*")} | {name for name in sandboxes if (folder / name).exists()}
    for name in sorted(ours):
        run(["ip", "netns", "del", name], check=False)


def _run_steps(steps: dict[str, tuple[Callable[[], None], tuple[str, ...]]]) -> None:
    """Each step as soon as its needs are done. The first that fails ends it, when the running ones have finished."""
    done: set[str] = set()
    running: dict[Future[None], str] = {}
    began: dict[str, float] = {}
    with ThreadPoolExecutor() as pool:
        while len(done) < len(steps):
            for name, (start, needs) in steps.items():
                if name not in began and done.issuperset(needs):
                    began[name] = time.monotonic()
                    running[pool.submit(start)] = name
            finished, _ = wait(running, return_when=FIRST_EXCEPTION if not running else "FIRST_COMPLETED")
            for future in finished:
                name = running.pop(future)
                try:
                    future.result()
                except (LabError, OSError, subprocess.SubprocessError) as error:
                    raise LabError(f"{name}: {error}") from error
                done.add(name)
                say(f"{name:28s} {time.monotonic() - began[name]:6.1f} s")


def _word(ready: bool) -> str:
    return "ready" if ready else "NOT READY"


def _unmount(state: Path) -> None:
    """Everything mounted below the lab's folder, the deepest first."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((one for one in mounts if one.startswith(f"{state}/")), key=len, reverse=True):
        run(["umount", "-l", mount], check=False)


def _remove_cgroups() -> None:
    """What kubelet and containerd made; a group in which somebody lives cannot be removed and stays."""
    hierarchies = Path("/sys/fs/cgroup")
    for root in (*hierarchies.glob("*/kuryr-lab-*"), *hierarchies.glob("*/k8s.io")):
        for folder in sorted((path for path in root.glob("**/") if path.is_dir()), key=lambda path: -len(path.parts)):
            with contextlib.suppress(OSError):
                folder.rmdir()
