"""The core kinds that controllers meet everywhere, with the fields that ours use.

A controller that needs more declares a type of its own: two types may read the same resource.
"""

from typing import ClassVar

from kubeloop.model.base import Condition, KubeObject, KubeStruct, ObjectMeta, Resource


class PodSpec(KubeStruct, frozen=True, kw_only=True):
    node_name: str = ""
    host_network: bool = False


class PodStatus(KubeStruct, frozen=True, kw_only=True):
    phase: str = ""
    pod_ip: str = ""
    conditions: tuple[Condition, ...] = ()


class Pod(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("", "v1", "pods", "Pod")

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class NodeStatus(KubeStruct, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()


class Node(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("", "v1", "nodes", "Node", namespaced=False)

    status: NodeStatus = NodeStatus()


class Namespace(KubeObject, frozen=True, kw_only=True):
    resource: ClassVar[Resource] = Resource("", "v1", "namespaces", "Namespace", namespaced=False)


__all__ = ["Namespace", "Node", "NodeStatus", "ObjectMeta", "Pod", "PodSpec", "PodStatus"]
