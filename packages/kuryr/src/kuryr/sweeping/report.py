"""What the KuryrCluster says of sweeping and of the cloud: pure."""

from datetime import datetime
from typing import Any

import msgspec

from kubeloop import Condition, condition, find_condition, set_condition
from kuryr.model.ownership import ClusterId
from kuryr.model.resources import KuryrClusterStatus, SweepPlan, SweepStep
from kuryr.openstack.errors import OpenStackError
from kuryr.sweeping.guard import Verdict
from kuryr.sweeping.planner import DeletePort, Step, digest

SWEEP_ALLOWED = "SweepAllowed"
CLOUD_READY = "CloudReady"

_SHOWN = 100
_LONGEST_REASON = 256


def cloud_ready(error: OpenStackError | None) -> Condition:
    """Whether Neutron answered the last time it was asked for our ports."""
    if error is None:
        return condition(CLOUD_READY, True, reason="Answered")
    return condition(CLOUD_READY, False, reason=type(error).__name__, message=str(error))


def sweep_plan(steps: tuple[Step, ...]) -> SweepPlan:
    """What people see of it."""
    shown = tuple(
        SweepStep(
            kind="Port" if isinstance(step, DeletePort) else "KuryrPort",
            name=step.port.id if isinstance(step, DeletePort) else str(step.claim.key),
            reason=step.reason[:_LONGEST_REASON],
        )
        for step in steps[:_SHOWN]
    )
    return SweepPlan(digest=digest(steps), total=len(steps), steps=shown)


def swept(
    status: KuryrClusterStatus, cluster: ClusterId, verdict: Verdict, left: tuple[Step, ...], now: datetime
) -> KuryrClusterStatus:
    """After a sweep, which left these. Before another look nothing new is known: what was said before stays."""
    conditions = set_condition(status.conditions, cloud_ready(None), now)
    if verdict.allowed is None and find_condition(conditions, SWEEP_ALLOWED) is not None:
        return msgspec.structs.replace(status, conditions=conditions)
    allowed = condition(SWEEP_ALLOWED, verdict.allowed, reason=verdict.reason, message=verdict.message)
    return KuryrClusterStatus(
        cluster_id=cluster, sweep=sweep_plan(left), conditions=set_condition(conditions, allowed, now)
    )


def cloud_failed(status: KuryrClusterStatus, error: OpenStackError, now: datetime) -> KuryrClusterStatus:
    """Neutron could not be asked: what was said of sweeping stays."""
    return msgspec.structs.replace(status, conditions=set_condition(status.conditions, cloud_ready(error), now))


def is_refused_anew(before: KuryrClusterStatus, after: KuryrClusterStatus) -> bool:
    """Sweeping is refused, for a reason that was not told last."""
    old, new = find_condition(before.conditions, SWEEP_ALLOWED), find_condition(after.conditions, SWEEP_ALLOWED)
    if new is None or new.status != "False":
        return False
    return old is None or (old.status, old.reason) != (new.status, new.reason)


def whole(status: KuryrClusterStatus) -> dict[str, Any]:
    """As the body of a merge patch, which leaves alone what is not named: so all of it, zeros too."""
    sweep = status.sweep
    return {
        "status": {
            "clusterID": status.cluster_id,
            "sweep": {
                "digest": sweep.digest,
                "total": sweep.total,
                "steps": [msgspec.to_builtins(step) for step in sweep.steps],
            },
            "conditions": [{"message": "", **msgspec.to_builtins(one)} for one in status.conditions],
        }
    }
