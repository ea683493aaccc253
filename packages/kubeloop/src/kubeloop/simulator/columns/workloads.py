"""What is shown of pods and of what makes them."""

from collections.abc import Callable, Mapping
from datetime import datetime

from kubeloop.simulator.cells import age, duration_text, parse_time
from kubeloop.simulator.columns.column import (
    AGE,
    NAME,
    NONE,
    Column,
    at,
    containers,
    count,
    labels_text,
    made,
    path_column,
    selector,
    size,
)
from kubeloop.simulator.columns.pod_status import pod_gates, pod_ready, pod_restarts, pod_status
from kubeloop.simulator.refusals import Body


def _ready_of(path: str) -> Callable[[Body], str]:
    return lambda body: f"{at(body, 'status', path, default=0)}/{at(body, 'spec', 'replicas', default=0)}"


def _job_status(job: Body) -> str:
    met = {one["type"] for one in at(job, "status", "conditions", default=[]) if one["status"] == "True"}
    for name in ("Complete", "Failed"):
        if name in met:
            return name
    if at(job, "metadata", "deletionTimestamp") is not None:
        return "Terminating"
    return next((name for name in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if name in met), "Running")


def _job_completions(job: Body) -> str:
    done = at(job, "status", "succeeded", default=0)
    wanted, parallel = at(job, "spec", "completions"), at(job, "spec", "parallelism", default=0)
    if wanted is not None:
        return f"{done}/{wanted}"
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _job_duration(job: Body, now: datetime) -> str:
    started, completed = at(job, "status", "startTime"), at(job, "status", "completionTime")
    if started is None:
        return ""
    if completed is None:
        return age(started, now)
    return duration_text((parse_time(completed) - parse_time(started)).total_seconds())


def _last_schedule(job: Body, now: datetime) -> str:
    last = at(job, "status", "lastScheduleTime")
    return NONE if last is None else age(last, now)


def _revision_owner(revision: Body) -> str:
    for owner in at(revision, "metadata", "ownerReferences", default=[]):
        if owner.get("controller"):
            group = owner["apiVersion"].rpartition("/")[0]
            kind = owner["kind"].lower()
            return f"{kind}.{group}/{owner['name']}" if group else f"{kind}/{owner['name']}"
    return NONE


def _budget(name: str) -> Callable[[Body], str]:
    return lambda budget: str(at(budget, "spec", name, default="N/A"))


_TEMPLATE = ("spec", "template", "spec")
_JOB = ("spec", "jobTemplate", "spec")

SCALE = (NAME, count("Desired", "spec", "replicas"), count("Available", "status", "replicas"), AGE)
"""Of the subresource."""

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "pods": (
        NAME,
        made("Ready", pod_ready),
        made("Status", pod_status),
        Column("Restarts", pod_restarts),
        AGE,
        path_column("IP", "status", "podIPs", 0, "ip", default=NONE, wide=True),
        path_column("Node", "spec", "nodeName", default=NONE, wide=True),
        path_column("Nominated Node", "status", "nominatedNodeName", default=NONE, wide=True),
        made("Readiness Gates", pod_gates, wide=True),
    ),
    "deployments.apps": (
        NAME,
        made("Ready", _ready_of("readyReplicas")),
        path_column("Up-to-date", "status", "updatedReplicas", default=0),
        path_column("Available", "status", "availableReplicas", default=0),
        AGE,
        *containers(*_TEMPLATE),
        selector("spec", "selector"),
    ),
    "replicasets.apps": (
        NAME,
        count("Desired", "spec", "replicas"),
        count("Current", "status", "replicas"),
        count("Ready", "status", "readyReplicas"),
        AGE,
        *containers(*_TEMPLATE),
        selector("spec", "selector"),
    ),
    "statefulsets.apps": (NAME, made("Ready", _ready_of("readyReplicas")), AGE, *containers(*_TEMPLATE)),
    "daemonsets.apps": (
        NAME,
        count("Desired", "status", "desiredNumberScheduled"),
        count("Current", "status", "currentNumberScheduled"),
        count("Ready", "status", "numberReady"),
        count("Up-to-date", "status", "updatedNumberScheduled"),
        count("Available", "status", "numberAvailable"),
        made("Node Selector", lambda body: labels_text(at(body, *_TEMPLATE, "nodeSelector", default={}))),
        AGE,
        *containers(*_TEMPLATE),
        selector("spec", "selector"),
    ),
    "controllerrevisions.apps": (
        NAME,
        made("Controller", _revision_owner),
        path_column("Revision", "revision", default=0),
        AGE,
    ),
    "replicationcontrollers": (
        NAME,
        count("Desired", "spec", "replicas"),
        count("Current", "status", "replicas"),
        count("Ready", "status", "readyReplicas"),
        AGE,
        *containers(*_TEMPLATE),
        selector("spec", "selector", plain=True),
    ),
    "podtemplates": (
        NAME,
        *containers("template", "spec", wide=False),
        made("Pod Labels", lambda body: labels_text(at(body, "template", "metadata", "labels", default={}))),
    ),
    "jobs.batch": (
        NAME,
        made("Status", _job_status),
        made("Completions", _job_completions),
        Column("Duration", _job_duration),
        AGE,
        *containers(*_TEMPLATE),
        selector("spec", "selector"),
    ),
    "cronjobs.batch": (
        NAME,
        path_column("Schedule", "spec", "schedule"),
        path_column("Timezone", "spec", "timeZone", default=NONE),
        made("Suspend", lambda job: str(at(job, "spec", "suspend", default="<unset>")), type="boolean"),
        made("Active", lambda job: size(at(job, "status", default={}), "active"), type="integer"),
        Column("Last Schedule", _last_schedule),
        AGE,
        *containers(*_JOB, *_TEMPLATE[1:]),
        selector(*_JOB, "selector"),
    ),
    "poddisruptionbudgets.policy": (
        NAME,
        made("Min Available", _budget("minAvailable")),
        made("Max Unavailable", _budget("maxUnavailable")),
        count("Allowed Disruptions", "status", "disruptionsAllowed"),
        AGE,
    ),
}
