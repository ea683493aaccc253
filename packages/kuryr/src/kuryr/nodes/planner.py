"""What is to be done about one pool's claims whose node gives no receipt, and about a pool whose node is no more: a
pure function of what the stores say.

- A lost node gives no receipts: its deleting claims go without, and so do the ports in quarantine; but first each port
  is deleted in Neutron, so that whatever still has its address reaches nobody with it.
- A node that is there gives its receipts, however long it takes: also for claims and ports of an earlier UID, since its
  daemon sees what is wired. Only in a namespace that is terminating a claim goes earlier: its ports are in the pool's
  quarantine before, and stay claimed by it until the receipt is given there.
- A pool whose node's UID is no more gives nothing out, and goes when nothing of it is left.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from kuryr.model.machines import Machine, is_lost
from kuryr.model.resources import SANDBOX_FINALIZER, KuryrPort, KuryrPortPool, QuarantinedPort


@dataclass(frozen=True, slots=True)
class ConfirmLost:
    """Ask the API server, not a store: what follows is done only if the node is lost."""

    node: str


@dataclass(frozen=True, slots=True)
class FenceClaim:
    """Delete the claim's ports in Neutron, then let it go."""

    claim: KuryrPort


@dataclass(frozen=True, slots=True)
class FenceQuarantine:
    """Delete these ports in Neutron, then take them out of the quarantine."""

    pool: KuryrPortPool
    entries: tuple[QuarantinedPort, ...]


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Write the ports into the pool's quarantine."""

    pool: KuryrPortPool
    entries: tuple[QuarantinedPort, ...]


@dataclass(frozen=True, slots=True)
class LetGo:
    """Take the finalizer off: all the claim's ports are in quarantine."""

    claim: KuryrPort


@dataclass(frozen=True, slots=True)
class RetirePool:
    """Ask the API server whether the Node of this UID is gone; then the pool gives nothing out any more."""

    pool: KuryrPortPool


@dataclass(frozen=True, slots=True)
class DeletePool:
    """Nothing of it is left."""

    pool: KuryrPortPool


Step = ConfirmLost | FenceClaim | FenceQuarantine | Quarantine | LetGo | RetirePool | DeletePool


def plan_pool(
    pool: KuryrPortPool | None,
    claims: Collection[KuryrPort],
    machine: Machine | None,
    *,
    overdue: Collection[str] = (),
    has_ports: bool = True,
) -> tuple[Step, ...]:
    """The steps, in order. `claims` are all that name the pool, `machine` is the Node of its node's name now.

    `overdue`: UIDs of claims in terminating namespaces that waited long enough for their receipt. `has_ports`: Neutron
    has ports of the pool, or one may be made.
    """
    return (*_release(pool, claims, machine, overdue), *_retire(pool, claims, machine, has_ports=has_ports))


def waits_for_receipt(claim: KuryrPort) -> bool:
    """The claim is being deleted, and its node has not said that nothing uses its ports."""
    return claim.metadata.deleting and SANDBOX_FINALIZER in claim.metadata.finalizers


def _release(
    pool: KuryrPortPool | None, claims: Collection[KuryrPort], machine: Machine | None, overdue: Collection[str]
) -> Iterator[Step]:
    waiting = sorted(filter(waits_for_receipt, claims), key=lambda claim: claim.key)
    quarantine = pool.status.quarantine if pool is not None else ()
    if is_lost(machine):
        if waiting:
            yield ConfirmLost(waiting[0].spec.node)
        elif pool is not None and quarantine:
            yield ConfirmLost(pool.spec.node)
        yield from map(FenceClaim, waiting)
        if pool is not None and quarantine:
            yield FenceQuarantine(pool, quarantine)
        return
    late = [claim for claim in waiting if claim.metadata.uid in overdue]
    missing = tuple(entry for claim in late for entry in _entries(claim) if entry not in quarantine)
    # without its pool a claim waits: nobody is given its ports, but nowhere would it be said that they are in use
    if pool is not None and missing:
        yield Quarantine(pool, missing)
    yield from (LetGo(claim) for claim in late if all(entry in quarantine for entry in _entries(claim)))


def _entries(claim: KuryrPort) -> Iterator[QuarantinedPort]:
    for interface in claim.spec.interfaces:
        yield QuarantinedPort(port_id=interface.port_id, claim_uid=claim.metadata.uid, pod_uid=claim.spec.pod_uid)


def _retire(
    pool: KuryrPortPool | None, claims: Collection[KuryrPort], machine: Machine | None, *, has_ports: bool
) -> Iterator[Step]:
    if pool is None or (machine is not None and machine.metadata.uid == pool.spec.node_uid):
        return
    yield RetirePool(pool)
    if not (claims or pool.status.quarantine or has_ports):
        yield DeletePool(pool)
