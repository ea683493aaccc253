"""One node's machine, which survives its daemon: what a killed one has left in kernel and OVSDB is there for the next.

    machine = SimulatedMachine("node1", fabric=cloud, random=Random("1/node1"), changed=world.changed)
    async with machine.host(gate, over=process.over) as host:
        await run_node(configuration, process, host)

Nothing here has a clock or chance of its own. What its programs do, they do a moment after its cause, in no process's
name; `changed` is called after each such step.
"""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from kuryr.daemon.sandbox import Address
from kuryr.simulator.fabric import Fabric
from kuryr.simulator.node.chassis import Chassis
from kuryr.simulator.node.cni import CniSocket
from kuryr.simulator.node.disk import Disk
from kuryr.simulator.node.gate import Gate
from kuryr.simulator.node.host import SimulatedHost
from kuryr.simulator.node.kubelet import Kubelet
from kuryr.simulator.node.namespaces import HOST, Device, Namespaces
from kuryr.simulator.node.ovsdb.server import OvsdbServer
from kuryr.simulator.node.runtime import ContainerRuntime
from kuryr.simulator.node.switch import Switch

BRIDGE = "br-int"
_UNDERLAY = "eth0"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A sandbox that packets of a port reach now, whatever anybody has written down of it."""

    port_id: str
    netns: str
    mac_address: str
    ip_addresses: tuple[str, ...]


class SimulatedMachine:
    """Its parts: `namespaces`, `ovsdb`, `switch`, `chassis`, `socket`, `runtime`, `kubelet`."""

    def __init__(
        self,
        name: str,
        *,
        fabric: Fabric,
        random: Random,
        hostname: str = "",
        address: str = "192.0.2.1",
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`hostname` is what Neutron binds ports to, by default `name`.example; `address` is on the underlay."""
        self.name = name
        self.address = address
        self._random = random
        self.namespaces = Namespaces()
        self.ovsdb = OvsdbServer(random)
        self.switch = Switch(self.ovsdb, self.namespaces, delay_s=lambda: random.uniform(0.001, 0.01))
        self.chassis = Chassis(self.ovsdb, self.switch, fabric, delay_s=lambda: random.uniform(0.01, 0.08))
        self.socket = CniSocket()
        self.installed = asyncio.Event()
        self.disk = Disk()
        self.runtime = ContainerRuntime(self.namespaces, self.socket, random, changed=changed)
        self.kubelet = Kubelet(name, address, self.runtime, self.installed, random)
        ids = {
            "hostname": hostname or f"{name}.example",
            "system-id": name,
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": address,
        }
        self.ovsdb.add_bridge(BRIDGE, external_ids=ids, version="3.5.0")
        # how far ovs-vswitchd has acted is asked every few seconds, and no change of anything
        self.ovsdb.subscribe(lambda changes: changed() if changes.keys() - {"Open_vSwitch"} else None)
        self.namespaces.subscribe(changed)
        self._boot()

    def host(self, gate: Gate, *, over: asyncio.Event) -> SimulatedHost:
        """For one incarnation of the daemon; `over` is set when its process has ended, however it did."""
        return SimulatedHost(
            namespaces=self.namespaces,
            ovsdb=self.ovsdb,
            chassis=self.chassis,
            socket=self.socket,
            installed=self.installed,
            disk=self.disk,
            boot_id=self.boot_id,
            lag_s=lambda: self._random.uniform(0.0, 0.002),
            gate=gate,
            over=over,
        )

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Flows lead to a device that the switch has open, and that is the host's end of a pair into a sandbox."""
        return tuple(
            Endpoint(port_id, path, inside.devices[name].mac_address, inside.ips(name))
            for port_id, ifname in self.chassis.flows.items()
            if self.switch.forwards(ifname) and (peer := self.namespaces.host.devices[ifname].peer) is not None
            for path, name in (peer,)
            if (inside := self.namespaces.find(path)) is not None
        )

    def power_off(self) -> None:
        """The kernel's state is gone; what is on disk stays: OVSDB, the daemon's file, what the runtime knows. The
        machine's daemon and kubelet are processes of their own: end them before.
        """
        self.ovsdb.stop()
        self.switch.stop()
        self.chassis.power_off()
        self.namespaces.clear()
        self.runtime.lose_all()

    def power_on(self) -> None:
        """With another boot id. Start its daemon and kubelet then."""
        self._boot()
        self.ovsdb.start()
        self.switch.start()
        self.chassis.start()

    def _boot(self) -> None:
        self.boot_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        underlay = Device(
            index=self.namespaces.new_index(),
            name=_UNDERLAY,
            kind="",
            mac_address="0a:02:00:00:00:01",
            mtu=1600,
            up=True,
        )
        self.namespaces.add(HOST, underlay)
        self.namespaces.add_address(HOST, _UNDERLAY, Address(self.address, 24))
