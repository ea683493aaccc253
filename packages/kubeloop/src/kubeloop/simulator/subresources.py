"""Subresources that are no view of the object itself: scale, and the binding and eviction of pods."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from kubeloop.model.times import time_text
from kubeloop.simulator.deletion import check_preconditions
from kubeloop.simulator.kinds import Kind, ScalePaths
from kubeloop.simulator.options import DeleteOptions, WriteOptions
from kubeloop.simulator.refusals import Body, Cause, Refusal, bad_request, conflict, invalid
from kubeloop.simulator.registry import Registry
from kubeloop.simulator.selectors import label_selector_text
from kubeloop.simulator.storage import Storage, Stored
from kubeloop.simulator.strategies.workloads import selects

_BUDGETS = "poddisruptionbudgets.policy"
_VIOLATION = "Cannot evict pod as it would violate the pod's disruption budget."
_UNPROTECTED = ("Pending", "Succeeded", "Failed")


def scale_of(kind: Kind, stored: Stored) -> Body:
    """The Scale of an object: https://kubernetes.io/docs/reference/kubernetes-api/autoscaling/scale-v1/."""
    paths = kind.scale or ScalePaths()
    body, meta = stored.body, stored.body["metadata"]
    status: Body = {"replicas": _at(body, paths.present) or 0}
    selector = _selector_text(_at(body, paths.selector) if paths.selector else None)
    if selector:
        status["selector"] = selector
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    wanted = _at(body, paths.wanted)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta[name] for name in shown if name in meta},
        "spec": {} if wanted is None else {"replicas": wanted},
        "status": status,
    }


def scaled(kind: Kind, name: str, patched: Callable[[Body], Body], stored: Stored) -> Callable[[Body], Body]:
    """What a new Scale makes of its object. Raises `Refusal`."""
    before = scale_of(kind, stored)
    scale = patched(before)
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise bad_request('Scale in version "v1" cannot be handled as a Scale: spec.replicas is no integer')
    if replicas < 0:
        text = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise invalid("Scale", name, [Cause("FieldValueInvalid", text, "spec.replicas")], group="autoscaling")
    version = (scale.get("metadata") or {}).get("resourceVersion")
    paths = kind.scale or ScalePaths()

    def write(body: Body) -> Body:
        body = _with(body, paths.wanted, replicas)
        return {**body, "metadata": {**body["metadata"], "resourceVersion": version}} if version else body

    return write


def bind(registry: Registry, kind: Kind, pod: Stored, body: Body, options: WriteOptions) -> None:
    """Puts a pod on a node, once: what a scheduler does. Raises `Refusal`."""
    meta, spec = pod.body["metadata"], pod.body["spec"]
    name = meta["name"]
    binding_meta, target = body.get("metadata") or {}, body.get("target") or {}
    if binding_meta.get("name") != name:
        raise bad_request("name in URL does not match name in Binding object")
    if target.get("kind", "") not in ("", "Node") or not target.get("name"):
        raise Refusal(500, "", "the target of a binding is a Node with a name")
    if binding_meta.get("uid", meta["uid"]) != meta["uid"]:
        raise conflict("pods/binding", name, f"Precondition failed: UID in precondition: {binding_meta['uid']}")
    if "deletionTimestamp" in meta:
        raise conflict("pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise conflict("pods/binding", name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise conflict("pods/binding", name, f"pod {name} has non-empty .spec.schedulingGates")
    if options.dry_run:
        return
    bound = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": _now()}
    meta = {**meta}
    if binding_meta.get("annotations"):
        meta["annotations"] = {**meta.get("annotations", {}), **binding_meta["annotations"]}
    spec = {**spec, "nodeName": target["name"]}
    registry.rewrite(kind, pod, {**pod.body, "metadata": meta, "spec": spec, "status": _with_condition(pod, bound)})


def evict(storage: Storage, registry: Registry, kind: Kind, pod: Stored, body: Body, options: WriteOptions) -> None:
    """Deletes a pod if its disruption budget allows that now. Raises `Refusal`, 429 when it does not."""
    meta = pod.body["metadata"]
    name = meta["name"]
    if (body.get("metadata") or {}).get("name") != name:
        raise bad_request("name in URL does not match name in Eviction object")
    try:
        deletion = msgspec.convert(body.get("deleteOptions") or {}, DeleteOptions)
    except msgspec.ValidationError as error:
        raise bad_request(f"the options of a deletion cannot be read: {error}") from None
    check_preconditions(kind, pod, deletion)
    dry_run = options.dry_run or bool(deletion.dry_run)
    protected = "deletionTimestamp" not in meta and pod.body["status"].get("phase") not in _UNPROTECTED
    if protected:
        _spend_budget(storage, pod, dry_run=dry_run)
    if dry_run:
        return
    target = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": _now(),
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    registry.rewrite(kind, pod, {**pod.body, "metadata": {**meta}, "status": _with_condition(pod, target)})
    registry.delete(kind, meta["namespace"], name, DeleteOptions(grace_period_s=deletion.grace_period_s))


def _spend_budget(storage: Storage, pod: Stored, *, dry_run: bool) -> None:
    """https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/"""
    meta = pod.body["metadata"]
    budgets = [
        (key, stored.body)
        for key, stored in storage.objects(_BUDGETS).items()
        if stored.body["metadata"]["namespace"] == meta["namespace"]
        and selects(stored.body["spec"].get("selector") or {}, meta.get("labels", {}))
    ]
    if not budgets:
        return
    if len(budgets) > 1:
        text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise Refusal(500, "", text)
    [(key, budget)] = budgets
    status, name = budget["status"], budget["metadata"]["name"]
    if not _ready(pod) and _unready_may_go(budget):
        return
    if status.get("observedGeneration", 0) < budget["metadata"]["generation"]:
        raise _too_many(f"The disruption budget {name} is still being processed by the server.", retry_after_s=10)
    if status["disruptionsAllowed"] <= 0:
        healthy, needed = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
        text = f"The disruption budget {name} needs {needed} healthy pods and has {healthy} currently"
        if needed < healthy:
            text = f"The disruption budget {name} does not allow evicting pods currently"
        raise _too_many(text)
    if dry_run:
        return
    disrupted = {**status.get("disruptedPods", {}), meta["name"]: _now()}
    status = {**status, "disruptionsAllowed": status["disruptionsAllowed"] - 1, "disruptedPods": disrupted}
    storage.put(_BUDGETS, key, {**budget, "metadata": {**budget["metadata"]}, "status": status})


def _ready(pod: Stored) -> bool:
    conditions = pod.body["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _unready_may_go(budget: Body) -> bool:
    """A pod that is not ready cannot disrupt anything, as long as there are enough others."""
    status = budget["status"]
    enough = status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) > 0
    return bool(enough) or budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"


def _too_many(why: str, *, retry_after_s: int = 0) -> Refusal:
    details: Body = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if retry_after_s:
        details["retryAfterSeconds"] = retry_after_s
    return Refusal(429, "TooManyRequests", _VIOLATION, details=details)


def _with_condition(pod: Stored, condition: Body) -> Body:
    status: Body = pod.body.get("status", {})
    others = [one for one in status.get("conditions", ()) if one["type"] != condition["type"]]
    return {**status, "conditions": [*others, condition]}


def _selector_text(selector: Any) -> str:
    """That of a custom kind may be a text already."""
    if isinstance(selector, str):
        return selector
    return label_selector_text(selector) if isinstance(selector, dict) else ""


def _at(body: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        body = body.get(name) if isinstance(body, dict) else None
    return body


def _with(body: Any, path: tuple[str, ...], value: Any) -> Any:
    if not path:
        return value
    known = body if isinstance(body, dict) else {}
    return {**known, path[0]: _with(known.get(path[0]), path[1:], value)}


def _now() -> str:
    return time_text(datetime.now(UTC))
