"""What we know of our ports in Neutron, and which of them may be given to a pod. Pure: no I/O, no clock.

Free ports are a subtraction: ours in Neutron, minus those claimed, minus those reserved by a claim that is being
written, minus those cooling down after a release, minus those being deleted. Only the subtrahends of this process
live here; after a restart the subtraction starts from Neutron's list and the KuryrPorts, and there is no record to
recover.

A reservation names a slot, not a port, and stays with its pod until the outcome is certain: when a create's answer is
lost the next attempt asks for the same slot, so for the same MAC, and Neutron's uniqueness of MACs turns it into the
same port.
"""

import itertools
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from kuryr.model.ownership import PodUid, PoolUid, PortId, Slot, parse_device_id
from kuryr.openstack.neutron import Port


@dataclass(frozen=True, slots=True)
class PoolCounts:
    ready: int
    in_use: int
    growing: int
    cooling: int


class PortLedger:
    """`claimed` tells whether an object in the stores names a port: a KuryrPort, a KuryrNode as its own, or a pool's
    quarantine. Times are seconds of one monotonic clock.
    """

    def __init__(self, claimed: Callable[[PortId], bool], *, cool_down_s: float) -> None:
        self._claimed = claimed
        self._cool_down_s = cool_down_s
        self._ports: dict[Slot, Port] = {}
        self._slots_of: dict[PoolUid, set[Slot]] = {}  # the same by pool: a look at one pool costs only its size
        self._slot_of: dict[str, Slot] = {}  # and by the port's id
        self._reserved: dict[PodUid, Slot] = {}
        self._holders: dict[Slot, PodUid] = {}  # the same the other way round
        self._burnt: set[Slot] = set()  # somebody else's port has this slot's MAC
        self._idle_since: dict[Slot, float] = {}
        self._used: set[Slot] = set()  # a pod of our time had it: it cools down before another gets it
        self._deleting: set[Slot] = set()
        self._retired: set[PoolUid] = set()
        self._rests_until: dict[Slot, float] = {}  # an earlier leader's call about the port may still take effect

    def ports(self, pool: PoolUid) -> list[Port]:
        """Our ports of a pool, lowest slot first."""
        return [self._ports[slot] for slot in sorted(self._slots_of.get(pool, ()))]

    def port_ids(self) -> Collection[str]:
        return self._slot_of.keys()

    def find(self, port_id: PortId) -> Port | None:
        """Neutron has this port, as far as we know."""
        slot = self._slot_of.get(port_id)
        return self._ports[slot] if slot is not None else None

    def port(self, slot: Slot) -> Port | None:
        return self._ports.get(slot)

    def holds(self, pool: PoolUid, port_id: PortId) -> bool:
        """Neutron has this port, of this pool, as far as we know."""
        slot = self._slot_of.get(port_id)
        return slot is not None and slot.pool_uid == pool

    def is_claimed(self, slot: Slot) -> bool:
        """Something names the slot's port."""
        port = self._ports.get(slot)
        return port is not None and self._claimed(PortId(port.id))

    def reserve(self, pool: PoolUid, pod: PodUid, now: float) -> Slot:
        """The slot whose port this pod gets: the one reserved before, else a free port's, else the lowest that is
        unused.
        """
        slot = self._reserved.get(pod)
        if slot is None or slot.pool_uid != pool or slot in self._burnt or self.is_claimed(slot):
            self.release(pod)
            free = self._free(pool, now)
            slot = free[0] if free else self._lowest_unused(pool)
            self._reserved[pod] = slot
            self._holders[slot] = pod
        return slot

    def rest_all(self, until: float) -> None:
        """What is there now is given to nobody before that time: an earlier leader's delete that it gave up, or a claim
        that it wrote, may still come. It may be deleted, which is the same twice.
        """
        self._rests_until = dict.fromkeys(self._ports, until)

    def retire(self, pool: PoolUid) -> None:
        """The pool's node is no more: nothing of it is given out from now on."""
        self._retired.add(pool)

    def is_retired(self, pool: PoolUid) -> bool:
        return pool in self._retired

    def is_empty(self, pool: PoolUid) -> bool:
        """There is no port of the pool, and nobody waits for one."""
        return pool not in self._slots_of and all(slot.pool_uid != pool for slot in self._holders)

    def burn(self, slot: Slot) -> None:
        """The slot's MAC belongs to a port that is not ours: never try it again."""
        self._burnt.add(slot)

    def release(self, pod: PodUid) -> None:
        """The store has the pod's KuryrPort, which is the record now, or the claim will not be written."""
        slot = self._reserved.pop(pod, None)
        if slot is not None:
            del self._holders[slot]

    def add(self, port: Port) -> None:
        """Neutron has this port."""
        slot = parse_device_id(port.device_id)
        if slot is not None:
            self._put(slot, port)

    def _put(self, slot: Slot, port: Port) -> None:
        self._forget_id(slot)
        self._burnt.discard(slot)  # the port was ours, and could not be seen
        self._ports[slot] = port
        self._slot_of[port.id] = slot
        self._slots_of.setdefault(slot.pool_uid, set()).add(slot)

    def _forget_id(self, slot: Slot) -> None:
        port = self._ports.get(slot)
        if port is not None and self._slot_of.get(port.id) == slot:
            del self._slot_of[port.id]

    def released(self, port_id: PortId, now: float) -> None:
        """Nothing claims the port as it did before: it cools down once nothing else does."""
        slot = self._slot_of.get(port_id)
        if slot is not None:
            self._used.add(slot)
            self._idle_since[slot] = now

    def replace(self, ports: Iterable[Port], *, unchanged_since: Collection[str]) -> set[PortId]:
        """A fresh list from Neutron; gives the ids of known ports that vanished, or are bound elsewhere than before.

        `unchanged_since` are the ids known when the list was asked for: only those may vanish, and what we know by now
        of a slot is newer than what the list has of it unless it was known then.
        """
        fresh = {slot: port for port in ports if (slot := parse_device_id(port.device_id)) is not None}
        changed: set[PortId] = set()
        for slot, known in list(self._ports.items()):
            if known.id not in unchanged_since:
                continue
            port = fresh.get(slot)
            if port is None or port.id != known.id:
                self.removed(slot)
            if port is None or (port.id, port.host_id) != (known.id, known.host_id):
                changed.add(PortId(known.id))
        for slot, port in fresh.items():
            there = self._ports.get(slot)
            was_deleted = there is None and port.id in unchanged_since
            is_newer = there is not None and there.id not in unchanged_since
            was_made_anew = there is not None and there.id != port.id
            if not was_deleted and not is_newer and not was_made_anew:
                self._put(slot, port)
        return changed

    def surplus(self, pool: PoolUid, *, keep: int, now: float) -> list[Port]:
        """Free ports beyond `keep` that nobody claimed for a whole cool-down; the first look at a port starts it."""
        idle = sorted(filter(self._is_idle, self._slots_of.get(pool, ())))
        ripe = [slot for slot in idle if self._is_ripe(slot, now)]
        unfinished = [slot for slot in sorted(self._deleting) if slot.pool_uid == pool and slot in self._ports]
        return [self._ports[slot] for slot in (*unfinished, *ripe[: max(0, len(idle) - keep)])]

    def mark_deleting(self, slot: Slot) -> bool:
        """From now on nobody is given this port, also when the delete's answer is lost: it is asked again.

        False when a pod has got it since it was surplus: then it must not be deleted.
        """
        if slot not in self._deleting and not self._is_idle(slot):
            return False
        self._deleting.add(slot)
        return True

    def removed(self, slot: Slot) -> None:
        """Neutron has no such port (any more)."""
        self._forget_id(slot)
        if self._ports.pop(slot, None) is not None:
            left = self._slots_of[slot.pool_uid]
            left.discard(slot)
            if not left:
                del self._slots_of[slot.pool_uid]
        self._deleting.discard(slot)
        self._idle_since.pop(slot, None)
        self._rests_until.pop(slot, None)
        self._used.discard(slot)

    def forget(self, port_id: PortId) -> None:
        """Neutron has no port of this id any more."""
        slot = self._slot_of.get(port_id)
        if slot is not None:
            self.removed(slot)

    def counts(self, pool: PoolUid, now: float) -> PoolCounts:
        ours = self._slots_of.get(pool, ())
        in_use = sum(map(self.is_claimed, ours))
        ready = len(self._free(pool, now))
        reserved = [slot for slot in self._holders if slot.pool_uid == pool]
        taken = sum(slot in self._ports and not self.is_claimed(slot) for slot in reserved)
        return PoolCounts(ready, in_use, len(reserved), len(ours) - in_use - ready - taken)

    def _is_idle(self, slot: Slot) -> bool:
        return (
            slot in self._ports
            and slot not in self._deleting
            and slot not in self._holders
            and not self.is_claimed(slot)
        )

    def _is_ripe(self, slot: Slot, now: float) -> bool:
        return now - self._idle_since.setdefault(slot, now) >= self._cool_down_s

    def _free(self, pool: PoolUid, now: float) -> list[Slot]:
        """Idle, and not cooling down after another pod, or after another leader."""
        idle = filter(self._is_idle, self._slots_of.get(pool, ()))
        rested = (slot for slot in idle if self._rests_until.get(slot, now) <= now)
        return sorted(slot for slot in rested if slot not in self._used or self._is_ripe(slot, now))

    def _lowest_unused(self, pool: PoolUid) -> Slot:
        taken = (self._ports, self._holders, self._burnt, self._deleting)
        return next(slot for index in itertools.count() if not any((slot := Slot(pool, index)) in one for one in taken))
