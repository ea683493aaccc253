"""Kinds that make pods out of a template."""

from typing import Any

from kubeloop.simulator.refusals import Body, Cause
from kubeloop.simulator.storage import Storage
from kubeloop.simulator.strategies.base import Strategy, forbidden, immutable, invalid, required
from kubeloop.simulator.strategies.pods import container_problems, pod_spec

_STATEFUL_CHANGEABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


class Workload(Strategy):
    """With a selector that never changes, and that selects what the template makes."""

    def defaulted(self, body: Body) -> Body:
        spec = body.get("spec", {})
        return {**body, "spec": self.with_rolling_update({**spec, "template": _template(spec.get("template", {}))})}

    def with_rolling_update(self, spec: Body) -> Body:
        return spec

    def problems(self, body: Body, old: Body | None) -> list[Cause]:
        spec = body["spec"]
        selector = spec.get("selector")
        labels = spec["template"].get("metadata", {}).get("labels")
        causes = [] if selector else [required("spec.selector")]
        if not selects(selector or {}, labels or {}):
            field = "spec.template.metadata.labels"
            causes.append(invalid(field, labels, "`selector` does not match template `labels`"))
        causes += container_problems(spec["template"].get("spec", {}), "spec.template.spec")
        if old is not None and selector != old["spec"]["selector"]:
            causes.append(immutable("spec.selector", selector))
        if spec.get("replicas", 0) < 0:
            causes.append(invalid("spec.replicas", spec["replicas"], "must be greater than or equal to 0"))
        return causes


class Deployments(Workload):
    def with_rolling_update(self, spec: Body) -> Body:
        return _rolling(spec, "strategy", {"maxUnavailable": "25%", "maxSurge": "25%"})

    def generation_grows(self, body: Body, old: Body) -> bool:
        annotations = [one["metadata"].get("annotations") for one in (body, old)]
        return super().generation_grows(body, old) or annotations[0] != annotations[1]


class ReplicaSets(Workload):
    pass


class DaemonSets(Workload):
    def with_rolling_update(self, spec: Body) -> Body:
        return _rolling(spec, "updateStrategy", {"maxUnavailable": 1, "maxSurge": 0})


class StatefulSets(Workload):
    def with_rolling_update(self, spec: Body) -> Body:
        claims = spec.get("volumeClaimTemplates")
        if claims:
            kind = {"kind": "PersistentVolumeClaim", "apiVersion": "v1"}
            spec = {**spec, "volumeClaimTemplates": [{**kind, "status": {"phase": "Pending"}, **one} for one in claims]}
        return _rolling(spec, "updateStrategy", {"partition": 0, "maxUnavailable": 1})

    def problems(self, body: Body, old: Body | None) -> list[Cause]:
        causes = super().problems(body, old)
        if old is None:
            return causes
        fixed = [
            {name: value for name, value in one["spec"].items() if name not in _STATEFUL_CHANGEABLE}
            for one in (body, old)
        ]
        if fixed[0] != fixed[1]:
            listed = ", ".join(f"'{name}'" for name in sorted(_STATEFUL_CHANGEABLE))
            why = f"updates to statefulset spec for fields other than {listed} are forbidden"
            causes.append(forbidden("spec", why))
        return causes


class ReplicationControllers(Strategy):
    def defaulted(self, body: Body) -> Body:
        spec = body.get("spec", {})
        template = _template(spec.get("template", {}))
        labels = template.get("metadata", {}).get("labels", {})
        spec = {**spec, "selector": spec.get("selector") or labels, "template": template}
        return _labelled({**body, "spec": spec}, labels)


class PodTemplates(Strategy):
    def defaulted(self, body: Body) -> Body:
        return {**body, "template": _template(body.get("template", {}))}


class Jobs(Strategy):
    def defaulted(self, body: Body) -> Body:
        spec = {
            "backoffLimit": 6,
            "completionMode": "NonIndexed",
            "suspend": False,
            "podReplacementPolicy": "TerminatingOrFailed",
            **body.get("spec", {}),
        }
        if "completions" not in spec and "parallelism" not in spec:
            spec["completions"] = 1
        spec.setdefault("parallelism", 1)
        spec.setdefault("manualSelector", False)
        template = _template(spec.get("template", {}))
        return _labelled(
            {**body, "spec": {**spec, "template": template}}, template.get("metadata", {}).get("labels", {})
        )

    def prepare_create(self, body: Body, storage: Storage) -> Body:
        """Its pods are told from all others by its UID."""
        body = super().prepare_create(body, storage)
        spec, meta = {**body["spec"]}, body["metadata"]
        if spec["manualSelector"]:
            return body
        uid, name = meta["uid"], meta["name"]
        template = spec["template"]
        template_meta = template.get("metadata", {})
        before = template_meta.get("labels", {})
        labels = {
            **before,
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": name,
            "controller-uid": uid,
            "job-name": name,
        }
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        spec["template"] = {**template, "metadata": {**template_meta, "labels": labels}}
        if meta.get("labels", {}) == before:  # in the real server they are one map
            body = {**body, "metadata": {**meta, "labels": labels}}
        return {**body, "spec": spec}

    def problems(self, body: Body, old: Body | None) -> list[Cause]:
        spec = body["spec"]
        pod = spec["template"].get("spec", {})
        causes = container_problems(pod, "spec.template.spec")
        if pod.get("restartPolicy", "Always") == "Always":
            known = '"OnFailure", "Never"'
            text = f'Unsupported value: "Always": supported values: {known}'
            causes.append(Cause("FieldValueNotSupported", text, "spec.template.spec.restartPolicy"))
        if old is not None:
            fixed = ("completions", "selector", "template", "completionMode")
            causes += [
                immutable(f"spec.{name}", spec.get(name)) for name in fixed if spec.get(name) != old["spec"].get(name)
            ]
        return causes


class CronJobs(Strategy):
    def defaulted(self, body: Body) -> Body:
        spec = body.get("spec", {})
        job = spec.get("jobTemplate", {})
        job_spec = job.get("spec", {})
        template = _template(job_spec.get("template", {}))
        job = {"metadata": {}, **job, "spec": {**job_spec, "template": template}}
        return {**body, "spec": {**spec, "jobTemplate": job}}

    def problems(self, body: Body, old: Body | None) -> list[Cause]:
        return [] if body["spec"].get("schedule") else [required("spec.schedule")]


def _labelled(body: Body, labels: Body) -> Body:
    """With these labels if it has none."""
    meta = body["metadata"]
    return body if meta.get("labels") or not labels else {**body, "metadata": {**meta, "labels": labels}}


def _template(template: Body) -> Body:
    return {**template, "spec": pod_spec(template["spec"])} if "spec" in template else template


def _rolling(spec: Body, field: str, defaults: dict[str, Any]) -> Body:
    """How pods are replaced, where that is one by one."""
    update = spec.get(field, {})
    if update.get("type") != "RollingUpdate":
        return spec
    return {**spec, field: {**update, "rollingUpdate": {**defaults, **update.get("rollingUpdate", {})}}}


def selects(selector: Body, labels: Body) -> bool:
    """Whether a LabelSelector, which is not empty, selects an object with these labels."""
    if any(labels.get(name) != value for name, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_holds(one, labels) for one in selector.get("matchExpressions", ())) and bool(selector)


def _holds(expression: Body, labels: Body) -> bool:
    key, values = expression["key"], expression.get("values", ())
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels
