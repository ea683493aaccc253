"""What to write into OVSDB for the node's own port, an internal one: pure, as `ports` is for those of pods.

Its row is ours by a key of its own, so that nothing takes it for a sandbox's. It is changed in place: the device, and
what the host has bound to it, stays.
"""

from typing import Any

from kuryr.daemon.ovsdb import ports
from kuryr.daemon.ovsdb.client import Operation
from kuryr.daemon.ovsdb.codec import as_set, encode_map, encode_set, encode_uuid
from kuryr.daemon.ovsdb.replica import Replica, Row
from kuryr.daemon.records import IFACE_ID
from kuryr.daemon.vswitch import BridgeMissing, InternalPort, NameTaken, PortInUse

NODE_PORT = "kuryr-node-port"


def plan_internal(replica: Replica, bridge: str, port: InternalPort) -> tuple[Operation, ...]:
    """No operations when it is there as wanted. Raises BridgeMissing, NameTaken, PortInUse."""
    bridge_uuid = replica.bridge(bridge)
    if bridge_uuid is None:
        raise BridgeMissing(f"there is no bridge {bridge!r} in Open vSwitch: is ovn-controller running?")
    holders = {
        uuid: row["name"]
        for uuid, row in replica.rows("Interface").items()
        if row["external_ids"].get(IFACE_ID) == port.port_id
    }
    for name in holders.values():
        if name != port.name:
            raise PortInUse(f"the node's Neutron port {port.port_id} is bound to interface {name!r}")
    wait = ports.wait_for_holders(port.port_id, tuple(holders))
    uuid = replica.interface_uuid(port.name)
    row = replica.interface(port.name)
    if uuid is None or row is None:
        wanted = {**_columns(port), "external_ids": encode_map(_external_ids(port))}
        return (wait, *ports.insert(bridge_uuid, port.name, wanted))
    if NODE_PORT not in row["external_ids"]:
        raise NameTaken(f"Open vSwitch already has an interface {port.name!r} which is not ours: remove it")
    if _is_as_wanted(row, port):
        return ()
    return (wait, *_change(uuid, port))


def _columns(port: InternalPort) -> dict[str, Any]:
    return {
        "type": "internal",
        "mac": port.mac_address,
        "mtu_request": port.mtu,
    }


def _change(uuid: str, port: InternalPort) -> tuple[Operation, ...]:
    """ovn-controller's key stays, which it writes only once for a port: whole external_ids would lose it for good."""
    row = {"table": "Interface", "where": [["_uuid", "==", encode_uuid(uuid)]]}
    ids = _external_ids(port)
    mutations = [["external_ids", "delete", encode_set(ids)], ["external_ids", "insert", encode_map(ids)]]
    return ({"op": "update", **row, "row": _columns(port)}, {"op": "mutate", **row, "mutations": mutations})


def _external_ids(port: InternalPort) -> dict[str, str]:
    return {
        IFACE_ID: port.port_id,
        "iface-status": "active",
        "attached-mac": port.mac_address,
        NODE_PORT: port.port_id,
    }


def _is_as_wanted(row: Row, port: InternalPort) -> bool:
    """ovn-controller adds keys of its own to external_ids."""
    return (
        row["type"] == "internal"
        and as_set(row["mac"]) == (port.mac_address,)
        and as_set(row["mtu_request"]) == (port.mtu,)
        and row["external_ids"].items() >= _external_ids(port).items()
    )
