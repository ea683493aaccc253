"""ovs-vswitchd: opens the devices of OVSDB's ports, makes internal ones, and says how far it has acted."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kuryr.daemon.ovsdb.client import Operation
from kuryr.daemon.ovsdb.codec import encode_set, encode_uuid
from kuryr.simulator.node.namespaces import HOST, Device, Namespaces
from kuryr.simulator.node.ovsdb.server import OvsdbServer
from kuryr.simulator.node.ovsdb.tables import Row
from kuryr.simulator.node.reaction import Reaction

INTERNAL = "openvswitch"


class Switch:
    """`running` may be set; a switch that does not run forwards nothing new and answers nothing."""

    def __init__(self, ovsdb: OvsdbServer, namespaces: Namespaces, *, delay_s: Callable[[], float]) -> None:
        self._ovsdb = ovsdb
        self._namespaces = namespaces
        self._opened: dict[str, int] = {}  # interface -> index of the device that was opened for it
        self._last_port = 0
        self._running = True
        self._reaction = Reaction(self._act, delay_s)
        ovsdb.subscribe(lambda _: self._reaction.ask())
        namespaces.subscribe(self._reaction.ask)

    def stop(self) -> None:
        """As after SIGKILL: what it has not done stays undone. Internal devices are its own (the datapath is in
        userspace), and go with it.
        """
        self._running = False
        for name in [one.name for one in self._namespaces.host.devices.values() if one.kind == INTERNAL]:
            self._namespaces.delete(HOST, name)

    def start(self) -> None:
        """It opens all devices anew."""
        self._running = True
        self._opened = {}
        self._reaction.ask()

    def forwards(self, name: str) -> bool:
        """Packets of the host's device of that name reach the switch: the one it opened is the one that is there."""
        device = self._namespaces.host.devices.get(name)
        return device is not None and self._opened.get(name) == device.index

    def interfaces(self) -> Iterator[tuple[str, Row]]:
        """Those that a bridge has, by UUID."""
        of_bridges = {port for bridge in self._ovsdb.rows("Bridge").values() for port in bridge["ports"]}
        rows = self._ovsdb.rows("Interface")
        for uuid in of_bridges:
            for one in self._ovsdb.rows("Port")[uuid]["interfaces"]:
                yield one, rows[one]

    def _act(self) -> None:
        if not (self._running and self._ovsdb.running):
            return
        wanted = dict(sorted(self.interfaces()))
        names = {row["name"] for row in wanted.values()}
        for name in [name for name in self._opened if name not in names]:
            self._close(name)
        operations = [operation for uuid, row in wanted.items() for operation in self._open(uuid, row)]
        for row in self._ovsdb.rows("Open_vSwitch").values():
            if row["cur_cfg"] != row["next_cfg"]:
                operations.append(_update("Open_vSwitch", row["_uuid"], {"cur_cfg": row["next_cfg"]}))
        if operations:
            self._ovsdb.transact(*operations)

    def _close(self, name: str) -> None:
        del self._opened[name]
        device = self._namespaces.host.devices.get(name)
        if device is not None and device.kind == INTERNAL:
            self._namespaces.delete(HOST, name)

    def _open(self, uuid: str, row: Row) -> Iterator[Operation]:
        name = row["name"]
        if row["type"] == "internal":
            self._make_internal(row)
        device = self._namespaces.host.devices.get(name)
        if device is None:
            self._opened.pop(name, None)
            error = f"could not open network device {name} (No such device)"
            if row["error"] != (error,):
                yield _update("Interface", uuid, {"ofport": -1, "error": error})
        elif name not in self._opened or row["ofport"] in ((), (-1,)):
            # a device that took the place of one that is open is not noticed
            self._opened.setdefault(name, device.index)
            self._last_port += 1
            yield _update("Interface", uuid, {"ofport": self._last_port, "error": encode_set(())})

    def _make_internal(self, row: Row) -> None:
        device = self._namespaces.host.devices.get(row["name"])
        if device is None:
            self._opened.pop(row["name"], None)
            index = self._namespaces.new_index()
            device = Device(
                index=index,
                name=row["name"],
                kind=INTERNAL,
                mac_address=f"0a:01:00:00:{index >> 8 & 255:02x}:{index & 255:02x}",
                mtu=1500,
            )
            self._namespaces.add(HOST, device)
        if device.kind == INTERNAL:
            device.mac_address = next(iter(row["mac"]), device.mac_address)
            device.mtu = next(iter(row["mtu_request"]), device.mtu)


def _update(table: str, uuid: str, row: Mapping[str, Any]) -> Operation:
    return {"op": "update", "table": table, "where": [["_uuid", "==", encode_uuid(uuid)]], "row": row}
