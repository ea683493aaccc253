"""Kubernetes' own Node, as far as we read it: whether it is there, as which one, and in service. (What a node is able
to do for us is its KuryrNode.)
"""

from typing import ClassVar

import msgspec

from kubeloop import KubeObject, KubeStruct, Node, ObjectMeta, Resource

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
"""Set by who knows that the machine is off: https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/."""


class Taint(KubeStruct, frozen=True, kw_only=True):
    key: str = ""


class MachineSpec(KubeStruct, frozen=True, kw_only=True):
    taints: tuple[Taint, ...] = ()


class Machine(KubeObject, frozen=True, kw_only=True):
    """A Node."""

    resource: ClassVar[Resource] = Node.resource

    spec: MachineSpec = MachineSpec()


def is_lost(machine: Machine | None) -> bool:
    """Nothing runs there any more that could use a port: no Node of the name exists, whatever its UID, or it is
    declared out of service.
    """
    return machine is None or any(taint.key == OUT_OF_SERVICE for taint in machine.spec.taints)


def without_details(machine: Machine) -> Machine:
    """For stores: labels and annotations are most of a Node, and nothing is decided by them."""
    meta = machine.metadata
    slim = ObjectMeta(
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
        deletion_timestamp=meta.deletion_timestamp,
    )
    return msgspec.structs.replace(machine, metadata=slim)
