"""The schemas of the built-in kinds, out of the table of their fields, `built_in_fields.txt`.

They are structural schemas like those of custom kinds, read when a kind is first used; what is added to the table here
are defaults. They say less than kube-apiserver validates: which fields there are and of what type, no more.
"""

from functools import cache
from pathlib import Path
from typing import Any

from kubeloop.simulator.kinds import Kind, Schema
from kubeloop.simulator.refusals import Body
from kubeloop.simulator.structural import StructuralSchema
from kubeloop.simulator.topology import Topology, of_object

FIELDS = Path(__file__).with_name("built_in_fields.txt")

_TYPES: dict[str, Body] = {
    "s": {"type": "string"},
    "i": {"type": "integer"},
    "b": {"type": "boolean"},
    "n": {"type": "number"},
    "t": {"type": "string", "format": "date-time"},
    "B": {"type": "string", "format": "byte"},
    "q": {"x-kubernetes-int-or-string": True},
    "x": {"x-kubernetes-preserve-unknown-fields": True, "x-kubernetes-map-type": "atomic"},
}

_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_CONTAINER = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
_WEBHOOK = {
    "failurePolicy": "Fail",
    "matchPolicy": "Equivalent",
    "namespaceSelector": {},
    "objectSelector": {},
    "timeoutSeconds": 10,
}
_RBAC = "rbac.authorization.k8s.io"

DEFAULTS: dict[str, dict[str, Any]] = {
    "admissionregistration.MutatingWebhook": {**_WEBHOOK, "reinvocationPolicy": "Never"},
    "admissionregistration.RuleWithOperations": {"scope": "*"},
    "admissionregistration.ServiceReference": {"port": 443},
    "admissionregistration.ValidatingWebhook": _WEBHOOK,
    "apiextensions.CustomResourceDefinitionSpec": {"conversion": {"strategy": "None"}},
    "apps.DaemonSetSpec": {"updateStrategy": {"type": "RollingUpdate"}, "revisionHistoryLimit": 10},
    "apps.DeploymentSpec": {
        "replicas": 1,
        "strategy": {"type": "RollingUpdate"},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    },
    "apps.ReplicaSetSpec": {"replicas": 1},
    "apps.StatefulSetSpec": {
        "replicas": 1,
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate"},
        "revisionHistoryLimit": 10,
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    },
    "batch.CronJobSpec": {
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    },
    "coordination.Lease": {"spec": {}},
    "core.ConfigMapVolumeSource": {"defaultMode": 420},
    "core.Container": {**_CONTAINER, "resources": {}},
    "core.ContainerPort": {"protocol": "TCP"},
    "core.DownwardAPIVolumeSource": {"defaultMode": 420},
    "core.EndpointPort": {"protocol": "TCP"},
    "core.EphemeralContainer": {**_CONTAINER, "resources": {}},
    "core.HTTPGetAction": {"path": "/", "scheme": "HTTP"},
    "core.HostPathVolumeSource": {"type": ""},
    "core.Node": {"spec": {}},
    "core.ObjectFieldSelector": {"apiVersion": "v1"},
    "core.PersistentVolumeClaimSpec": {"volumeMode": "Filesystem"},
    "core.PersistentVolumeSpec": {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"},
    "core.PodSpec": {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    },
    "core.Probe": _PROBE,
    "core.ProjectedVolumeSource": {"defaultMode": 420},
    "core.ReplicationControllerSpec": {"replicas": 1},
    "core.Secret": {"type": "Opaque"},
    "core.SecretVolumeSource": {"defaultMode": 420},
    "core.ServiceAccountTokenProjection": {"expirationSeconds": 3600},
    "core.ServicePort": {"protocol": "TCP"},
    "core.ServiceSpec": {"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"},
    "discovery.Endpoint": {"conditions": {}},
    "discovery.EndpointPort": {"name": "", "protocol": "TCP"},
    "networking.NetworkPolicyPort": {"protocol": "TCP"},
    "rbac.RoleRef": {"apiGroup": _RBAC},
    "scheduling.PriorityClass": {"preemptionPolicy": "PreemptLowerPriority"},
    "storage.StorageClass": {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
}
"""By structure of the API; those that depend on other fields are in `strategies`."""


_POD: Body = {"containers": []}
_TEMPLATE = {"metadata": {}, "spec": _POD}
_JOB = {"template": _TEMPLATE}
EMPTY: dict[str, Body] = {
    "cronjobs.batch": {"spec": {"jobTemplate": {"metadata": {}, "spec": _JOB}}},
    "daemonsets.apps": {"spec": {"template": _TEMPLATE, "updateStrategy": {}}},
    "deployments.apps": {"spec": {"template": _TEMPLATE, "strategy": {}}},
    "jobs.batch": {"spec": _JOB},
    "networkpolicies.networking.k8s.io": {"spec": {"podSelector": {}}},
    "persistentvolumeclaims": {"spec": {"resources": {}}},
    "pods": {"spec": _POD},
    "podtemplates": {"template": _TEMPLATE},
    "replicasets.apps": {"spec": {"template": _TEMPLATE}},
    "statefulsets.apps": {"spec": {"template": _TEMPLATE, "updateStrategy": {}}},
}
"""What kube-apiserver's types always have, so that nobody owns it; of the others the spec alone, where there is one."""


def empty_of(kind: Kind) -> Body:
    """A new object of this kind before anybody says anything of it."""
    return {} if kind.custom else EMPTY.get(kind.resource, {"spec": {}})


def schema_of(kind: Kind) -> Schema:
    """That of any kind."""
    return kind.schema or built_in_schema(kind.group, kind.kind)


def topology_of(kind: Kind) -> Topology:
    return kind.topology or _built_in_topology(kind.group, kind.kind)


@cache
def _built_in_topology(group: str, kind: str) -> Topology:
    return of_object(built_in_schema(group, kind).topology)


@cache
def built_in_schema(group: str, kind: str) -> StructuralSchema:
    """One for all servers of this process: it is never changed."""
    package = (group or "core").partition(".")[0]
    schema = _struct(f"{package}.{kind}")
    del schema["properties"]["metadata"]
    return StructuralSchema(schema)


def _struct(name: str) -> Body:
    mark, fields = _fields()[name]
    defaults = DEFAULTS.get(name, {})
    properties: Body = {}
    for field, text in fields.items():
        properties[field] = found = _type(text)
        if field in defaults:
            properties[field] = {**found, "default": defaults[field]}
    schema: Body = {"type": "object", "properties": properties}
    return {**schema, "x-kubernetes-map-type": "atomic"} if mark else schema


def _type(text: str) -> Body:
    if text in _TYPES:
        return _TYPES[text]
    if text[0] == "{":
        schema: Body = {"type": "object", "additionalProperties": _type(text.rstrip("!")[1:-1])}
        return {**schema, "x-kubernetes-map-type": "atomic"} if text.endswith("!") else schema
    if text[0] != "[":
        return _struct(text)
    item, _, keys = text[1:].rpartition("]")
    schema = {"type": "array", "items": _type(item)}
    if keys == "set":
        schema["x-kubernetes-list-type"] = "set"
    elif keys:
        schema["x-kubernetes-list-type"] = "map"
        schema["x-kubernetes-list-map-keys"] = keys.split(",")
    return schema


@cache
def _fields() -> dict[str, tuple[bool, dict[str, str]]]:
    """Of each structure: whether it is merged as a whole, and the type of each field."""
    lines = FIELDS.read_text().splitlines()
    found = {}
    for name, *fields in (line.split() for line in lines if not line.startswith("#")):
        types = dict(field.split(":", 1) for field in fields)
        found[name.rstrip("!")] = (name.endswith("!"), types)
    return found
