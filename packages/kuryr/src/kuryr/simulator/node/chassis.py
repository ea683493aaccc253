"""ovn-controller: flows for the interfaces whose iface-id is a port that is bound to this host."""

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
        self._claimed: set[str] = set()  # port ids, as the southbound database has them: bound by this chassis
        self._reaction = Reaction(self._act, delay_s)
        ovsdb.subscribe(lambda _: self._reaction.ask())
        fabric.subscribe(lambda _: self._reaction.ask())

    def stop(self) -> None:
        self._running = False

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
        self._running = False
        self.flows.clear()

    def _act(self) -> None:
        if not (self._running and self._connected and self._ovsdb.running):
            return
        host = self.hostname
        rows = sorted(self._switch.interfaces())
        claimed: dict[str, tuple[str, Row]] = {}
        for uuid, row in rows:
            port_id = row["external_ids"].get(IFACE_ID)
            if port_id and row["ofport"] not in ((), (-1,)) and self._fabric.port_bound(port_id, host) is not None:
                claimed.setdefault(port_id, (uuid, row))
        gone = sorted(self._claimed - claimed.keys())
        new = [port_id for port_id, (_, row) in claimed.items() if self.flows.get(port_id) != row["name"]]
        self._claimed = set(claimed)
        self.flows = {port_id: row["name"] for port_id, (_, row) in claimed.items()}
        installed = {uuid for uuid, _ in claimed.values()}
        operations = [change for uuid, row in rows if (change := _mark(uuid, row, uuid in installed)) is not None]
        if operations:
            self._ovsdb.transact(*operations)
        for port_id in gone:
            self._fabric.unplugged(port_id, host)
        for port_id in new:
            self._fabric.plugged(port_id, host)


def _mark(uuid: str, row: Row, installed: bool) -> Operation | None:
    if installed == (row["external_ids"].get(OVN_INSTALLED) == "true"):
        return None
    change = ["insert", encode_map({OVN_INSTALLED: "true"})] if installed else ["delete", encode_set([OVN_INSTALLED])]
    return {
        "op": "mutate",
        "table": "Interface",
        "where": [["_uuid", "==", encode_uuid(uuid)]],
        "mutations": [["external_ids", *change]],
    }
