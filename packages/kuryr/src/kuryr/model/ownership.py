"""Whose port is it: the one rule by which a Neutron port is ours, written in the create itself and read by everything
that lists.

`device_owner` says which cluster (`compute:kuryr-<cluster>`; any suffix after `compute:` is accepted by Neutron and OVN
treats the port as a VM's), `device_id` says which pool and slot (`kuryr:<pool UID>:<slot>`; not UUID-shaped, or Neutron
would notify Nova for each).

The MAC is derived from cluster, pool and slot. Neutron keeps (network, MAC) unique, so a create that is repeated after
a lost answer is refused with MacAddressInUse instead of making a second port: the create happens exactly once, without
a record of our own.
"""

import hashlib
from dataclasses import dataclass
from typing import NewType

ClusterId = NewType("ClusterId", str)
PoolUid = NewType("PoolUid", str)
PortId = NewType("PortId", str)
PodUid = NewType("PodUid", str)

_OWNER_PREFIX = "compute:kuryr-"
_DEVICE_PREFIX = "kuryr"


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """A place in a pool: at most one Neutron port is ever made for it at a time."""

    pool_uid: PoolUid
    index: int


def device_owner(cluster: ClusterId) -> str:
    """The `device_owner` of every port of a cluster; also the filter that lists them."""
    return f"{_OWNER_PREFIX}{cluster}"


def device_id(slot: Slot) -> str:
    return f"{_DEVICE_PREFIX}:{slot.pool_uid}:{slot.index}"


def parse_device_id(value: str) -> Slot | None:
    """The slot a `device_id` names, or None when it is not one of ours."""
    prefix, _, rest = value.partition(":")
    pool_uid, _, index = rest.rpartition(":")
    if prefix != _DEVICE_PREFIX or not pool_uid or not index.isascii() or not index.isdigit():
        return None
    return Slot(PoolUid(pool_uid), int(index))


def mac_address(cluster: ClusterId, slot: Slot) -> str:
    """The MAC of a slot's port: locally administered, unicast (IEEE 802), the other 46 bits from a hash."""
    digest = hashlib.sha256(f"{cluster}/{slot.pool_uid}/{slot.index}".encode()).digest()
    octets = bytes([digest[0] & 0xFC | 0x02]) + digest[1:6]
    return ":".join(f"{octet:02x}" for octet in octets)
