"""Pods, and the templates of pods."""

from typing import Any

from kubeloop.simulator.metadata import dns_label_problems
from kubeloop.simulator.refusals import Body, Cause
from kubeloop.simulator.storage import Storage
from kubeloop.simulator.strategies.base import Strategy, forbidden, required

_CONTAINERS = ("containers", "initContainers")
_CHANGEABLE = ("activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations", "schedulingGates")
_UNCHANGEABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_ENDED = ("Succeeded", "Failed")
_TOLERATION_S = 300


class Pods(Strategy):
    def defaulted(self, body: Body) -> Body:
        spec = pod_spec(body.get("spec", {}))
        return {**body, "spec": {"enableServiceLinks": True, **spec}}

    def prepare_create(self, body: Body, storage: Storage) -> Body:
        spec = _admitted(body["spec"])
        status: Body = {"phase": "Pending", "qosClass": qos_class(spec)}
        if spec.get("schedulingGates"):
            why = "Scheduling is blocked due to non-empty scheduling gates"
            gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": why}
            status["conditions"] = [gated]
        return {**body, "spec": spec, "status": status}

    def prepare_update(self, body: Body, old: Body, subresource: str) -> Body:
        if subresource != "status":
            return {**body, "spec": _admitted(body["spec"])}
        return {**body, "status": {"qosClass": old["status"]["qosClass"], **body.get("status", {})}}

    def problems(self, body: Body, old: Body | None) -> list[Cause]:
        spec = body["spec"]
        if old is None:
            return container_problems(spec, "spec")
        if spec is old["spec"] or _fixed(spec) == _fixed(old["spec"]):
            return []
        return [forbidden("spec", _UNCHANGEABLE)]

    def grace_s(self, body: Body, asked: int | None) -> int:
        spec, phase = body["spec"], body.get("status", {}).get("phase")
        if not spec.get("nodeName") or phase in _ENDED:
            return 0
        grace_s: int = spec["terminationGracePeriodSeconds"] if asked is None else asked
        return max(grace_s, 1) if grace_s < 0 else grace_s


def _admitted(spec: Body) -> Body:
    """With what admission adds, in nobody's name."""
    tolerations = spec.get("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(one.get("key") in (None, "", key) for one in tolerations):
            tolerated = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATION_S}
            tolerations = [*tolerations, tolerated]
    return {"preemptionPolicy": "PreemptLowerPriority", "priority": 0, **spec, "tolerations": tolerations}


def pod_spec(spec: Body) -> Body:
    """With the defaults of containers that depend on their image."""
    found = dict(spec)
    for field in _CONTAINERS:
        if field in spec:
            found[field] = [_container(one) for one in spec[field]]
    return found


def _container(container: Body) -> Body:
    if "imagePullPolicy" in container:
        return container
    image = str(container.get("image", "")).rpartition("/")[2].partition("@")
    tag = image[0].partition(":")[2]
    always = not image[1] and tag in ("", "latest")
    return {**container, "imagePullPolicy": "Always" if always else "IfNotPresent"}


def container_problems(spec: Body, path: str) -> list[Cause]:
    if not spec.get("containers"):
        return [required(f"{path}.containers")]
    causes = []
    names: list[str] = []
    for field in _CONTAINERS:
        for number, container in enumerate(spec.get(field, ())):
            where = f"{path}.{field}[{number}]"
            causes += [required(f"{where}.{name}") for name in ("name", "image") if not container.get(name)]
            name = container.get("name", "")
            causes += dns_label_problems(name, f"{where}.name") if name else []
            if name and name in names:
                causes.append(Cause("FieldValueDuplicate", f'Duplicate value: "{name}"', f"{where}.name"))
            names.append(name)
    return causes


def qos_class(spec: Body) -> str:
    """https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/"""
    containers = [one for field in _CONTAINERS for one in spec.get(field, ())]
    resources = [one.get("resources", {}) for one in containers]
    if not any(one.get("requests") or one.get("limits") for one in resources):
        return "BestEffort"
    for one in resources:
        limits, requests = one.get("limits", {}), one.get("requests", {})
        if not all(name in limits and requests.get(name, limits[name]) == limits[name] for name in ("cpu", "memory")):
            return "Burstable"
    return "Guaranteed"


def _fixed(spec: Body) -> Body:
    """What of a pod never changes."""
    found: dict[str, Any] = {name: value for name, value in spec.items() if name not in _CHANGEABLE}
    for field in _CONTAINERS:
        if field in found:
            found[field] = [{**one, "image": "", "imagePullPolicy": ""} for one in found[field]]
    return found
