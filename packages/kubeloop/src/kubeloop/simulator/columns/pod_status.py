"""A pod in a few words, as kube-apiserver tells them to `kubectl get pods`: READY, STATUS and RESTARTS."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubeloop.simulator.cells import age
from kubeloop.simulator.refusals import Body


@dataclass(frozen=True, slots=True)
class _Container:
    """A container's status; of an init container that stays, as a sidecar does, `restartable`."""

    status: Body
    restartable: bool = False

    @property
    def restarts(self) -> int:
        return int(self.status.get("restartCount") or 0)

    def state(self, name: str) -> Body | None:
        found: Body | None = (self.status.get("state") or {}).get(name)
        return found

    @property
    def end(self) -> str:
        """Why it has ended, in words, else by signal or exit code."""
        ended = self.state("terminated") or {}
        signal = ended.get("signal")
        return str(ended.get("reason") or (f"Signal:{signal}" if signal else f"ExitCode:{ended.get('exitCode', 0)}"))

    @property
    def last_end(self) -> str:
        return str((((self.status.get("lastState") or {}).get("terminated")) or {}).get("finishedAt") or "")


def pod_ready(pod: Body) -> str:
    """Containers that are ready, of all, sidecars included."""
    sidecars = [one for one in _init_containers(pod) if one.restartable]
    total = len((pod.get("spec") or {}).get("containers") or ()) + len(_sidecar_names(pod))
    running = [one for one in [*_containers(pod), *sidecars] if one.status.get("ready")]
    counted = [one for one in running if one.restartable or one.state("running") is not None]
    return f"{len(counted)}/{total}"


def pod_restarts(pod: Body, now: datetime) -> str:
    """How often its containers were started again, and when last: those that its state is about."""
    init = _init_containers(pod)
    counted = init if _waits_for_init(pod) else [*(one for one in init if one.restartable), *_containers(pod)]
    count = sum(one.restarts for one in counted)
    last = max((one.last_end for one in counted), default="")
    return f"{count} ({age(last, now)} ago)" if count and last else str(count)


def pod_gates(pod: Body) -> str:
    """Readiness gates that are met, of all."""
    gates = [one["conditionType"] for one in (pod.get("spec") or {}).get("readinessGates") or ()]
    met = [gate for gate in gates if _condition(pod, gate).get("status") == "True"]
    return f"{len(met)}/{len(gates)}" if gates else "<none>"


def pod_status(pod: Body) -> str:
    """The reason for the state it is in: that of a container that waits or has ended wins over the phase."""
    status = pod.get("status") or {}
    phase = status.get("phase") or ""
    text = status.get("reason") or phase
    if _condition(pod, "PodScheduled").get("reason") == "SchedulingGated":
        text = "SchedulingGated"
    text = (_init_status(pod) if _waits_for_init(pod) else _main_status(pod, text)) or text
    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if phase not in ("Succeeded", "Failed"):
            return "Terminating"
    return str(text)


def _main_status(pod: Body, text: str) -> str:
    running = False
    for container in reversed(_containers(pod)):
        waiting = container.state("waiting")
        if waiting and waiting.get("reason"):
            text = waiting["reason"]
        elif container.state("terminated") is not None:
            text = container.end
        elif container.status.get("ready") and container.state("running") is not None:
            running = True
    if text == "Completed" and running:
        return "Running" if _condition(pod, "Ready").get("status") == "True" else "NotReady"
    return text


def _init_status(pod: Body) -> str:
    """Of the init container that the others wait for."""
    containers = _init_containers(pod)
    for index, container in enumerate(containers):
        if not _done(container):
            waiting = container.state("waiting")
            if container.state("terminated") is not None:
                return f"Init:{container.end}"
            if waiting and waiting.get("reason") not in (None, "", "PodInitializing"):
                return f"Init:{waiting['reason']}"
            total = len((pod.get("spec") or {}).get("initContainers") or ())
            return f"Init:{index}/{total}"
    return ""


def _waits_for_init(pod: Body) -> bool:
    if _condition(pod, "Initialized").get("status") == "True":
        return False
    return any(not _done(container) for container in _init_containers(pod))


def _done(container: _Container) -> bool:
    """It has ended well, or is a sidecar that has started."""
    ended = container.state("terminated")
    if ended is not None:
        return int(ended.get("exitCode", 0)) == 0
    return container.restartable and bool(container.status.get("started"))


def _init_containers(pod: Body) -> list[_Container]:
    sidecars = _sidecar_names(pod)
    return [_Container(one, one["name"] in sidecars) for one in _statuses(pod, "initContainerStatuses")]


def _containers(pod: Body) -> list[_Container]:
    return [_Container(one) for one in _statuses(pod, "containerStatuses")]


def _sidecar_names(pod: Body) -> set[str]:
    containers = (pod.get("spec") or {}).get("initContainers") or ()
    return {one["name"] for one in containers if one.get("restartPolicy") == "Always"}


def _statuses(pod: Body, field: str) -> Iterator[Any]:
    yield from (pod.get("status") or {}).get(field) or ()


def _condition(pod: Body, kind: str) -> Body:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == kind), {})
