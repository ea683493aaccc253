"""What is shown of nodes, namespaces and kinds, of rights, quotas and storage, and of Events and leases."""

from collections.abc import Callable, Mapping

from kubeloop.simulator.columns.column import (
    AGE,
    CREATED_AT,
    NAME,
    NONE,
    Column,
    at,
    count,
    made,
    path_column,
    size,
)
from kubeloop.simulator.refusals import Body


def _node_status(node: Body) -> str:
    ready = [one["status"] == "True" for one in at(node, "status", "conditions", default=[]) if one["type"] == "Ready"]
    states = ["Ready" if ready[0] else "NotReady"] if ready else ["Unknown"]
    return ",".join([*states, *(["SchedulingDisabled"] if at(node, "spec", "unschedulable") else [])])


def _node_roles(node: Body) -> str:
    prefix = "node-role.kubernetes.io/"
    found = set()
    for key, value in at(node, "metadata", "labels", default={}).items():
        role = key.removeprefix(prefix) if key.startswith(prefix) else value if key == "kubernetes.io/role" else ""
        found |= {role} if role else set()
    return ",".join(sorted(found)) or NONE


def _node_address(kind: str) -> Callable[[Body], str]:
    def cell(node: Body) -> str:
        addresses = at(node, "status", "addresses", default=[])
        return next((one["address"] for one in addresses if one["type"] == kind), NONE)

    return cell


def _node_info(node: Body, field: str) -> str:
    return at(node, "status", "nodeInfo", field, default="") or "<unknown>"


def _node_kernel(node: Body) -> str:
    architecture = at(node, "status", "nodeInfo", "architecture", default="")
    return _node_info(node, "kernelVersion") + (f" ({architecture})" if architecture else "")


def _role_ref(binding: Body) -> str:
    return f"{at(binding, 'roleRef', 'kind', default='')}/{at(binding, 'roleRef', 'name', default='')}"


def _subjects(kind: str, text: Callable[[Body], str] = lambda one: str(one["name"])) -> Callable[[Body], str]:
    return lambda binding: ", ".join(text(one) for one in binding.get("subjects") or () if one["kind"] == kind)


_BINDING = (
    NAME,
    made("Role", _role_ref),
    AGE,
    made("Users", _subjects("User"), wide=True),
    made("Groups", _subjects("Group"), wide=True),
    made("ServiceAccounts", _subjects("ServiceAccount", lambda one: f"{one.get('namespace', '')}/{one['name']}"),
          wide=True),
)  # fmt: skip


def _crd_versions(definition: Body) -> str:
    served = [one for one in at(definition, "spec", "versions", default=[]) if one.get("served")]
    return ",".join(f"{one['name']}(storage)" if one.get("storage") else one["name"] for one in served)


def _established(definition: Body) -> bool:
    conditions = at(definition, "status", "conditions", default=[])
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def _quota(*, of_limits: bool) -> Callable[[Body], str]:
    """Used of what is allowed, by resource."""

    def cell(quota: Body) -> str:
        hard, used = at(quota, "status", "hard", default={}), at(quota, "status", "used", default={})
        names = sorted(name for name in hard if name.startswith("limits.") == of_limits)
        return ", ".join(f"{name}: {used.get(name, 0)}/{hard[name]}" for name in names)

    return cell


def _class_name(storage_class: Body) -> str:
    marked = at(storage_class, "metadata", "annotations", "storageclass.kubernetes.io/is-default-class")
    return f"{storage_class['metadata']['name']}{' (default)' if marked == 'true' else ''}"


_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _modes(*path: str) -> Callable[[Body], str]:
    return lambda body: ",".join(short for mode, short in _MODES.items() if mode in at(body, *path, default=[]))


def _claim(volume: Body) -> str:
    claim = at(volume, "spec", "claimRef", default={})
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""


def _phase(body: Body) -> str:
    going = at(body, "metadata", "deletionTimestamp") is not None
    return "Terminating" if going else str(at(body, "status", "phase", default=""))


_CLAIM_CLASS = "volumeAttributesClassName"
_WEBHOOKS = (NAME, made("Webhooks", lambda body: size(body, "webhooks"), type="integer"), AGE)

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "nodes": (
        NAME,
        made("Status", _node_status),
        made("Roles", _node_roles),
        AGE,
        path_column("Version", "status", "nodeInfo", "kubeletVersion"),
        made("Internal-IP", _node_address("InternalIP"), wide=True),
        made("External-IP", _node_address("ExternalIP"), wide=True),
        made("OS-Image", lambda node: _node_info(node, "osImage"), wide=True),
        made("Kernel-Version", _node_kernel, wide=True),
        made("Container-Runtime", lambda node: _node_info(node, "containerRuntimeVersion"), wide=True),
    ),
    "namespaces": (NAME, path_column("Status", "status", "phase"), AGE),
    "configmaps": (NAME, made("Data", lambda body: size(body, "data") + size(body, "binaryData")), AGE),
    "secrets": (NAME, path_column("Type", "type"), made("Data", lambda body: size(body, "data")), AGE),
    "leases.coordination.k8s.io": (NAME, path_column("Holder", "spec", "holderIdentity"), AGE),
    "customresourcedefinitions.apiextensions.k8s.io": (
        NAME,
        path_column("Scope", "spec", "scope"),
        made("Versions", _crd_versions),
        CREATED_AT,
        path_column("Group", "spec", "group", wide=True),
        path_column("Kind", "spec", "names", "kind", wide=True),
        made("ShortNames", lambda body: ",".join(at(body, "spec", "names", "shortNames", default=[])), wide=True),
        made("Established", _established, type="boolean", wide=True),
    ),
    "roles.rbac.authorization.k8s.io": (NAME, CREATED_AT),
    "clusterroles.rbac.authorization.k8s.io": (NAME, CREATED_AT),
    "rolebindings.rbac.authorization.k8s.io": _BINDING,
    "clusterrolebindings.rbac.authorization.k8s.io": _BINDING,
    "limitranges": (NAME, CREATED_AT),
    "resourcequotas": (
        NAME,
        made("Request", _quota(of_limits=False)),
        made("Limit", _quota(of_limits=True)),
        AGE,
    ),
    "priorityclasses.scheduling.k8s.io": (
        NAME,
        count("Value", "value"),
        path_column("Global-Default", "globalDefault", default=False, type="boolean"),
        AGE,
        path_column("PreemptionPolicy", "preemptionPolicy"),
    ),
    "storageclasses.storage.k8s.io": (
        Column("Name", lambda body, _: _class_name(body), format="name"),
        path_column("Provisioner", "provisioner"),
        path_column("ReclaimPolicy", "reclaimPolicy", default="Delete"),
        path_column("VolumeBindingMode", "volumeBindingMode", default="Immediate"),
        path_column("AllowVolumeExpansion", "allowVolumeExpansion", default=False),
        AGE,
    ),
    "persistentvolumes": (
        NAME,
        path_column("Capacity", "spec", "capacity", "storage"),
        made("Access Modes", _modes("spec", "accessModes")),
        path_column("Reclaim Policy", "spec", "persistentVolumeReclaimPolicy"),
        made("Status", _phase),
        made("Claim", _claim),
        path_column("StorageClass", "spec", "storageClassName"),
        path_column("VolumeAttributesClass", "spec", _CLAIM_CLASS, default="<unset>"),
        path_column("Reason", "status", "reason"),
        AGE,
        path_column("VolumeMode", "spec", "volumeMode", default="<unset>", wide=True),
    ),
    "persistentvolumeclaims": (
        NAME,
        made("Status", _phase),
        path_column("Volume", "spec", "volumeName"),
        path_column("Capacity", "status", "capacity", "storage"),
        made("Access Modes", _modes("status", "accessModes")),
        path_column("StorageClass", "spec", "storageClassName"),
        path_column("VolumeAttributesClass", "spec", _CLAIM_CLASS, default="<unset>"),
        AGE,
        path_column("VolumeMode", "spec", "volumeMode", default="<unset>", wide=True),
    ),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": _WEBHOOKS,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": _WEBHOOKS,
}
