"""The core kinds that controllers meet everywhere, with the fields that ours use.

A controller that needs more declares a type of its own: two types may read the same resource.
"""

from typing import ClassVar

import msgspec

from kubeloop.model.base import Condition, KubeObject, KubeStruct, ObjectMeta, Resource


class PodSpec(KubeStruct, frozen=True, kw_only=True):
    """What was asked of the pod. `node_name` is empty until it is scheduled."""

    node_name: str = ""
    host_network: bool = False


class PodStatus(KubeStruct, frozen=True, kw_only=True):
    """What the kubelet observed. `phase` is Pending, Running, Succeeded, Failed or Unknown."""

    phase: str = ""
    pod_ip: str = ""
    conditions: tuple[Condition, ...] = ()


class Pod(KubeObject, frozen=True, kw_only=True):
    """A pod, in part."""

    resource: ClassVar[Resource] = Resource("", "v1", "pods", "Pod")

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class NodeStatus(KubeStruct, frozen=True, kw_only=True):
    """What the kubelet reported."""

    conditions: tuple[Condition, ...] = ()


class Node(KubeObject, frozen=True, kw_only=True):
    """A node, in part."""

    resource: ClassVar[Resource] = Resource("", "v1", "nodes", "Node", namespaced=False)

    status: NodeStatus = NodeStatus()


class Namespace(KubeObject, frozen=True, kw_only=True):
    """A namespace, in part."""

    resource: ClassVar[Resource] = Resource("", "v1", "namespaces", "Namespace", namespaced=False)


class ServiceAccount(KubeObject, frozen=True, kw_only=True):
    """A service account, in part."""

    resource: ClassVar[Resource] = Resource("", "v1", "serviceaccounts", "ServiceAccount")


class TokenRequestSpec(KubeStruct, frozen=True, kw_only=True):
    """For whom and how long; the server may give another life."""

    audiences: tuple[str, ...] = ()
    expiration_seconds: int | None = None


class TokenRequestStatus(KubeStruct, frozen=True, kw_only=True):
    """The token: a secret."""

    token: str = ""
    expiration_timestamp: str = ""


class TokenRequest(KubeObject, frozen=True, kw_only=True):
    """Body and answer of `create_subresource(ServiceAccount, name, "token", ...)`."""

    resource: ClassVar[Resource] = Resource("authentication.k8s.io", "v1", "tokenrequests", "TokenRequest")

    spec: TokenRequestSpec = TokenRequestSpec()
    status: TokenRequestStatus = TokenRequestStatus()


class Eviction(KubeObject, frozen=True, kw_only=True):
    """Body of `create_subresource(Pod, name, "eviction", ...)`; its metadata names the pod."""

    resource: ClassVar[Resource] = Resource("policy", "v1", "evictions", "Eviction")


class ConfigMap(KubeObject, frozen=True, kw_only=True):
    """A ConfigMap, without binary data."""

    resource: ClassVar[Resource] = Resource("", "v1", "configmaps", "ConfigMap")

    data: dict[str, str] = msgspec.field(default_factory=dict)


__all__ = [
    "ConfigMap",
    "Eviction",
    "Namespace",
    "Node",
    "NodeStatus",
    "ObjectMeta",
    "Pod",
    "PodSpec",
    "PodStatus",
    "ServiceAccount",
    "TokenRequest",
    "TokenRequestSpec",
    "TokenRequestStatus",
]
