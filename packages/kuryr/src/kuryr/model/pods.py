"""What Kuryr reads off a pod. Pure."""

from kubeloop import Pod
from kuryr.model.ownership import PodUid

_MIRROR = "kubernetes.io/config.mirror"
_HASH = "kubernetes.io/config.hash"

FINISHED = frozenset({"Succeeded", "Failed"})


def sandbox_uid(pod: Pod) -> PodUid:
    """The UID by which the runtime knows the pod: of a static pod's mirror, the hash of its file, not the mirror's
    own UID.
    """
    if _MIRROR in pod.metadata.annotations:
        return PodUid(pod.metadata.annotations.get(_HASH, pod.metadata.uid))
    return PodUid(pod.metadata.uid)


def is_static(pod: Pod) -> bool:
    """A mirror of a pod that the kubelet runs from a file."""
    return _MIRROR in pod.metadata.annotations


def needs_port(pod: Pod) -> bool:
    """The pod is scheduled, has a network namespace of its own and still runs, or will."""
    return bool(pod.spec.node_name) and not pod.spec.host_network and pod.status.phase not in FINISHED
