"""Examples that several tests use."""

from kuryr.daemon.records import SandboxRecord, record_of
from kuryr.daemon.sandbox import Address, InterfaceSpec, Sandbox


def sandbox(container_id: str = "c0", *, netns: str = "/run/netns/c0", pod_uid: str = "uid-1") -> Sandbox:
    return Sandbox(
        container_id=container_id,
        netns=netns,
        ifname="eth0",
        pod_namespace="default",
        pod_name="web-0",
        pod_uid=pod_uid,
    )


def interface(port_id: str = "port-1") -> InterfaceSpec:
    return InterfaceSpec(
        port_id=port_id,
        mac_address="02:00:00:00:00:01",
        mtu=1442,
        addresses=(Address("10.1.0.5", 16, "10.1.0.1"),),
    )


def record(container_id: str = "c0", *, port_id: str = "port-1", pod_uid: str = "uid-1") -> SandboxRecord:
    return record_of(sandbox(container_id, pod_uid=pod_uid), interface(port_id))
