"""The kernel's network, as the wiring sees it: the seam that a simulator replaces.

Contract: `attach` either makes the whole link or leaves nothing; a call that is cancelled takes place wholly or not at
all, and before any later call. Repeating any call is harmless. Host names are looked up in the network namespace the
daemon runs in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from kuryr.daemon.sandbox import Address, Route


class KernelError(Exception):
    """The kernel refused; the message says what was asked and why not."""


class NetnsGone(KernelError):
    """The sandbox's network namespace is not there (any more), or the path is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachRequest:
    """A veth pair: `ifname` inside `netns` (a path), `host_ifname` outside. `mtu` in bytes.

    `owner` is written beside the host's end (its alias), so that a link without any other record can be attributed.
    """

    host_ifname: str
    netns: str
    ifname: str
    mac_address: str
    mtu: int
    owner: str
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedLink:
    """The pair that was made."""

    host_ifname: str
    host_ifindex: int
    host_mac_address: str
    ifindex: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network device, as listed. `mac_address` in lower case with colons; `mtu` in bytes; `alias` names its owner."""

    index: int
    name: str
    kind: str
    mac_address: str
    mtu: int
    up: bool
    alias: str


@dataclass(frozen=True, slots=True)
class NetnsState:
    """What a namespace has; addresses and unicast routes of the main table with their links' names."""

    links: tuple[Link, ...]
    addresses: tuple[tuple[str, Address], ...]
    routes: tuple[tuple[str, Route], ...]


class Kernel(Protocol):
    """Links of this host and of sandboxes."""

    async def attach(self, request: AttachRequest) -> AttachedLink:
        """Make the pair, replacing what an earlier attempt with the same names left. Raises NetnsGone, KernelError."""
        ...

    async def detach(self, host_ifname: str) -> None:
        """Delete the host's end and with it the pod's; a link that is not there is success."""
        ...

    async def get_owners(self) -> Mapping[str, str]:
        """Host ifname -> owner, of all links that `attach` made and that are still there."""
        ...

    async def configure_host_link(self, ifname: str, addresses: tuple[Address, ...]) -> None:
        """The host's link is up and has exactly these addresses; what is right is not touched. Raises KernelError."""
        ...

    async def is_netns(self, path: str) -> bool:
        """Whether a network namespace is at this path. Raises KernelError when that cannot be told."""
        ...

    async def get_state(self, netns: str | None = None) -> NetnsState:
        """Everything in a namespace (a path), or in the host's. Raises NetnsGone, KernelError."""
        ...
