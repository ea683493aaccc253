"""ovn-controller: flows for the interfaces whose iface-id is a port that is bound to this host.

As OVN 25.03 was seen to do it with `ovn-installed` on interfaces:

- it is set when an interface is claimed for a port, on each that names it, and not again when others take it away;
- it goes with the claim: when the port is gone or bound elsewhere, when the interface names none or has no device;
- what another run of ovn-controller has left stays on an interface that has a device and names a port that is not ours.
"""

from collections.abc import Callable

from kuryr.daemon.ovn import OvnControllerStatus
from kuryr.daemon.ovsdb.client import Operation
from kuryr.daemon.ovsdb.codec import encode_map, encode_set, encode_uuid
from kuryr.daemon.records import IFACE_ID, OVN_INSTALLED
from kuryr.simulator.fabric import Fabric
from kuryr.simulator.node.ovsdb.server import OvsdbServer
from kuryr.simulator.node.ovsdb.tables import Row
from kuryr.simulator.node.reaction import Reaction
from kuryr.simulator.node.switch import Switch


class Chassis:
    """Flows stay as they are while ovn-controller is dead, or cut off from the southbound database."""

    def __init__(self, ovsdb: OvsdbServer, switch: Switch, fabric: Fabric, *, delay_s: Callable[[], float]) -> None:
        self._ovsdb = ovsdb
        self._switch = switch
        self._fabric = fabric
        self._running = True
        self._connected = True
        self.flows: dict[str, str] = {}  # port id -> interface's name
        self._claims: dict[str, str] = {}  # interface's UUID -> port id: what this run of it has claimed
        self._bound: set[str] = set()  # port ids, as the southbound database has them: up, on this chassis
        self._reaction = Reaction(self._act, delay_s)
        ovsdb.subscribe(lambda _: self._reaction.ask())
        fabric.subscribe(lambda _: self._reaction.ask())

    def stop(self) -> None:
        self._running = False
        self._claims.clear()

    def start(self) -> None:
        self._running = True
        self._reaction.ask()

    def disconnect(self) -> None:
        """From the southbound database."""
        self._connected = False

    def connect(self) -> None:
        self._connected = True
        self._reaction.ask()

    async def fetch_status(self) -> OvnControllerStatus:
        """See `OvnControl`."""
        if not self._running:
            return OvnControllerStatus(False, "NotRunning", "no ovn-controller listens")
        if not self._connected:
            return OvnControllerStatus(False, "Disconnected", "ovn-controller is not connected")
        return OvnControllerStatus(True, "Connected")

    @property
    def hostname(self) -> str:
        """What Neutron binds ports to."""
        row = next(iter(self._ovsdb.rows("Open_vSwitch").values()), None)
        return str(row["external_ids"].get("hostname", "")) if row is not None else ""

    def power_off(self) -> None:
        """Flows go with the machine; in the southbound database its ports stay bound."""
        self.stop()
        self.flows.clear()

    def _act(self) -> None:
        if not (self._running and self._connected and self._ovsdb.running):
            return
        host = self.hostname
        rows = dict(sorted(self._switch.interfaces()))
        claims = {uuid: port_id for uuid, row in rows.items() if (port_id := self._find_port(row, host)) is not None}
        names: dict[str, list[str]] = {}
        for uuid, port_id in claims.items():
            names.setdefault(port_id, []).append(rows[uuid]["name"])
        self.flows = {
            port_id: self.flows[port_id] if self.flows.get(port_id) in found else found[0]
            for port_id, found in names.items()
        }
        before, self._claims = self._claims, claims
        operations = [
            change for uuid, row in rows.items() if (change := _mark(uuid, row, before.get(uuid), claims.get(uuid)))
        ]
        if operations:
            self._ovsdb.transact(*operations)
        gone, new = sorted(self._bound - names.keys()), sorted(names.keys() - self._bound)
        self._bound = set(names)
        for port_id in gone:
            self._fabric.unplugged(port_id, host)
        for port_id in new:
            self._fabric.plugged(port_id, host)

    def _find_port(self, row: Row, host: str) -> str | None:
        """The port that the interface is to be claimed for."""
        port_id = row["external_ids"].get(IFACE_ID)
        if not port_id or not _has_device(row) or self._fabric.port_bound(port_id, host) is None:
            return None
        return str(port_id)


def _has_device(row: Row) -> bool:
    return row["ofport"] not in ((), (-1,))


def _mark(uuid: str, row: Row, before: str | None, now: str | None) -> Operation | None:
    ids = row["external_ids"]
    if now is not None and now != before:
        if ids.get(OVN_INSTALLED) == "true":
            return None
        change = ["insert", encode_map({OVN_INSTALLED: "true"})]
    elif OVN_INSTALLED in ids and now is None and (before is not None or IFACE_ID not in ids or not _has_device(row)):
        change = ["delete", encode_set([OVN_INSTALLED])]
    else:
        return None
    return {
        "op": "mutate",
        "table": "Interface",
        "where": [["_uuid", "==", encode_uuid(uuid)]],
        "mutations": [["external_ids", *change]],
    }
