"""The base of every typed Kubernetes object.

A type holds only the fields its controller uses: unknown fields are skipped while decoding, which is what makes a list
of 10,000 pods cost 25 us an object instead of hundreds. Objects are frozen, so one copy is shared by all readers, and
they are trees without cycles, so the cyclic garbage collector is told to leave them alone.

Because a decoded object may hold only a part of what the server has, it is never written back whole, but patched. A
kind that has every field of its API declares `complete = True`, and then every optional field is `X | None = None`:
`Client.replace` writes all that is not None.

JSON names follow the API conventions (acronyms in capitals after the first word): `pod_ip` is `podIP`. Source:
kubernetes/community, contributors/devel/sig-architecture/api-conventions.md.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import msgspec

_ACRONYMS = {
    "api": "API",
    "cidr": "CIDR",
    "cidrs": "CIDRs",
    "id": "ID",
    "ids": "IDs",
    "ip": "IP",
    "ips": "IPs",
    "mac": "MAC",
    "mtu": "MTU",
    "uid": "UID",
    "url": "URL",
}


def json_name(field: str) -> str:
    """The JSON name of a Python field, by the Kubernetes API conventions: `host_ip` -> `hostIP`."""
    first, *rest = field.rstrip("_").split("_")
    return first + "".join(_ACRONYMS.get(word, word.capitalize()) for word in rest)


class KubeStruct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, rename=json_name):
    """A part of a Kubernetes object. Fields equal to their default are left out of the JSON."""


class ObjectKey(NamedTuple):
    """What names an object of one kind; `namespace` is empty for cluster-scoped kinds. Identity is the UID."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Resource:
    """Where the API server serves a kind: `Resource("apps", "v1", "deployments", "Deployment")`."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection (over all namespaces when none is given), or of one object."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


class OwnerReference(KubeStruct, frozen=True, kw_only=True):
    """Whose dependent an object is; at most one of them is its `controller`."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(KubeStruct, frozen=True, kw_only=True):
    """Metadata that controllers use. Times are RFC 3339 texts; an empty `deletion_timestamp` means not deleting."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    deletion_grace_period_seconds: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(self.namespace, self.name)

    @property
    def deleting(self) -> bool:
        """Deletion was asked for; the object stays until its last finalizer is gone."""
        return bool(self.deletion_timestamp)


class KubeObject(KubeStruct, frozen=True, kw_only=True):
    """A kind. A subclass names its `resource` and its other fields; `complete` says that it has all there are.

    mypy wants `frozen=True, kw_only=True` repeated in each subclass; at run time they are inherited.
    """

    resource: ClassVar[Resource]
    complete: ClassVar[bool] = False

    metadata: ObjectMeta = ObjectMeta()

    @property
    def key(self) -> ObjectKey:
        return self.metadata.key

    def owner_reference(self, *, controller: bool = False) -> OwnerReference:
        """A reference to this object for its dependents: the garbage collector deletes them after it."""
        return OwnerReference(
            api_version=self.resource.api_version,
            kind=self.resource.kind,
            name=self.metadata.name,
            uid=self.metadata.uid,
            controller=controller,
        )


class Condition(KubeStruct, frozen=True, kw_only=True):
    """One condition of a status; `status` is True, False or Unknown."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    observed_generation: int = 0
    last_transition_time: str = ""
