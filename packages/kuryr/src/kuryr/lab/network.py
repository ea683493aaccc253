"""The wires: OVN central, the underlay, one chassis per node, the provider network and the world behind it."""

import json
from pathlib import Path

from kuryr.lab.layout import FABRIC, ROOT_UNDERLAY_IP, ROOT_VETH, WORLD, WORLD_IP, Layout, NodeSpec
from kuryr.lab.processes import Processes, run

UNDERLAY_MTU = 1600


class Network:
    """OVN and everything below it."""

    name = "network"

    def __init__(self, layout: Layout, processes: Processes) -> None:
        self._layout = layout
        self._processes = processes
        self._tools = layout.ovs_bin
        self._central = layout.state / "central"

    def start(self) -> None:
        self._start_central()
        self._start_fabric()
        for node in self._layout.nodes:
            self._start_chassis(node)
        self._introduce_tunnel_ends()
        self._start_world()

    def _introduce_tunnel_ends(self) -> None:
        """OVS drops the first packet into a tunnel while it does not know the other end's MAC, so it is told.

        Learning from a ping is not certain: a kernel that knows its neighbour asks nothing that OVS could overhear.
        OVS forgets after 15 min without use; an hour is its maximum (tnl/neigh/aging of ovs-vswitchd(8)).
        """
        show = ["ip", "-json", "link", "show", "br-phys"]
        macs = {node: json.loads(run(show, netns=node.netns))[0]["address"] for node in self._layout.nodes}
        for node in self._layout.nodes:
            control = self._layout.ovsdb(node).parent / "vswitchd.ctl"
            tell = [self._tools / "ovs-appctl", "-t", control]
            run([*tell, "tnl/neigh/aging", "3600"])
            for other in self._layout.nodes:
                if other is not node:
                    run([*tell, "tnl/neigh/set", "br-phys", other.underlay_ip, macs[other]])

    def _start_central(self) -> None:
        self._central.mkdir(parents=True, exist_ok=True)
        schemas = self._layout.cache / "trixie/usr/share/ovn"
        for short, tool in (("nb", "ovn-nbctl"), ("sb", "ovn-sbctl")):
            socket = self._central / f"{short}.sock"
            self._start_ovsdb(f"ovn-{short}", self._central, short, schemas / f"ovn-{short}.ovsschema", socket)
            run([self._tools / tool, "--no-leader-only", f"--db=unix:{socket}", "init"])
        northd = [self._tools / "ovn-northd", f"--ovnnb-db={self._layout.northbound}"]
        self._processes.start(
            "ovn-northd",
            [*northd, f"--ovnsb-db={self._layout.southbound}", f"--unixctl={self._central}/northd.ctl"],
            env={"OVN_RUNDIR": str(self._central)},
        )

    def _start_ovsdb(self, name: str, folder: Path, short: str, schema: Path, socket: Path, netns: str = "") -> None:
        database = folder / f"{short}.db"
        if not database.exists():
            run([self._tools / "ovsdb-tool", "create", database, schema])
        self._processes.start(
            name,
            [self._tools / "ovsdb-server", database, f"--remote=punix:{socket}", f"--unixctl={folder}/{short}.ctl"],
            netns=netns,
        )
        self._processes.wait(name, socket.exists, timeout_s=20)

    def _start_fabric(self) -> None:
        if not _make_namespace(FABRIC):
            return
        for bridge in ("br-ul", "br-ext"):
            run(["ip", "-n", FABRIC, "link", "add", bridge, "type", "bridge"])
            run(["ip", "-n", FABRIC, "link", "set", bridge, "mtu", str(UNDERLAY_MTU), "up"])
        # the root namespace, where the control plane listens, is on the underlay too
        run(["ip", "link", "add", ROOT_VETH, "type", "veth", "peer", "name", "root", "netns", FABRIC])
        run(["ip", "-n", FABRIC, "link", "set", "root", "master", "br-ul", "mtu", str(UNDERLAY_MTU), "up"])
        run(["ip", "link", "set", ROOT_VETH, "mtu", str(UNDERLAY_MTU), "up"])
        run(["ip", "address", "add", f"{ROOT_UNDERLAY_IP}/24", "dev", ROOT_VETH])
        run(["ethtool", "-K", ROOT_VETH, "tx", "off"])
        run(["ethtool", "-K", "root", "tx", "off"], netns=FABRIC)

    def _start_chassis(self, node: NodeSpec) -> None:
        folder = self._layout.ovsdb(node).parent
        folder.mkdir(parents=True, exist_ok=True)
        fresh = _make_namespace(node.netns)
        if fresh:
            for link, bridge in (("underlay", "br-ul"), ("external", "br-ext")):
                peer = f"{link[:2]}-{node.name}"
                run(
                    [
                        "ip",
                        "link",
                        "add",
                        link,
                        "netns",
                        node.netns,
                        "type",
                        "veth",
                        "peer",
                        "name",
                        peer,
                        "netns",
                        FABRIC,
                    ]
                )
                run(["ip", "-n", FABRIC, "link", "set", peer, "master", bridge, "mtu", str(UNDERLAY_MTU), "up"])
                run(["ip", "-n", node.netns, "link", "set", link, "mtu", str(UNDERLAY_MTU), "up"])
            # arp_ignore, or the node answers ARP for its own port's address on the pods' taps; ip_forward for hostPort:
            # kube-proxy would set it
            settings = ["ip_forward=1", "conf.all.arp_ignore=1", "conf.default.arp_ignore=1"]
            run(["sysctl", "-qw", *(f"net.ipv4.{one}" for one in settings)], netns=node.netns)
        socket = self._layout.ovsdb(node)
        schema = self._layout.cache / "trixie/usr/share/openvswitch/vswitch.ovsschema"
        env = {"OVS_RUNDIR": str(folder), "OVN_RUNDIR": str(folder), "OVS_SYSCONFDIR": str(folder)}
        self._start_ovsdb(f"{node.name}-ovsdb", folder, "db", schema, socket, node.netns)
        # retry: the socket of a killed server is still there when the new one does not listen yet
        vsctl = [self._tools / "ovs-vsctl", "--timeout=20", "--retry", f"--db=unix:{socket}"]
        run([*vsctl, "--no-wait", "init"])
        # userspace datapath: without TSO, TCP from veths with offloads on is dead
        run([*vsctl, "--no-wait", "set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true"])
        # --monitor: started again when it crashes, which status counts
        switch = [self._tools / "ovs-vswitchd", f"unix:{socket}", f"--unixctl={folder}/vswitchd.ctl", "--monitor"]
        self._processes.start(f"{node.name}-vswitchd", switch, netns=node.netns, env=env)
        if fresh:
            self._configure(node, vsctl)
        # the tunnel's end point is on the bridge's own tap, not the veth: a crash leaves it, an orderly stop does not
        run(["ip", "-n", node.netns, "address", "replace", f"{node.underlay_ip}/24", "dev", "br-phys"])
        run(["ip", "-n", node.netns, "link", "set", "br-phys", "mtu", str(UNDERLAY_MTU), "up"])
        controller = [self._tools / "ovn-controller", f"unix:{socket}"]
        self._processes.start(f"{node.name}-ovn-controller", controller, netns=node.netns, env=env)

    def _configure(self, node: NodeSpec, vsctl: list[object]) -> None:
        ids = {
            "system-id": node.name,
            "hostname": node.ovs_hostname,
            "ovn-remote": self._layout.southbound,
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": node.underlay_ip,
            "ovn-bridge": "br-int",
            "ovn-bridge-datapath-type": "netdev",
            "ovn-bridge-mappings": "physnet1:br-ex",
            # milliseconds; without it a restarted ovn-controller clears the flows before it has the new ones
            "ovn-ofctrl-wait-before-clear": "2000",
        }
        if node.gateway:
            ids["ovn-cms-options"] = "enable-chassis-as-gw"
        run([*vsctl, "set", "Open_vSwitch", ".", *(f"external_ids:{key}={value}" for key, value in ids.items())])
        for bridge, mode, port in (("br-phys", "standalone", "underlay"), ("br-ex", "standalone", "external")):
            made = ["add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev", f"fail-mode={mode}"]
            run([*vsctl, *made, "--", "add-port", bridge, port])
        integration = ["add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev", "fail-mode=secure"]
        run([*vsctl, *integration, "other-config:disable-in-band=true"])

    def _start_world(self) -> None:
        if not _make_namespace(WORLD):
            return
        run(["ip", "link", "add", "eth0", "netns", WORLD, "type", "veth", "peer", "name", "world", "netns", FABRIC])
        run(["ip", "-n", FABRIC, "link", "set", "world", "master", "br-ext", "up"])
        run(["ip", "-n", WORLD, "link", "set", "eth0", "up"])
        run(["ip", "-n", WORLD, "address", "add", f"{WORLD_IP}/24", "dev", "eth0"])


def _make_namespace(name: str) -> bool:
    """True when it was not there before."""
    if Path(f"/run/netns/{name}").exists():
        return False
    run(["ip", "netns", "add", name])
    run(["ip", "-n", name, "link", "set", "lo", "up"])
    return True
