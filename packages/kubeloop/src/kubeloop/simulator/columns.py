"""The columns of the built-in kinds: what `kubectl get` shows of them, cell for cell as kube-apiserver 1.37 has it.

A kind that has none of its own here is shown by name and age.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubeloop.simulator.cells import age
from kubeloop.simulator.pod_status import pod_gates, pod_ready, pod_restarts, pod_status
from kubeloop.simulator.refusals import Body
from kubeloop.simulator.selectors import label_selector_text

Cell = Callable[[Body, datetime], Any]
NONE = "<none>"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. A wide one is shown by `-o wide` alone."""

    name: str
    cell: Cell
    type: str = "string"
    wide: bool = False
    format: str = ""
    description: str = ""

    def definition(self) -> Body:
        """As it stands in a Table."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": 1 if self.wide else 0,
        }


def _at(body: Any, *path: str | int, default: Any = None) -> Any:
    """What is at `path`; the default for what is not there, or null."""
    for step in path:
        if isinstance(step, int):
            body = body[step] if isinstance(body, list) and len(body) > step else None
        else:
            body = body.get(step) if isinstance(body, dict) else None
    return default if body is None else body


def _path(name: str, *path: str | int, default: Any = "", type: str = "string", wide: bool = False) -> Column:
    return Column(name, lambda body, _: _at(body, *path, default=default), type, wide)


def _count(name: str, *path: str) -> Column:
    return _path(name, *path, default=0, type="integer")


def _made(name: str, cell: Callable[[Body], Any], *, type: str = "string", wide: bool = False) -> Column:
    return Column(name, lambda body, _: cell(body), type, wide)


NAME = Column("Name", lambda body, _: _at(body, "metadata", "name", default=""), format="name")
AGE = Column("Age", lambda body, now: age(_at(body, "metadata", "creationTimestamp"), now))
CREATED_AT = Column(
    "Created At", lambda body, _: _at(body, "metadata", "creationTimestamp", default="<unknown>"), type="date"
)
BY_AGE = (NAME, AGE)


def _size(body: Body, field: str) -> int:
    return len(body.get(field) or ())


def _containers(*path: str) -> tuple[Column, Column]:
    """Names and images of a template's containers."""

    def each(field: str) -> Callable[[Body], str]:
        return lambda body: ",".join(_at(one, field, default="") for one in _at(body, *path, "containers", default=[]))

    return _made("Containers", each("name"), wide=True), _made("Images", each("image"), wide=True)


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or NONE


def _selector(*path: str, plain: bool = False) -> Column:
    def cell(body: Body) -> str:
        found = _at(body, *path)
        return _labels(found or {}) if plain else label_selector_text(found) or NONE

    return _made("Selector", cell, wide=True)


def _node_status(node: Body) -> str:
    ready = [one["status"] == "True" for one in _at(node, "status", "conditions", default=[]) if one["type"] == "Ready"]
    states = ["Ready" if ready[0] else "NotReady"] if ready else ["Unknown"]
    return ",".join([*states, *(["SchedulingDisabled"] if _at(node, "spec", "unschedulable") else [])])


def _node_roles(node: Body) -> str:
    prefix = "node-role.kubernetes.io/"
    found = set()
    for key, value in _at(node, "metadata", "labels", default={}).items():
        role = key.removeprefix(prefix) if key.startswith(prefix) else value if key == "kubernetes.io/role" else ""
        found |= {role} if role else set()
    return ",".join(sorted(found)) or NONE


def _node_address(kind: str) -> Callable[[Body], str]:
    def cell(node: Body) -> str:
        addresses = _at(node, "status", "addresses", default=[])
        return next((one["address"] for one in addresses if one["type"] == kind), NONE)

    return cell


def _node_info(node: Body, field: str) -> str:
    return _at(node, "status", "nodeInfo", field, default="") or "<unknown>"


def _node_kernel(node: Body) -> str:
    architecture = _at(node, "status", "nodeInfo", "architecture", default="")
    return _node_info(node, "kernelVersion") + (f" ({architecture})" if architecture else "")


def _service_external(service: Body) -> str:
    kind = _at(service, "spec", "type", default="ClusterIP")
    addresses = [*_at(service, "spec", "externalIPs", default=[])]
    if kind == "ExternalName":
        return str(_at(service, "spec", "externalName", default=""))
    if kind == "LoadBalancer":
        ingress = _at(service, "status", "loadBalancer", "ingress", default=[])
        addresses = [one.get("ip") or one.get("hostname") or "" for one in ingress] + addresses
        return ",".join(addresses) or "<pending>"
    return ",".join(addresses) or NONE


def _service_ports(service: Body) -> str:
    def text(port: Body) -> str:
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port['port']}{node_port}/{port.get('protocol', 'TCP')}"

    return ",".join(map(text, _at(service, "spec", "ports", default=[]))) or NONE


def _about(event: Body) -> Body:
    return event.get("involvedObject") or event.get("regarding") or {}


def _event_object(event: Body) -> str:
    about = _about(event)
    kind, name = about.get("kind", "").lower(), about.get("name", "")
    return f"{kind}/{name}" if name else kind


def _event_source(event: Body) -> str:
    source = event.get("source") or event.get("deprecatedSource") or {}
    reporter = event.get("reportingComponent") or event.get("reportingController")
    component, instance = (
        source.get("component") or reporter or "",
        source.get("host") or event.get("reportingInstance"),
    )
    return f"{component}, {instance}" if instance else component


def _event_first(event: Body) -> str | None:
    return event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp") or event.get("eventTime")


def _event_last(event: Body) -> str | None:
    last = event.get("lastTimestamp") or event.get("deprecatedLastTimestamp") or _event_first(event)
    observed: str | None = _at(event, "series", "lastObservedTime", default=last)
    return observed


def _event_count(event: Body) -> int:
    return int(_at(event, "series", "count", default=event.get("count") or event.get("deprecatedCount") or 1))


_EVENT = (
    Column("Last Seen", lambda event, now: age(_event_last(event), now)),
    _path("Type", "type"),
    _path("Reason", "reason"),
    _made("Object", _event_object),
    _made("Subobject", lambda event: _about(event).get("fieldPath", ""), wide=True),
    _made("Source", _event_source, wide=True),
    _made("Message", lambda event: (event.get("message") or event.get("note") or "").strip()),
    Column("First Seen", lambda event, now: age(_event_first(event), now), wide=True),
    _made("Count", _event_count, wide=True),
    Column("Name", NAME.cell, wide=True, format="name"),
)  # fmt: skip


def _role_ref(binding: Body) -> str:
    return f"{_at(binding, 'roleRef', 'kind', default='')}/{_at(binding, 'roleRef', 'name', default='')}"


def _subjects(kind: str, text: Callable[[Body], str] = lambda one: str(one["name"])) -> Callable[[Body], str]:
    return lambda binding: ", ".join(text(one) for one in binding.get("subjects") or () if one["kind"] == kind)


_BINDING = (
    NAME,
    _made("Role", _role_ref),
    AGE,
    _made("Users", _subjects("User"), wide=True),
    _made("Groups", _subjects("Group"), wide=True),
    _made("ServiceAccounts", _subjects("ServiceAccount", lambda one: f"{one.get('namespace', '')}/{one['name']}"),
          wide=True),
)  # fmt: skip


def _crd_versions(definition: Body) -> str:
    served = [one for one in _at(definition, "spec", "versions", default=[]) if one.get("served")]
    return ",".join(f"{one['name']}(storage)" if one.get("storage") else one["name"] for one in served)


def _established(definition: Body) -> bool:
    conditions = _at(definition, "status", "conditions", default=[])
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def _ready_of(path: str) -> Callable[[Body], str]:
    return lambda body: f"{_at(body, 'status', path, default=0)}/{_at(body, 'spec', 'replicas', default=0)}"


_TEMPLATE = ("spec", "template", "spec")

COLUMNS: Mapping[str, Iterable[Column]] = {
    "pods": (
        NAME,
        _made("Ready", pod_ready),
        _made("Status", pod_status),
        Column("Restarts", pod_restarts),
        AGE,
        _path("IP", "status", "podIPs", 0, "ip", default=NONE, wide=True),
        _path("Node", "spec", "nodeName", default=NONE, wide=True),
        _path("Nominated Node", "status", "nominatedNodeName", default=NONE, wide=True),
        _made("Readiness Gates", pod_gates, wide=True),
    ),
    "nodes": (
        NAME,
        _made("Status", _node_status),
        _made("Roles", _node_roles),
        AGE,
        _path("Version", "status", "nodeInfo", "kubeletVersion"),
        _made("Internal-IP", _node_address("InternalIP"), wide=True),
        _made("External-IP", _node_address("ExternalIP"), wide=True),
        _made("OS-Image", lambda node: _node_info(node, "osImage"), wide=True),
        _made("Kernel-Version", _node_kernel, wide=True),
        _made("Container-Runtime", lambda node: _node_info(node, "containerRuntimeVersion"), wide=True),
    ),
    "namespaces": (NAME, _path("Status", "status", "phase"), AGE),
    "configmaps": (NAME, _made("Data", lambda body: _size(body, "data") + _size(body, "binaryData")), AGE),
    "secrets": (NAME, _path("Type", "type"), _made("Data", lambda body: _size(body, "data")), AGE),
    "services": (
        NAME,
        _path("Type", "spec", "type"),
        _made("Cluster-IP", lambda service: _at(service, "spec", "clusterIP", default=NONE) or NONE),
        _made("External-IP", _service_external),
        _made("Port(s)", _service_ports),
        AGE,
        _selector("spec", "selector", plain=True),
    ),
    "events": _EVENT,
    "events.events.k8s.io": _EVENT,
    "deployments.apps": (
        NAME,
        _made("Ready", _ready_of("readyReplicas")),
        _path("Up-to-date", "status", "updatedReplicas", default=0),
        _path("Available", "status", "availableReplicas", default=0),
        AGE,
        *_containers(*_TEMPLATE),
        _selector("spec", "selector"),
    ),
    "replicasets.apps": (
        NAME,
        _count("Desired", "spec", "replicas"),
        _count("Current", "status", "replicas"),
        _count("Ready", "status", "readyReplicas"),
        AGE,
        *_containers(*_TEMPLATE),
        _selector("spec", "selector"),
    ),
    "statefulsets.apps": (NAME, _made("Ready", _ready_of("readyReplicas")), AGE, *_containers(*_TEMPLATE)),
    "daemonsets.apps": (
        NAME,
        _count("Desired", "status", "desiredNumberScheduled"),
        _count("Current", "status", "currentNumberScheduled"),
        _count("Ready", "status", "numberReady"),
        _count("Up-to-date", "status", "updatedNumberScheduled"),
        _count("Available", "status", "numberAvailable"),
        _made("Node Selector", lambda body: _labels(_at(body, *_TEMPLATE, "nodeSelector", default={}))),
        AGE,
        *_containers(*_TEMPLATE),
        _selector("spec", "selector"),
    ),
    "leases.coordination.k8s.io": (NAME, _path("Holder", "spec", "holderIdentity"), AGE),
    "customresourcedefinitions.apiextensions.k8s.io": (
        NAME,
        _path("Scope", "spec", "scope"),
        _made("Versions", _crd_versions),
        CREATED_AT,
        _path("Group", "spec", "group", wide=True),
        _path("Kind", "spec", "names", "kind", wide=True),
        _made("ShortNames", lambda body: ",".join(_at(body, "spec", "names", "shortNames", default=[])), wide=True),
        _made("Established", _established, type="boolean", wide=True),
    ),
    "roles.rbac.authorization.k8s.io": (NAME, CREATED_AT),
    "clusterroles.rbac.authorization.k8s.io": (NAME, CREATED_AT),
    "rolebindings.rbac.authorization.k8s.io": _BINDING,
    "clusterrolebindings.rbac.authorization.k8s.io": _BINDING,
}  # fmt: skip
"""By resource, with its group where it has one."""
