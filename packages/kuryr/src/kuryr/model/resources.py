"""Our custom resources: all the state Kuryr keeps. The CRDs are generated from these types.

- KuryrNode: what a node is able to do, written by its daemon.
- KuryrPortPool: the ports of one node, one network and one set of security groups. Ports belong to pools, not pods.
- KuryrPort: the claim of one pod, by UID, on one port. Complete when created, immutable after; named as the pod.
"""

from typing import Annotated, ClassVar

from msgspec import Meta

from kubeloop import Condition, KubeObject, KubeStruct, PrinterColumn, Resource

GROUP = "kuryr.openstack.org"
VERSION = "v1alpha1"

SANDBOX_FINALIZER = f"{GROUP}/sandbox"
"""On a KuryrPort: the node daemon's receipt that no sandbox uses the port. Only that node removes it."""

Uid = Annotated[str, Meta(min_length=1, max_length=64)]


class Address(KubeStruct, frozen=True, kw_only=True):
    """One address of an interface."""

    ip: Annotated[str, Meta(description="IPv4 or IPv6 address", max_length=45)]
    prefix_length: Annotated[int, Meta(description="length of the subnet's prefix in bits", ge=0, le=128)]
    gateway: Annotated[
        str, Meta(description="address of the default gateway; empty: no default route", max_length=45)
    ] = ""


class Interface(KubeStruct, frozen=True, kw_only=True):
    """One interface of a pod, backed by one Neutron port."""

    name: Annotated[str, Meta(description="name inside the pod", pattern="^[a-zA-Z0-9._-]{1,15}$")] = "eth0"
    port_id: Annotated[str, Meta(description="id of the Neutron port", min_length=1, max_length=64)]
    mac_address: Annotated[str, Meta(description="as Neutron has it", pattern="^([0-9a-f]{2}:){5}[0-9a-f]{2}$")]
    mtu: Annotated[int, Meta(description="of the network, in bytes", ge=576, le=65535)]
    addresses: Annotated[tuple[Address, ...], Meta(min_length=1, max_length=16)]
    vif_type: Annotated[str, Meta(description="Neutron's binding:vif_type", max_length=64)] = "ovs"


class KuryrPortSpec(KubeStruct, frozen=True, kw_only=True):
    """The claim."""

    pod_uid: Annotated[Uid, Meta(description="UID the runtime knows the pod by; a static pod's is its config hash")]
    node: Annotated[str, Meta(description="name of the Kubernetes node", min_length=1, max_length=253)]
    pool: Annotated[str, Meta(description="the KuryrPortPool that owns the ports", min_length=1, max_length=253)]
    interfaces: Annotated[tuple[Interface, ...], Meta(min_length=1, max_length=8)]
    policy_generation: Annotated[int, Meta(description="generation of network policy it was made under", ge=0)] = 0


class KuryrPortStatus(KubeStruct, frozen=True, kw_only=True):
    """What the node did: written once per sandbox, by the node's daemon."""

    plugged: Annotated[bool, Meta(description="the sandbox is wired and OVN has installed its flows")] = False
    sandbox: Annotated[str, Meta(description="container id of the sandbox", max_length=128)] = ""
    policy_generation: Annotated[int, Meta(description="generation that is enforced", ge=0)] = 0
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=16)] = ()


class KuryrPort(KubeObject, frozen=True, kw_only=True):
    """The claim of one pod on one Neutron port; its name is the pod's, so kubectl's first column is the pod."""

    resource: ClassVar[Resource] = Resource(GROUP, VERSION, "kuryrports", "KuryrPort")
    short_names: ClassVar[tuple[str, ...]] = ("kp",)
    immutable_spec: ClassVar[bool] = True
    selectable_fields: ClassVar[tuple[str, ...]] = (".spec.node",)
    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Node", "string", ".spec.node"),
        PrinterColumn("IP", "string", ".spec.interfaces[0].addresses[0].ip"),
        PrinterColumn("Port", "string", ".spec.interfaces[0].portID"),
        PrinterColumn("Plugged", "boolean", ".status.plugged"),
        PrinterColumn("MAC", "string", ".spec.interfaces[0].macAddress", priority=1),
        PrinterColumn("Pod-UID", "string", ".spec.podUID", priority=1),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: KuryrPortSpec
    status: KuryrPortStatus = KuryrPortStatus()


class KuryrPortPoolSpec(KubeStruct, frozen=True, kw_only=True):
    """What ports the pool has, and how many beyond those in use."""

    node: Annotated[str, Meta(description="name of the Kubernetes node", min_length=1, max_length=253)]
    node_uid: Annotated[Uid, Meta(description="UID of the node: it may register again under its name")]
    network_id: Annotated[str, Meta(description="Neutron network", min_length=1, max_length=64)]
    subnet_ids: Annotated[tuple[str, ...], Meta(description="one per family", min_length=1, max_length=16)]
    security_group_ids: Annotated[tuple[str, ...], Meta(max_length=32)] = ()
    min: Annotated[int, Meta(description="free ports kept ahead of demand; 0: no pooling", ge=0)] = 0
    max: Annotated[int, Meta(description="most ports in all; 0: no bound", ge=0)] = 0
    batch: Annotated[int, Meta(description="most ports in one bulk create", ge=1, le=100)] = 1


class KuryrPortPoolStatus(KubeStruct, frozen=True, kw_only=True):
    """Counts of the pool's ports, for people: nothing decides by them."""

    ready: Annotated[int, Meta(description="free, can be claimed now", ge=0)] = 0
    in_use: Annotated[int, Meta(description="claimed by a KuryrPort", ge=0)] = 0
    growing: Annotated[int, Meta(description="being made for a pod, or reserved for one", ge=0)] = 0
    cooling: Annotated[int, Meta(description="released, not yet free again", ge=0)] = 0
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=16)] = ()


class KuryrPortPool(KubeObject, frozen=True, kw_only=True):
    """The Neutron ports of one node, one network and one set of security groups."""

    resource: ClassVar[Resource] = Resource(GROUP, VERSION, "kuryrportpools", "KuryrPortPool", namespaced=False)
    short_names: ClassVar[tuple[str, ...]] = ("kpp",)
    selectable_fields: ClassVar[tuple[str, ...]] = (".spec.node",)
    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Node", "string", ".spec.node"),
        PrinterColumn("Ready", "integer", ".status.ready"),
        PrinterColumn("In-Use", "integer", ".status.inUse"),
        PrinterColumn("Growing", "integer", ".status.growing"),
        PrinterColumn("Cooling", "integer", ".status.cooling"),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: KuryrPortPoolSpec
    status: KuryrPortPoolStatus = KuryrPortPoolStatus()


class KuryrNodeSpec(KubeStruct, frozen=True, kw_only=True):
    """What the controller asks of the node."""

    node_uid: Annotated[Uid, Meta(description="UID of the Node this describes")]


class KuryrNodeStatus(KubeStruct, frozen=True, kw_only=True):
    """What the node is able to do, as its daemon sees it."""

    host_id: Annotated[
        str, Meta(description="binding:host_id: the hostname in OVSDB, not the node's name", max_length=253)
    ] = ""
    bindings: Annotated[tuple[str, ...], Meta(description="how pods can be plugged", max_length=8)] = ()
    families: Annotated[tuple[str, ...], Meta(description="IPv4, IPv6", max_length=2)] = ()
    mtu: Annotated[int, Meta(description="most that a pod on the tunnels can have, in bytes; 0: unknown", ge=0)] = 0
    ovs_version: Annotated[str, Meta(max_length=64)] = ""
    boot_id: Annotated[str, Meta(description="changes when the node restarts", max_length=64)] = ""
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=16)] = ()


class KuryrNode(KubeObject, frozen=True, kw_only=True):
    """One node, written by its daemon; its name is the node's."""

    resource: ClassVar[Resource] = Resource(GROUP, VERSION, "kuryrnodes", "KuryrNode", namespaced=False)
    short_names: ClassVar[tuple[str, ...]] = ("kn",)
    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Host", "string", ".status.hostID"),
        PrinterColumn("Bindings", "string", ".status.bindings[0]"),
        PrinterColumn("OVS", "string", ".status.conditions[?(@.type=='OVSReady')].status"),
        PrinterColumn("OVN", "string", ".status.conditions[?(@.type=='OVNReady')].status"),
        PrinterColumn("MTU", "integer", ".status.mtu", priority=1),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: KuryrNodeSpec
    status: KuryrNodeStatus = KuryrNodeStatus()


KINDS: tuple[type[KubeObject], ...] = (KuryrNode, KuryrPortPool, KuryrPort)
