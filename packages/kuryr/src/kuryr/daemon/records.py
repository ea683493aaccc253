"""The daemon's durable record: which sandbox an OVS interface belongs to, written into its external_ids.

One table of keys, `_KEYS`, so that every row can be attributed and swept; a row without our container id is not ours.
`iface-id`, `attached-mac` and `iface-status` are read by ovn-controller (ovn-controller(8)); they are written from the
record, and never read back: `iface-id` may be taken from an old attempt while its record stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kuryr.daemon.sandbox import InterfaceSpec, Sandbox

IFACE_ID = "iface-id"
OVN_INSTALLED = "ovn-installed"
POD_UID = "kuryr-pod-uid"
FINISHED = "kuryr-add-finished"

_KEYS = {
    "container_id": "kuryr-container-id",
    "ifname": "kuryr-ifname",
    "netns": "kuryr-netns",
    "pod_namespace": "kuryr-pod-namespace",
    "pod_name": "kuryr-pod-name",
    "pod_uid": POD_UID,
    "port_id": "kuryr-port-id",
    "mac_address": "attached-mac",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRecord:
    """One wired interface of one sandbox, as OVSDB remembers it."""

    container_id: str
    ifname: str
    netns: str
    pod_namespace: str
    pod_name: str
    pod_uid: str
    port_id: str
    mac_address: str


def record_of(sandbox: Sandbox, interface: InterfaceSpec) -> SandboxRecord:
    return SandboxRecord(
        container_id=sandbox.container_id,
        ifname=sandbox.ifname,
        netns=sandbox.netns,
        pod_namespace=sandbox.pod_namespace,
        pod_name=sandbox.pod_name,
        pod_uid=sandbox.pod_uid,
        port_id=interface.port_id,
        mac_address=interface.mac_address,
    )


def external_ids(record: SandboxRecord) -> dict[str, str]:
    """What is written to the OVS Interface: our record and what ovn-controller needs to bind the port."""
    ids = {key: getattr(record, field) for field, key in _KEYS.items()}
    return {IFACE_ID: record.port_id, "iface-status": "active", **ids}


def parse_record(ids: Mapping[str, str]) -> SandboxRecord | None:
    """The record in a row's external_ids, or None when the row is not ours."""
    if _KEYS["container_id"] not in ids:
        return None
    return SandboxRecord(**{field: ids.get(key, "") for field, key in _KEYS.items()})
