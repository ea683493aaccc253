"""The kinds that a server serves: what the generic code has to know of each. Built-in ones are a table; those of custom
resources come from their definitions.

Source of the table: the discovery documents and the behaviour of kube-apiserver 1.37.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from kubeloop.simulator.refusals import Body, Cause
from kubeloop.simulator.topology import Topology


class Schema(Protocol):
    """What a kind's schema does with bodies; apiVersion, kind and metadata are not its business."""

    def unknown_fields(self, body: Body) -> list[str]: ...
    def pruned(self, body: Body) -> Body: ...
    def without_empties(self, body: Body) -> Body: ...
    def defaulted(self, body: Body, *, keep_nulls: bool = False) -> Body: ...
    def problems(self, body: Body, old: Body | None) -> list[Cause]: ...


_BY_METADATA = {"metadata.name": ("metadata", "name"), "metadata.namespace": ("metadata", "namespace")}


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where an object says how many there should be and are, and by which selector they are found."""

    wanted: tuple[str, ...] = ("spec", "replicas")
    present: tuple[str, ...] = ("status", "replicas")
    selector: tuple[str, ...] = ("spec", "selector")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Kind:
    """One kind in one version."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    subresources: frozenset[str] = frozenset()
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    singular: str = ""
    selectable: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # by field selectors, beside name and namespace
    generation: bool = False  # counts the changes of the spec
    unconditional: bool = True  # a PUT may leave out the version
    creates_on_update: bool = False  # a PUT creates what is not there
    answers_deleted: bool = False  # a DELETE answers with the object, not with a Status
    collection_deletable: bool = True
    schema: Schema | None = None  # of a custom kind; those of the others are in `built_in`
    topology: Topology | None = None
    custom: bool = False
    ending: bool = False  # its definition is being deleted
    warning: str = ""  # to who uses this version
    stored_version: str = ""  # in which objects are stored; the same by default
    stored_group: str = ""  # likewise
    stored_schema: Schema | None = None  # of that version, where it is another
    renamed: Mapping[str, str] = field(default_factory=dict)  # fields that are stored by another name
    scale: ScalePaths | None = None
    # filled in
    api_version: str = field(default="", init=False)
    stored_api_version: str = field(default="", init=False)
    resource: str = field(default="", init=False)  # what storage and caches call it: "gadgets.example.dev"
    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        give = object.__setattr__
        give(self, "api_version", f"{self.group}/{self.version}" if self.group else self.version)
        group, version = self.stored_group or self.group, self.stored_version or self.version
        give(self, "stored_api_version", f"{group}/{version}" if group else version)
        give(self, "resource", f"{self.plural}.{group}" if group else self.plural)
        give(self, "singular", self.singular or self.kind.lower())
        by_metadata = dict(_BY_METADATA)
        if not self.namespaced and not self.custom:
            del by_metadata["metadata.namespace"]
        stored = {name: (self.renamed.get(path[0], path[0]), *path[1:]) for name, path in self.selectable.items()}
        give(self, "paths", {**by_metadata, **stored})

    def as_stored(self, body: Body) -> Body:
        """In the version of the storage. Type and metadata come first: see `lists.encode_list`."""
        found: Body = {"kind": self.kind, "apiVersion": self.stored_api_version, "metadata": body["metadata"]}
        for name, value in body.items():
            if name not in found:
                found[self.renamed.get(name, name)] = value
        if self.stored_schema is not None:
            return self.stored_schema.defaulted(self.stored_schema.pruned(found))
        return found

    def as_served(self, body: Body) -> Body:
        """Of what is stored."""
        if body["apiVersion"] == self.api_version:
            return body
        names = {stored: name for name, stored in self.renamed.items()}
        found = {names.get(name, name): value for name, value in body.items()}
        if self.schema is not None:
            found = self.schema.pruned(found)
        return {**found, "apiVersion": self.api_version}

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources

    def unselectable(self, name: str) -> str:
        """What is said of a field that may not select."""
        if self.custom:
            return f"field label not supported: {name}"
        known = ", ".join(f'"{one}"' for one in _BY_METADATA)
        return f'"{name}" is not a known field selector: only {known}'


_STATUS = frozenset(("status",))
_SCALED = frozenset(("status", "scale"))
_ALL = ("all",)
_EXTENSIONS = ("api-extensions",)


def _paths(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: tuple(name.split(".")) for name in names}


def _core(plural: str, kind: str, *short: str, **more: object) -> Kind:
    return Kind(group="", version="v1", plural=plural, kind=kind, short_names=short, **more)  # type: ignore[arg-type]


def _apps(plural: str, kind: str, *short: str, **more: object) -> Kind:
    more = {"generation": True, "categories": _ALL, **more}
    return Kind(group="apps", version="v1", plural=plural, kind=kind, short_names=short, **more)  # type: ignore[arg-type]


def _of(group: str, plural: str, kind: str, *short: str, **more: object) -> Kind:
    return Kind(group=group, version="v1", plural=plural, kind=kind, short_names=short, **more)  # type: ignore[arg-type]


_POD_FIELDS = _paths(
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
)
_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_CORE_EVENT_FIELDS = _paths(*(f"involvedObject.{name}" for name in _INVOLVED), "reason", "reportingComponent", "type")
_EVENT_FIELDS = _paths(*(f"regarding.{name}" for name in _INVOLVED), "reason", "reportingController", "type")
_EVENT_FIELD = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
# fmt: off
_RBAC = "rbac.authorization.k8s.io"
_WEBHOOKS = "admissionregistration.k8s.io"

BUILT_IN: tuple[Kind, ...] = (
    _core("configmaps", "ConfigMap", "cm"),
    _core("endpoints", "Endpoints", "ep", singular="endpoints", creates_on_update=True),
    _core("events", "Event", "ev", selectable=_CORE_EVENT_FIELDS, creates_on_update=True,
          stored_group="events.k8s.io", renamed=_EVENT_FIELD),
    _core("limitranges", "LimitRange", "limits", creates_on_update=True),
    _core("namespaces", "Namespace", "ns", namespaced=False, subresources=frozenset(("status", "finalize")),
          selectable=_paths("status.phase"), collection_deletable=False),
    _core("nodes", "Node", "no", namespaced=False, subresources=_STATUS, selectable=_paths("spec.unschedulable")),
    _core("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", subresources=_STATUS, answers_deleted=True),
    _core("persistentvolumes", "PersistentVolume", "pv", namespaced=False, subresources=_STATUS, answers_deleted=True),
    _core("pods", "Pod", "po", subresources=frozenset(("status", "binding", "eviction")), categories=_ALL,
          selectable=_POD_FIELDS, generation=True, answers_deleted=True),
    _core("podtemplates", "PodTemplate", generation=True, answers_deleted=True),
    _core("replicationcontrollers", "ReplicationController", "rc", subresources=_STATUS, categories=_ALL,
          generation=True, selectable=_paths("status.replicas")),
    _core("resourcequotas", "ResourceQuota", "quota", subresources=_STATUS, answers_deleted=True),
    _core("secrets", "Secret", selectable=_paths("type")),
    _core("serviceaccounts", "ServiceAccount", "sa", answers_deleted=True,
         ),
    _core("services", "Service", "svc", subresources=_STATUS, categories=_ALL, answers_deleted=True,
          selectable=_paths("spec.clusterIP", "spec.type")),
    _apps("controllerrevisions", "ControllerRevision", generation=False, categories=()),
    _apps("daemonsets", "DaemonSet", "ds", subresources=_STATUS),
    _apps("deployments", "Deployment", "deploy", subresources=_SCALED, scale=ScalePaths()),
    _apps("replicasets", "ReplicaSet", "rs", subresources=_SCALED, scale=ScalePaths(),
          selectable=_paths("status.replicas")),
    _apps("statefulsets", "StatefulSet", "sts", subresources=_SCALED, scale=ScalePaths()),
    _of("batch", "cronjobs", "CronJob", "cj", subresources=_STATUS, categories=_ALL, generation=True),
    _of("batch", "jobs", "Job", subresources=_STATUS, categories=_ALL, generation=True,
        selectable=_paths("status.successful")),
    _of("coordination.k8s.io", "leases", "Lease", creates_on_update=True, unconditional=False),
    _of("discovery.k8s.io", "endpointslices", "EndpointSlice",
        generation=True),
    _of("events.k8s.io", "events", "Event", "ev", selectable=_EVENT_FIELDS, creates_on_update=True),
    _of("networking.k8s.io", "ingressclasses", "IngressClass", namespaced=False, generation=True),
    _of("networking.k8s.io", "ingresses", "Ingress", "ing", subresources=_STATUS, generation=True),
    _of("networking.k8s.io", "networkpolicies", "NetworkPolicy", "netpol", generation=True),
    _of("policy", "poddisruptionbudgets", "PodDisruptionBudget", "pdb", subresources=_STATUS, generation=True,
        unconditional=False),
    _of(_RBAC, "clusterrolebindings", "ClusterRoleBinding", namespaced=False,
        creates_on_update=True),
    _of(_RBAC, "clusterroles", "ClusterRole", namespaced=False,
        creates_on_update=True),
    _of(_RBAC, "rolebindings", "RoleBinding", creates_on_update=True),
    _of(_RBAC, "roles", "Role", creates_on_update=True),
    _of("scheduling.k8s.io", "priorityclasses", "PriorityClass", "pc", namespaced=False, generation=True,
       ),
    _of("storage.k8s.io", "storageclasses", "StorageClass", "sc", namespaced=False,
        answers_deleted=True),
    _of(_WEBHOOKS, "mutatingwebhookconfigurations", "MutatingWebhookConfiguration",
        namespaced=False, categories=_EXTENSIONS, generation=True, unconditional=False),
    _of(_WEBHOOKS, "validatingwebhookconfigurations", "ValidatingWebhookConfiguration",
        namespaced=False, categories=_EXTENSIONS, generation=True, unconditional=False),
    _of("apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition", "crd", "crds",
        namespaced=False, categories=_EXTENSIONS, subresources=_STATUS, generation=True, unconditional=False),
)
# fmt: on


class Kinds:
    """The kinds that one server serves now, by group, version and plural."""

    def __init__(self, kinds: Iterable[Kind] = BUILT_IN) -> None:
        self._kinds = {(kind.group, kind.version, kind.plural): kind for kind in kinds}

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def get(self, group: str, version: str, plural: str) -> Kind | None:
        return self._kinds.get((group, version, plural))

    def has_group(self, group: str, version: str) -> bool:
        return any(key[:2] == (group, version) for key in self._kinds)

    def replace(self, resource: str, kinds: Iterable[Kind]) -> None:
        """Serves these versions of a custom resource, and no others."""
        kept = {key: kind for key, kind in self._kinds.items() if kind.resource != resource}
        self._kinds = {**kept, **{(kind.group, kind.version, kind.plural): kind for kind in kinds}}
