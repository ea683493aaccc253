"""Up, down and status of the whole lab."""

import os
import shutil
import time

from kuryr.lab.installing import install
from kuryr.lab.kubernetes import ControlPlane, Nodes
from kuryr.lab.kuryr_processes import Kuryr
from kuryr.lab.layout import KEYSTONE_PORT, POD_IMAGE, LabError, Layout
from kuryr.lab.network import Network
from kuryr.lab.openstack import OpenStack
from kuryr.lab.processes import Processes, end_all, say
from kuryr.lab.removal import remove_cgroups, remove_mounts, remove_network
from kuryr.lab.status import all_well, components, look, render
from kuryr.lab.steps import Step, run_steps
from kuryr.lab.topology import Topology


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
        steps = {
            "OVN, OVS and the wires": Step(self.network.start),
            "MariaDB": Step(self.openstack.start_database),
            "Keystone": Step(self.openstack.start_keystone),
            "Kubernetes": Step(self.control_plane.start, ("OVN, OVS and the wires",)),
            "Neutron": Step(self.openstack.start_neutron, ("OVN, OVS and the wires", "MariaDB", "Keystone")),
            "networks and VM": Step(self.topology.start, ("Neutron",)),
            "nodes": Step(self.nodes.start, ("Kubernetes",)),
            "Kuryr": Step(self._start_kuryr, ("nodes", "networks and VM")),
        }
        run_steps(steps, lambda name, seconds: say(f"{name:28s} {seconds:6.1f} s"))
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
        """Prints every component; True when all live and answer."""
        if not self.processes.all():
            say("the lab is down")
            return False
        findings = look(components(self.layout, self.processes, self.kuryr), self.processes)
        for line in render(findings):
            say(line)
        say(f'Keystone at 127.0.0.1:{KEYSTONE_PORT}; `eval "$(kuryr lab env)"` for kubectl and openstack')
        return all_well(findings)

    def down(self) -> None:
        """Leaves nothing of the lab, whatever state it was in."""
        contained = self.nodes.container_pids()
        self.nodes.empty()
        names = [record.name for record in self.processes.all()]
        self.processes.stop(*names, timeout_s=10)
        end_all([*self.processes.marked(), *contained], 5)
        remove_mounts(self.layout.state)
        remove_network(self.layout)
        remove_cgroups()
        shutil.rmtree(self.layout.state, ignore_errors=True)
        left = [*self.processes.marked(), *([self.layout.state] if self.layout.state.exists() else [])]
        if left:
            raise LabError(f"still there: {left}")
