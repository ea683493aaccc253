"""The addresses of one subnet: which are taken, and which comes next.

Neutron takes one by chance among the first that are free; so does this, and addresses are soon used again, which is
what a user of them must stand.
"""

import ipaddress
import random
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Pool = tuple[int, int]

_WINDOW = 10


class SubnetFull(Exception):
    """No address of its allocation pools is free."""


class Addresses:
    """`pools` are inclusive."""

    def __init__(self, network: Network, pools: Sequence[Pool]) -> None:
        self.network = network
        self.pools = sorted(pools)
        self._taken: set[int] = set()
        self._first = 0  # no address of the pools below this is free

    def __contains__(self, address: str) -> bool:
        return int(ipaddress.ip_address(address)) in self._taken

    def __len__(self) -> int:
        return len(self._taken)

    @property
    def size(self) -> int:
        """How many the pools have."""
        return sum(end - start + 1 for start, end in self.pools)

    def holds(self, address: str) -> bool:
        """It is one of this subnet that a port may have."""
        found = ipaddress.ip_address(address)
        if found not in self.network:
            return False
        edges = {self.network.network_address}
        if isinstance(self.network, ipaddress.IPv4Network):
            edges.add(self.network.broadcast_address)
        return self.network.num_addresses <= 2 or found not in edges

    def take(self, address: str) -> None:
        """The caller has seen that nobody has it; also one outside the pools."""
        self._taken.add(int(ipaddress.ip_address(address)))

    def release(self, address: str) -> None:
        number = int(ipaddress.ip_address(address))
        self._taken.discard(number)
        self._first = min(self._first, number)

    def take_next(self, chance: random.Random) -> str:
        """Raises `SubnetFull`."""
        free: list[int] = []
        for start, end in self.pools:
            number = max(start, self._first)
            while number <= end and len(free) < _WINDOW:
                if number not in self._taken:
                    free.append(number)
                elif free and number - free[0] > 4 * _WINDOW:
                    break
                number += 1
            if free:
                break
        if not free:
            raise SubnetFull
        self._first = free[0]
        chosen = free[chance.randrange(len(free))]
        self._taken.add(chosen)
        kind = type(self.network.network_address)
        return str(kind(chosen))
