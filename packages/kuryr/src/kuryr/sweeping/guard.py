"""Whether a sweep may be done: pure. A plan that would delete too much waits for a person; a second cluster with our id
stops everything, also what a person has approved.

A second cluster shows by a port of our mark that no pool of ours explains and that

- is ACTIVE: somebody uses it; or
- was made while we led, of a pool that was never ours. Requests of the leader before us may take effect late, and
  clocks differ, so the first minutes of our time do not count.

At the first sight of such a port nothing is swept; it is told at the second, as a list may be read while a pool goes.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from kuryr.model.ownership import PoolUid, parse_device_id
from kuryr.openstack.neutron import Port
from kuryr.sweeping.planner import DeletePort, Step

FEW = 5
"""So many may go whatever the percentage: of ten ports, one is ten per cent."""

_LATE_S = 300.0
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one sweep."""

    max_count: int
    max_percent: float

    def most(self, ports: int) -> int:
        """How many things may be deleted, of so many ports of ours."""
        return min(self.max_count, max(FEW, int(ports * self.max_percent / 100)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """`allowed` None: not before another look. `steps` is what may be done now; `reason` is a condition's."""

    allowed: bool | None
    reason: str
    message: str = ""
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Term:
    """What a leader knows of its own time: since when (seconds of the epoch), and all pools that it has seen."""

    since: float
    pools: Collection[PoolUid]


def signs_of_another_cluster(unexplained: Iterable[Step], term: Term) -> tuple[Port, ...]:
    """The unexplained ports that are somebody's."""
    ports = (step.port for step in unexplained if isinstance(step, DeletePort))
    return tuple(port for port in ports if port.status == "ACTIVE" or _made_by_another(port, term))


def _made_by_another(port: Port, term: Term) -> bool:
    slot = parse_device_id(port.device_id)
    made = _timestamp(port.created_at)
    ours = slot is None or slot.pool_uid in term.pools
    return made is not None and not ours and made > term.since + _LATE_S


def _timestamp(time: str | None) -> float | None:
    """None where Neutron says nothing, or nothing that we understand: then it is no sign."""
    try:
        return datetime.fromisoformat(time).timestamp() if time else None
    except ValueError:
        return None


def judge(
    unexplained: tuple[Step, ...],
    due: tuple[Step, ...],
    *,
    ports: int,
    limits: Limits,
    approved: Collection[str],
    term: Term,
) -> Verdict:
    """`due` was seen twice; `ports` is how many we have in all; `approved` are identities that a person has seen."""
    told = signs_of_another_cluster(due, term)
    if told:
        return Verdict(False, "ClusterIdShared", _shared(told))
    if signs_of_another_cluster(unexplained, term):
        return Verdict(None, "LookingAgain", "a port that nothing explains may be in use: looked at again first")
    if unexplained and not due:
        return Verdict(None, "LookingAgain", "what nothing explains is looked at again before it goes")
    asked = tuple(step for step in due if step.identity in approved)
    most = limits.most(ports)
    if len(due) - len(asked) > most:
        return Verdict(False, "TooMuch", _too_much(len(due) - len(asked), ports, most), asked)
    if asked:
        return Verdict(True, "Approved", "a person has approved it", due)
    return Verdict(True, "WithinLimits" if due else "NothingToSweep", "", due)


def _shared(signs: tuple[Port, ...]) -> str:
    some = ", ".join(port.id for port in signs[:_NAMED])
    more = f" and {len(signs) - _NAMED} more" if len(signs) > _NAMED else ""
    return (
        f"there are ports with this cluster's mark that are used, but not by it: {some}{more}. If another cluster has "
        "the same cluster_id, give it one of its own; if none has, delete these ports by hand. Until then nothing is "
        "swept"
    )


def _too_much(count: int, ports: int, most: int) -> str:
    return (
        f"nothing explains {count} things (of ours there are {ports} ports), more than the {most} that go without a "
        "person: see them with `kuryr sweep --plan`, let them go with `kuryr sweep --apply`"
    )
