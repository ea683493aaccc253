"""What nothing explains: a pure function from what was listed to what would be deleted, and why.

A **port** of our mark (`device_owner`, and a `device_id` of our form) is explained by the pool that its `device_id`
names, or by whoever names its id: a KuryrPort, a KuryrNode, a pool's quarantine. A **KuryrPort** is explained by its
pod.

Why deleting by this is safe, whatever happens meanwhile:

- *Order of the lists.* Ports are listed before pools, claims before pods, and reads of the API are consistent. A port
  is made after its pool and a claim after its pod, so one that is listed and has none lost it for good: UIDs do not
  come back. The ports of a pool that is made while we list are not in our list.
- *Stores that lag*, of claims and pods: both are asked live right before a delete.
- *A list in pages that changes while it is read* may miss ports, which then are not swept, and show ports that are
  gone, whose delete does nothing. A port keeps its `device_id`.
- *Late creates* of a deposed leader: of a pool that is there they are the ledger's, free like any other. Of one that
  is gone nobody can get them, as ports are given out only of pools that are there.
- *Late claims* of a deposed leader name their port, so it is explained. For one that comes after our last look there
  are two looks, further apart than a request lives, and the live one right before the delete.
- *Pools of lost nodes* go when no port, claim or quarantine of them is left; what appears after is nobody's.
- *Slots of a pool that is there* are never looked at, nodes' own ports among them: those are the ledger's.
- *A mirror pod* comes back with the UID of its file: the second look, and the live one, find it.
- *A new leader* knows no looks of before: it looks twice itself.

What could still be wrong is the cluster: another one with our id. That is the guard's.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kuryr.model.ownership import PodUid, PoolUid, parse_device_id
from kuryr.model.resources import KuryrPort
from kuryr.openstack.neutron import Port


@dataclass(frozen=True, slots=True)
class Found:
    """What was listed, in this order: ports, then pools and what else names ports; claims, then pods."""

    ports: tuple[Port, ...] = ()
    pools: frozenset[PoolUid] = frozenset()
    named: frozenset[str] = frozenset()
    claims: tuple[KuryrPort, ...] = ()
    pods: frozenset[PodUid] = frozenset()


@dataclass(frozen=True, slots=True)
class DeletePort:
    """A Neutron port that nothing explains."""

    port: Port

    @property
    def identity(self) -> str:
        return f"Port/{self.port.id}"

    @property
    def reason(self) -> str:
        made = f", made {self.port.created_at}" if self.port.created_at else ""
        return f"{self.port.device_id}: there is no such pool{made}"


@dataclass(frozen=True, slots=True)
class DeleteClaim:
    """A KuryrPort without its pod."""

    claim: KuryrPort

    @property
    def identity(self) -> str:
        return f"KuryrPort/{self.claim.metadata.uid}"

    @property
    def reason(self) -> str:
        return f"there is no pod of UID {self.claim.spec.pod_uid}"


Step = DeletePort | DeleteClaim


def find_unexplained(found: Found) -> tuple[Step, ...]:
    """Everything that nothing explains, in a stable order. Ports without our mark are never among it."""
    ports = [DeletePort(port) for port in found.ports if not is_explained(port, found.pools, found.named)]
    claims = [
        DeleteClaim(claim)
        for claim in found.claims
        if not claim.metadata.deleting and claim.spec.pod_uid not in found.pods
    ]
    return tuple(sorted([*ports, *claims], key=lambda step: step.identity))


def is_explained(port: Port, pools: frozenset[PoolUid], named: frozenset[str]) -> bool:
    """There is something that the port is for, or its `device_id` is not ours: then it is not for us to judge."""
    slot = parse_device_id(port.device_id)
    return slot is None or slot.pool_uid in pools or port.id in named


def note_look(seen: Mapping[str, float], unexplained: Iterable[Step], now: float) -> dict[str, float]:
    """When each was first seen, of those that are still unexplained: what was explained in between begins anew."""
    return {step.identity: seen.get(step.identity, now) for step in unexplained}


def due(unexplained: Iterable[Step], seen: Mapping[str, float], now: float, *, after_s: float) -> tuple[Step, ...]:
    """What was unexplained at two looks, this and one at least so long ago."""
    return tuple(step for step in unexplained if now - seen[step.identity] >= after_s)


def digest(steps: Iterable[Step]) -> str:
    """Of exactly these things, whatever is said of them; empty for none."""
    identities = sorted(step.identity for step in steps)
    return hashlib.sha256("\n".join(identities).encode()).hexdigest()[:16] if identities else ""
