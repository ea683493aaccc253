"""What is to be done about one pod's claim: a pure function of what the stores say.

The claim follows the pod's UID, never its name: a claim of another UID goes first, and the new one is made when it is
gone. A pod that is already terminating gets no first claim. A pod whose claim is being deleted (by a person, say) gets
a new one afterwards; so does one whose port the node says is another's.

A port that somebody deleted or moved in Neutron: a claim that no sandbox was wired with is replaced, since its pod
could never start. A pod that runs keeps its claim, and people are told: a new port would be another address under the
pod's feet, and only they know whether the pod may be made anew.
"""

from dataclasses import dataclass

from kubeloop import Pod, find_condition, is_true
from kuryr.model.ownership import PodUid
from kuryr.model.pods import needs_port, sandbox_uid
from kuryr.model.resources import PORT_CONFLICT, PORT_MISSING, KuryrPort, KuryrPortPool


@dataclass(frozen=True, slots=True)
class DeleteClaim:
    """Delete the KuryrPort of this UID."""

    uid: str


@dataclass(frozen=True, slots=True)
class MakeClaim:
    """Give the pod a port of its node's pool and record it in a KuryrPort."""

    pod_uid: PodUid
    pool: KuryrPortPool


@dataclass(frozen=True, slots=True)
class ReleaseReservations:
    """Nobody waits for a port under this name any more, except the pod of `but`."""

    but: PodUid | None


@dataclass(frozen=True, slots=True)
class WaitForPool:
    """The node has no pool yet: its daemon has not reported, or the node is new."""

    node: str


@dataclass(frozen=True, slots=True)
class TellTrouble:
    """Say on the claim and its pod what was done to the port; empty: that it is as it was again."""

    claim: KuryrPort
    trouble: str


Step = DeleteClaim | MakeClaim | ReleaseReservations | TellTrouble | WaitForPool


def plan_claim(
    pod: Pod | None, claim: KuryrPort | None, pool: KuryrPortPool | None, *, trouble: str = ""
) -> tuple[Step, ...]:
    """The steps, in order. `pool` is the pool of the pod's node, `trouble` what somebody did to the claim's port."""
    wanted = pod if pod is not None and needs_port(pod) else None
    uid = sandbox_uid(wanted) if wanted is not None else None
    release = ReleaseReservations(but=uid)
    if claim is not None:
        if claim.metadata.deleting:
            return (release,)
        if claim.spec.pod_uid != uid:
            return (release, DeleteClaim(claim.metadata.uid))
        return (ReleaseReservations(but=None), *_keep(claim, trouble))
    if wanted is None or uid is None or wanted.metadata.deleting:
        return (ReleaseReservations(but=None),)
    if pool is None or pool.metadata.deleting:
        return (release, WaitForPool(wanted.spec.node_name))
    return (release, MakeClaim(uid, pool))


def _keep(claim: KuryrPort, trouble: str) -> tuple[Step, ...]:
    conditions = claim.status.conditions
    if is_true(conditions, PORT_CONFLICT) or (trouble and not claim.status.plugged):
        return (DeleteClaim(claim.metadata.uid),)
    told = find_condition(conditions, PORT_MISSING)
    if trouble != (told.reason if told is not None and told.status == "True" else ""):
        return (TellTrouble(claim, trouble),)
    return ()
