"""What to write into OVSDB for a port of ours: pure, from the local copy to the operations of one transaction.

The arbiter is here: a Neutron port that another pod's interface has is refused, one that an older sandbox of the same
pod has is taken from it. A `wait` on exactly the rows that were looked at makes the decision hold at the moment of the
commit, even if the local copy was behind (then the transaction is refused with "timed out").
"""

from collections.abc import Mapping
from typing import Any

from kuryr.daemon.ovsdb.client import Operation
from kuryr.daemon.ovsdb.codec import as_set, encode_map, encode_set, encode_uuid, parse_value
from kuryr.daemon.ovsdb.replica import Replica, Row
from kuryr.daemon.records import FINISHED, IFACE_ID, POD_UID, SandboxRecord, external_ids, parse_record
from kuryr.daemon.vswitch import BridgeMissing, NameTaken, PortInUse


def plan_add(replica: Replica, bridge: str, name: str, record: SandboxRecord) -> tuple[Operation, ...]:
    """No operations when it is there as wanted. Raises BridgeMissing, NameTaken, PortInUse."""
    bridge_uuid = replica.bridge(bridge)
    if bridge_uuid is None:
        raise BridgeMissing(f"there is no bridge {bridge!r} in Open vSwitch: is ovn-controller running?")
    holders = {
        uuid: row
        for uuid, row in replica.rows("Interface").items()
        if row["external_ids"].get(IFACE_ID) == record.port_id
    }
    stale = [uuid for uuid, row in holders.items() if row["name"] != name]
    for uuid in stale:
        _check_same_pod(holders[uuid], record)
    existing = replica.interface(name)
    if existing is not None and parse_record(existing["external_ids"]) is None:
        raise NameTaken(f"Open vSwitch already has an interface {name!r} which is not ours: remove it")
    wanted = external_ids(record)
    if existing is not None and not stale and existing["external_ids"].items() >= wanted.items():
        port_uuid = replica.port_uuid(replica.interface_uuid(name) or "")
        if port_uuid in as_set(replica.rows("Bridge")[bridge_uuid]["ports"]):
            return ()
    old_port = replica.port_uuid(replica.interface_uuid(name) or "") if existing is not None else None
    return (
        wait_for_holders(record.port_id, tuple(holders)),
        *(_take_iface_id(uuid) for uuid in stale),
        *(plan_delete(old_port) if old_port else ()),
        *insert(bridge_uuid, name, {"external_ids": encode_map(wanted)}),
    )


def _check_same_pod(holder: Row, record: SandboxRecord) -> None:
    owner = holder["external_ids"].get(POD_UID)
    if owner != record.pod_uid:
        whose = f"pod UID {owner}" if owner else "something that is not ours"
        raise PortInUse(f"Neutron port {record.port_id} is bound to interface {holder['name']!r} of {whose}")


def wait_for_holders(port_id: str, uuids: tuple[str, ...]) -> Operation:
    """The transaction is refused unless exactly these interfaces have the Neutron port."""
    return {
        "op": "wait",
        "timeout": 0,
        "table": "Interface",
        "where": [["external_ids", "includes", encode_map({IFACE_ID: port_id})]],
        "columns": ["_uuid"],
        "until": "==",
        "rows": [{"_uuid": encode_uuid(uuid)} for uuid in uuids],
    }


def _take_iface_id(uuid: str) -> Operation:
    """The old sandbox's row and record stay, for its DEL or the sweep; OVN just does not see it any more."""
    return {
        "op": "mutate",
        "table": "Interface",
        "where": [["_uuid", "==", encode_uuid(uuid)]],
        "mutations": [["external_ids", "delete", encode_set([IFACE_ID])]],
    }


def insert(bridge_uuid: str, name: str, columns: Mapping[str, Any]) -> tuple[Operation, ...]:
    """A new interface with these columns beside its name, in a port of its name on the bridge."""
    return (
        {
            "op": "insert",
            "table": "Interface",
            "uuid-name": "interface",
            "row": {"name": name, **columns},
        },
        {
            "op": "insert",
            "table": "Port",
            "uuid-name": "port",
            "row": {"name": name, "interfaces": ["named-uuid", "interface"]},
        },
        {
            "op": "mutate",
            "table": "Bridge",
            "where": [["_uuid", "==", encode_uuid(bridge_uuid)]],
            "mutations": [["ports", "insert", encode_set([["named-uuid", "port"]])]],
        },
    )


def plan_finished(name: str) -> tuple[Operation, ...]:
    return (_change_ids(name, ["external_ids", "insert", encode_map({FINISHED: "true"})]),)


def plan_bind_again(replica: Replica, name: str, port_id: str) -> tuple[Operation, ...]:
    """No operations when it is bound to it. Raises PortInUse while another interface has the Neutron port."""
    holders = [
        row["name"] for row in replica.rows("Interface").values() if row["external_ids"].get(IFACE_ID) == port_id
    ]
    if holders == [name]:
        return ()
    if holders:
        raise PortInUse(f"Neutron port {port_id} of interface {name!r} is bound to {', '.join(holders)}")
    return (
        wait_for_holders(port_id, ()),
        _change_ids(
            name,
            ["external_ids", "delete", encode_set([IFACE_ID])],
            ["external_ids", "insert", encode_map({IFACE_ID: port_id})],
        ),
    )


def _change_ids(name: str, *mutations: list[Any]) -> Operation:
    return {"op": "mutate", "table": "Interface", "where": [["name", "==", name]], "mutations": list(mutations)}


def select_port(name: str) -> tuple[Operation, ...]:
    """Asks the database itself: an addition that was cancelled may not be in the local copy yet."""
    by_name = [["name", "==", name]]
    return (
        {"op": "select", "table": "Port", "where": by_name, "columns": ["_uuid"]},
        {"op": "select", "table": "Interface", "where": by_name, "columns": ["external_ids"]},
    )


def parse_own_port(results: list[Mapping[str, Any]]) -> str | None:
    """The UUID of the port `select_port` found, if it is ours."""
    ports, interfaces = (result["rows"] for result in results)
    if not ports or not any(parse_record(parse_value(row["external_ids"])) for row in interfaces):
        return None
    return str(parse_value(ports[0]["_uuid"]))


def plan_delete(port_uuid: str) -> tuple[Operation, ...]:
    """Once no bridge has the port, the database itself collects it and its interface."""
    port = encode_uuid(port_uuid)
    return (
        {
            "op": "mutate",
            "table": "Bridge",
            "where": [["ports", "includes", port]],
            "mutations": [["ports", "delete", encode_set([port])]],
        },
    )


def ask_for_acknowledgement() -> tuple[Operation, ...]:
    """ovs-vswitchd copies next_cfg to cur_cfg when it has acted on what came before (ovs-vswitchd.conf.db(5))."""
    return (
        {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]},
        {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"]},
    )
