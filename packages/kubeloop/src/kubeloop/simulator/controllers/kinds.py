"""The kinds that the controllers work on, with the fields they read."""

import types
from functools import cache
from typing import Any, ClassVar

import kubeloop as k
from kubeloop.simulator.refusals import Body

Selector = dict[str, Any]


class Named(k.KubeStruct, frozen=True, kw_only=True):
    """A container, in part."""

    name: str
    image: str = ""


class Reference(k.KubeStruct, frozen=True, kw_only=True):
    """Names a node."""

    kind: str = "Node"
    name: str = ""


class Binding(k.KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[k.Resource] = k.Resource("", "v1", "bindings", "Binding")

    target: Reference


class PodSpec(k.KubeStruct, frozen=True, kw_only=True):
    node_name: str = ""
    node_selector: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it
    scheduler_name: str = ""
    scheduling_gates: tuple[Any, ...] = ()
    tolerations: tuple[dict[str, Any], ...] = ()
    host_network: bool = False
    containers: tuple[Named, ...] = ()


class PodStatus(k.KubeStruct, frozen=True, kw_only=True):
    phase: str = ""
    pod_ip: str = ""
    conditions: tuple[k.Condition, ...] = ()


class Pod(k.KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[k.Resource] = k.Pod.resource

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ended(self) -> bool:
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def ready(self) -> bool:
        return k.is_true(self.status.conditions, "Ready")


class NewPod(k.KubeObject, frozen=True, kw_only=True):
    """As a template says."""

    resource: ClassVar[k.Resource] = k.Pod.resource

    spec: dict[str, Any]


class NodeSpec(k.KubeStruct, frozen=True, kw_only=True):
    unschedulable: bool = False
    taints: tuple[dict[str, Any], ...] = ()


class NodeAddress(k.KubeStruct, frozen=True, kw_only=True):
    type: str
    address: str


class NodeStatus(k.KubeStruct, frozen=True, kw_only=True):
    addresses: tuple[NodeAddress, ...] = ()
    conditions: tuple[k.Condition, ...] = ()


class Node(k.KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[k.Resource] = k.Node.resource

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def ip(self) -> str:
        return next((one.address for one in self.status.addresses if one.type == "InternalIP"), "")


class ReplicaSetSpec(k.KubeStruct, frozen=True, kw_only=True):
    replicas: int = 1
    selector: Selector = {}  # noqa: RUF012
    template: dict[str, Any] = {}  # noqa: RUF012


class ReplicaSetStatus(k.KubeStruct, frozen=True, kw_only=True):
    replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    fully_labeled_replicas: int = 0
    observed_generation: int = 0


class ReplicaSet(k.KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[k.Resource] = k.Resource("apps", "v1", "replicasets", "ReplicaSet")

    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


class RollingUpdate(k.KubeStruct, frozen=True, kw_only=True):
    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"


class Strategy(k.KubeStruct, frozen=True, kw_only=True):
    type: str = "RollingUpdate"
    rolling_update: RollingUpdate = RollingUpdate()


class DeploymentSpec(k.KubeStruct, frozen=True, kw_only=True):
    replicas: int = 1
    selector: Selector = {}  # noqa: RUF012
    template: dict[str, Any] = {}  # noqa: RUF012
    strategy: Strategy = Strategy()
    paused: bool = False
    revision_history_limit: int = 10


class DeploymentStatus(k.KubeStruct, frozen=True, kw_only=True):
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0
    observed_generation: int = 0
    conditions: tuple[k.Condition, ...] = ()


class Deployment(k.KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[k.Resource] = k.Resource("apps", "v1", "deployments", "Deployment")

    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class Finalizers(k.KubeStruct, frozen=True, kw_only=True):
    finalizers: tuple[str, ...] = ()


class Namespace(k.KubeObject, frozen=True, kw_only=True):
    """What is put to its `finalize` subresource."""

    resource: ClassVar[k.Resource] = k.Namespace.resource
    complete: ClassVar[bool] = True

    spec: Finalizers = Finalizers()


def metadata_of(resource: str, body: Body) -> type[k.KubeObject]:
    """A type that reads only the metadata of objects like this one; `resource` is as the storage calls it."""
    group, _, version = body["apiVersion"].rpartition("/")
    plural = resource.partition(".")[0]
    return _metadata(k.Resource(group, version, plural, body["kind"], "namespace" in body["metadata"]))


@cache
def _metadata(resource: k.Resource) -> type[k.KubeObject]:
    names = {"resource": resource, "__annotations__": {"resource": ClassVar[k.Resource]}, "__module__": __name__}
    return types.new_class(
        resource.kind, (k.KubeObject,), {"frozen": True, "kw_only": True}, lambda of: of.update(names)
    )
