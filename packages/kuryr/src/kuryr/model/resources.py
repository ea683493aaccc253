"""Our custom resources: all the state Kuryr keeps. The CRDs are generated from these types.

- KuryrNode: what a node is able to do, written by its daemon; and the node's own port, given by the controller.
- KuryrPortPool: the ports of one node, one network and one set of security groups. Ports belong to pools, not pods.
- KuryrPort: the claim of one pod, by UID, on one port. Complete when created, immutable after; named as the pod.
- KuryrCluster: the one place for what concerns all of them: the cloud's state, and what the sweeper would delete.
"""

from typing import Annotated, ClassVar

from msgspec import Meta

from kubeloop import Condition, KubeObject, KubeStruct, PrinterColumn, Resource

GROUP = "kuryr.openstack.org"
VERSION = "v1alpha1"

SANDBOX_FINALIZER = f"{GROUP}/sandbox"
"""On a KuryrPort: the node daemon's receipt that no sandbox uses the port. Only that node removes it."""

PORT_CONFLICT = "PortConflict"
"""Condition of a KuryrPort, by the node: its port is another's. The controller replaces it by one with another port."""

PORT_MISSING = "PortMissing"
"""Condition of a KuryrPort, by the controller: the pod runs, and Neutron does not have its port any more, or elsewhere.
"""

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
    node_uid: Annotated[Uid, Meta(description="UID of the node: it may register again under its name")]
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


class QuarantinedPort(KubeStruct, frozen=True, kw_only=True):
    """A port whose KuryrPort had to go before the node gave its receipt, as in a terminating namespace. Nobody gets it
    until the node's daemon takes the entry away, or the node is lost and the port deleted.
    """

    port_id: Annotated[str, Meta(description="id of the Neutron port", min_length=1, max_length=64)]
    claim_uid: Annotated[Uid, Meta(description="UID of the KuryrPort that named it")]
    pod_uid: Annotated[Uid, Meta(description="UID of the pod that had it")]


class KuryrPortPoolStatus(KubeStruct, frozen=True, kw_only=True):
    """Counts of the pool's ports, for people: nothing decides by them. And the ports in quarantine, which are as
    claimed as those that a KuryrPort names.
    """

    ready: Annotated[int, Meta(description="free, can be claimed now", ge=0)] = 0
    in_use: Annotated[int, Meta(description="claimed by a KuryrPort", ge=0)] = 0
    growing: Annotated[int, Meta(description="being made for a pod, or reserved for one", ge=0)] = 0
    cooling: Annotated[int, Meta(description="released, not yet free again", ge=0)] = 0
    quarantine: Annotated[tuple[QuarantinedPort, ...], Meta(max_length=1000)] = ()
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
    interface: Annotated[
        Interface | None, Meta(description="the node's own port, through which it reaches its pods; by the controller")
    ] = None


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
    """One node, of the same name: made, and its status written, by its daemon; the controller gives it its port."""

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


CLUSTER_NAME = "kuryr"
"""The name of the one KuryrCluster."""


class KuryrClusterSpec(KubeStruct, frozen=True, kw_only=True):
    """What people decide."""

    approved_sweep: Annotated[
        str, Meta(description="digest of the sweep that may delete although the guard stops it", max_length=64)
    ] = ""


class SweepStep(KubeStruct, frozen=True, kw_only=True):
    """One thing the sweeper would delete."""

    kind: Annotated[str, Meta(description="Port (of Neutron) or KuryrPort", max_length=32)]
    name: Annotated[str, Meta(description="the port's id, or namespace/name", max_length=320)]
    reason: Annotated[str, Meta(description="why nothing explains it", max_length=256)]


class SweepPlan(KubeStruct, frozen=True, kw_only=True):
    """What the sweeper would do now. Empty where everything is explained."""

    digest: Annotated[str, Meta(description="of all steps: what `kuryr sweep --apply` approves", max_length=64)] = ""
    total: Annotated[int, Meta(description="steps in all, also those not listed here", ge=0)] = 0
    steps: Annotated[tuple[SweepStep, ...], Meta(description="the first hundred", max_length=100)] = ()


class KuryrClusterStatus(KubeStruct, frozen=True, kw_only=True):
    """Written by the leading controller. Conditions: CloudReady, SweepAllowed."""

    cluster_id: Annotated[str, Meta(description="marks our ports in Neutron", max_length=64)] = ""
    sweep: SweepPlan = SweepPlan()
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=16)] = ()


class KuryrCluster(KubeObject, frozen=True, kw_only=True):
    """What concerns the whole cluster; there is one, of the name `kuryr`, made by the controller."""

    resource: ClassVar[Resource] = Resource(GROUP, VERSION, "kuryrclusters", "KuryrCluster", namespaced=False)
    printer_columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("ID", "string", ".status.clusterID"),
        PrinterColumn("Cloud", "string", ".status.conditions[?(@.type=='CloudReady')].status"),
        PrinterColumn("Sweep", "string", ".status.conditions[?(@.type=='SweepAllowed')].reason"),
        PrinterColumn("Unexplained", "integer", ".status.sweep.total"),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: KuryrClusterSpec = KuryrClusterSpec()
    status: KuryrClusterStatus = KuryrClusterStatus()


KINDS: tuple[type[KubeObject], ...] = (KuryrNode, KuryrPortPool, KuryrPort, KuryrCluster)
