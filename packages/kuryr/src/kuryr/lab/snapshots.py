"""What the API server, Neutron and the nodes of the lab say, each asked by a client that is not the product's."""

import json
import re
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from kubeloop import KubeObject, Pod
from kuryr.daemon.ovsdb.codec import parse_value
from kuryr.daemon.ovsdb.internal_ports import NODE_PORT
from kuryr.daemon.records import IFACE_ID, OVN_INSTALLED, parse_record
from kuryr.lab.agreement import ApiSnapshot, Machine, OvsInterface, disagreements
from kuryr.lab.kubernetes import kubectl
from kuryr.lab.layout import Layout, NodeSpec
from kuryr.lab.openstack_api import NEUTRON_URL, Api
from kuryr.lab.processes import run
from kuryr.model.ownership import ClusterId, device_owner
from kuryr.model.resources import KuryrNode, KuryrPort, KuryrPortPool
from kuryr.openstack.neutron import Port

T = TypeVar("T", bound=KubeObject)


def find_disagreements(layout: Layout) -> tuple[str, ...]:
    """Of the lab as it is now."""
    return disagreements(
        take_api(layout), take_neutron(layout), tuple(take_machine(layout, node) for node in layout.nodes)
    )


def take_api(layout: Layout) -> ApiSnapshot:
    kinds: tuple[type[KubeObject], ...] = (Pod, KuryrPort, KuryrNode, KuryrPortPool)
    names = ",".join(kind.resource.plural for kind in kinds)
    items = json.loads(kubectl(layout, "get", names, "-A", "-o", "json"))["items"]

    def of(kind: type[T]) -> tuple[T, ...]:
        return tuple(msgspec.convert(item, kind) for item in items if item["kind"] == kind.resource.kind)

    return ApiSnapshot(pods=of(Pod), claims=of(KuryrPort), nodes=of(KuryrNode), pools=of(KuryrPortPool))


def take_neutron(layout: Layout) -> tuple[Port, ...]:
    """The ports of our mark."""
    cluster = kubectl(layout, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    query = urlencode({"device_owner": device_owner(ClusterId(cluster))})
    found = Api("kuryr", "kubernetes").call("GET", f"{NEUTRON_URL}/v2.0/ports?{query}")["ports"]
    return tuple(msgspec.convert(port, Port) for port in found)


def take_machine(layout: Layout, node: NodeSpec) -> Machine:
    client = [layout.ovs_bin / "ovsdb-client", "--timeout=10", "transact", f"unix:{layout.ovsdb(node)}"]
    columns = ["name", "external_ids", "error", "ofport", "link_state"]
    select = {"op": "select", "table": "Interface", "where": [], "columns": columns}
    rows = json.loads(run([*client, json.dumps(["Open_vSwitch", select])]))[0]["rows"]
    links = run(["ip", "-n", node.netns, "-o", "link", "show", "type", "veth"])
    return Machine(
        node=node.name,
        interfaces=tuple(found for row in rows if (found := _parse_interface(row)) is not None),
        links=frozenset(re.findall(r": (tap[0-9a-f]{12})@", links)),
    )


def _parse_interface(row: dict[str, Any]) -> OvsInterface | None:
    """None when it is not ours."""
    ids = parse_value(row["external_ids"])
    record = parse_record(ids)
    if record is None and NODE_PORT not in ids:
        return None
    return OvsInterface(
        name=row["name"],
        iface_id=ids.get(IFACE_ID, ""),
        mac_address=ids.get("attached-mac", ""),
        installed=ids.get(OVN_INSTALLED) == "true",
        problem=_problem(row),
        record=record,
    )


def _problem(row: dict[str, Any]) -> str:
    """Error and ofport are sets of at most one (ovs-vswitchd.conf.db(5))."""
    if isinstance(row["error"], str):
        return row["error"]
    if not isinstance(row["ofport"], int) or row["ofport"] < 0:
        return "the switch has no such port"
    return "" if row["link_state"] == "up" else "its link is not up"
