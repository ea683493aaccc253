"""Wires interfaces into sandboxes: a veth pair from the kernel, a port from Open vSwitch, flows from OVN.

Keyed by (container id, interface name): operations on one key run one after another, different keys in parallel. The
OVS row is the durable record; names are derived, so undoing needs no API.

Invariants: `plug` that fails or is cancelled, at any point, has removed what it made when it raises (or, when OVSDB
stays unreachable, the next unplug or sweep does). `unplug`, `collect` and `sweep` are idempotent. A DEL of an old
attempt cannot touch a newer one: its names differ. A DEL of what nobody knows writes nothing: kubelet sends several for
each pod.

It does not know Kubernetes, nor who may have which port; `Vswitch.add_port` refuses a port that another pod has.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kuryr.daemon.kernel import AttachedLink, AttachRequest, Kernel, KernelError, Link, NetnsGone, NetnsState
from kuryr.daemon.records import SandboxRecord, record_of
from kuryr.daemon.sandbox import InterfaceSpec, PluggedInterface, Sandbox, desire_routes, host_ifname
from kuryr.daemon.shield import finish
from kuryr.daemon.vswitch import PortInUse, PortState, Vswitch, VswitchError, VswitchUnavailable

log = logging.getLogger(__name__)

UNDO_TIMEOUT_S = 15.0
"""Long enough for a restart of ovsdb-server, short enough for a stop."""


Key = tuple[str, str]
"""Container id and interface name."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One interface as it is; None for what is not there. `inside` is the whole of its network namespace."""

    host_ifname: str
    port: PortState | None
    host: Link | None
    inside: NetnsState | None


def _owner(container_id: str, ifname: str) -> str:
    return f"{container_id}/{ifname}"


def _key(owner: str) -> Key:
    container_id, _, ifname = owner.partition("/")  # a container id has no slash (CNI specification, parameters)
    return container_id, ifname


class KeyedLock:
    """One lock per key, kept only while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[Key, asyncio.Lock] = {}
        self._users: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self._locks)

    def is_held(self, key: Key) -> bool:
        return key in self._locks

    @asynccontextmanager
    async def hold(self, key: Key) -> AsyncIterator[None]:
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._users[key] = self._users.get(key, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._locks[key]


class Wiring:
    """The node's interfaces; one per daemon."""

    def __init__(self, kernel: Kernel, vswitch: Vswitch, *, bridge: str | None = None) -> None:
        """`bridge`: the integration bridge; without it, the one OVN is told to use (external_ids:ovn-bridge)."""
        self._kernel = kernel
        self._vswitch = vswitch
        self._bridge = bridge
        self._keys = KeyedLock()
        self._unsure: dict[str, SandboxRecord] = {}
        """Ports that could not be undone: the copy of OVSDB may not show them yet."""

    async def plug(self, sandbox: Sandbox, interface: InterfaceSpec, *, timeout_s: float) -> PluggedInterface:
        """Wire one interface and wait until traffic can flow. Raises KernelError, VswitchError.

        `timeout_s` bounds the whole, waiting for another operation on the same key included; it ends in NotInstalled.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        name = host_ifname(sandbox.container_id, sandbox.ifname)
        async with self._keys.hold((sandbox.container_id, sandbox.ifname)):
            try:
                link = await self._make(sandbox, interface, name)
                left_s = max(0.0, deadline - asyncio.get_running_loop().time())
                await self._vswitch.wait_installed(name, timeout_s=left_s)
                await self._vswitch.mark_finished(name)
            except GeneratorExit:  # closed with a loop that has ended: nothing can be awaited any more
                raise
            except BaseException:
                await finish(self._undo(name, record_of(sandbox, interface)))
                raise
        return PluggedInterface(
            sandbox=sandbox, interface=interface, host_ifname=name, host_mac_address=link.host_mac_address
        )

    async def _make(self, sandbox: Sandbox, interface: InterfaceSpec, name: str) -> AttachedLink:
        bridge = self._integration_bridge()
        if name in self._unsure or name in self._vswitch.ports():
            # A repeated ADD. ovs-vswitchd keeps the old device of that name open, and would not notice a new one.
            await self._remove(name)
            await self._vswitch.wait_applied()
        link = await self._kernel.attach(
            AttachRequest(
                host_ifname=name,
                netns=sandbox.netns,
                ifname=sandbox.ifname,
                mac_address=interface.mac_address,
                mtu=interface.mtu,
                owner=_owner(sandbox.container_id, sandbox.ifname),
                addresses=interface.addresses,
                routes=desire_routes(interface),
            )
        )
        await self._vswitch.add_port(bridge, name, record_of(sandbox, interface))
        return link

    def _integration_bridge(self) -> str:
        return self._bridge or self._vswitch.system().bridge

    async def unplug(self, container_id: str, ifname: str) -> None:
        """Remove the interface, wherever a plug got to. Raises KernelError, VswitchError: then call again."""
        async with self._keys.hold((container_id, ifname)):
            await finish(self._remove(host_ifname(container_id, ifname)))

    @property
    def connected(self) -> bool:
        """To OVSDB: what is said to be wired is current."""
        try:
            return self._vswitch.system().connected
        except VswitchUnavailable:
            return False

    def records(self) -> tuple[SandboxRecord, ...]:
        """What is wired, from the local copy of OVSDB, and what may be."""
        return tuple({**self._unsure, **self._vswitch.ports()}.values())

    def finished(self) -> tuple[SandboxRecord, ...]:
        """Those whose ADD came to its end, not what a daemon that was killed meanwhile has left; and which no newer
        sandbox of the pod has replaced.
        """
        names = self._vswitch.finished()
        return tuple(record for name, record in self._vswitch.ports().items() if name in names)

    async def observe(self, container_id: str, ifname: str, netns: str) -> Observed:
        """How the interface is now. Raises KernelError, VswitchUnavailable."""
        name = host_ifname(container_id, ifname)
        host = await self._kernel.get_state()
        try:
            inside = await self._kernel.get_state(netns)
        except NetnsGone:
            inside = None
        return Observed(
            host_ifname=name,
            port=self._vswitch.port(self._integration_bridge(), name),
            host=next((link for link in host.links if link.name == name), None),
            inside=inside,
        )

    async def wait_installed(self, container_id: str, ifname: str, *, timeout_s: float) -> None:
        """Until OVN has installed the flows of what is wired. Raises VswitchError."""
        await self._vswitch.wait_installed(host_ifname(container_id, ifname), timeout_s=timeout_s)

    async def collect(self, valid: Collection[Key]) -> tuple[SandboxRecord, ...]:
        """Remove what is there now and not among the valid ones; give the records that were removed.

        What is being plugged or unplugged is left alone, and what is plugged only since. Goes on after a failure, and
        raises all of them as a group.
        """
        records = dict(self._vswitch.ports())
        keys = {(record.container_id, record.ifname) for record in records.values()}
        keys |= {_key(owner) for owner in (await self._kernel.get_owners()).values()}
        removed: list[SandboxRecord] = []
        failures: list[Exception] = []
        for key in sorted(keys.difference(valid)):
            name = host_ifname(*key)
            if self._keys.is_held(key):
                continue
            async with self._keys.hold(key):
                record = records.get(name)
                if self._vswitch.ports().get(name) != record:
                    continue
                log.info("removing what the runtime no longer knows", extra={"link": name, "container_id": key[0]})
                try:
                    await finish(self._remove(name))
                except (VswitchError, KernelError) as error:
                    failures.append(error)
                    continue
                removed += [record] if record is not None else []
        if failures:
            raise ExceptionGroup("not everything could be removed", failures)
        return tuple(removed)

    async def sweep(self) -> tuple[SandboxRecord, ...]:
        """Remove what no sandbox has, and give the records that were removed.

        That is: links without a port (a daemon was killed in the middle of ADD), and ports whose network namespace is
        gone. What lives is not touched, but for a port that is bound to another Neutron port than its own. Every
        decision is made holding the key, so operations under way are left alone.
        """
        owners = await self._kernel.get_owners()
        for name, owner in owners.items():
            async with self._keys.hold(_key(owner)):
                if name not in self._vswitch.ports():
                    log.info("removing a link without a port", extra={"link": name, "owner": owner})
                    await self._kernel.detach(name)
        removed = []
        for name in tuple(self._vswitch.ports()):
            record = self._vswitch.ports().get(name)
            if record is not None and await self._sweep_port(name, record, has_link=name in owners):
                removed.append(record)
        for name, record in tuple(self._unsure.items()):
            async with self._keys.hold((record.container_id, record.ifname)):
                if name in self._unsure:
                    log.info("removing what could not be undone", extra={"link": name})
                    await finish(self._remove(name))
                    removed.append(record)
        return tuple(removed)

    async def _sweep_port(self, name: str, record: SandboxRecord, *, has_link: bool) -> bool:
        async with self._keys.hold((record.container_id, record.ifname)):
            # A pair goes with either of its namespaces: while the host's end is there, so is the sandbox, whatever can
            # be seen at its path.
            alive = has_link or await self._kernel.is_netns(record.netns)
            state = self._vswitch.port(self._integration_bridge(), name)
            if state is None or state.record != record:
                return False
            if alive:
                await self._bind(name, state)
                return False
            log.info("removing a port without a sandbox", extra={"link": name, "container_id": record.container_id})
            await finish(self._remove(name))
            return True

    async def _bind(self, name: str, state: PortState) -> None:
        # not bound at all: a newer sandbox of the pod took the Neutron port
        if state.bound_to in {"", state.record.port_id}:
            return
        log.warning("the port was bound to another Neutron port", extra={"link": name, "bound_to": state.bound_to})
        try:
            await self._vswitch.bind_again(name)
        except PortInUse as error:
            log.warning("cannot bind the port again", extra={"link": name, "error": str(error)})

    async def _remove(self, name: str) -> None:
        # The port first: while it is there, OVN may bind the Neutron port to a device that has gone.
        # Both are bounded in time by themselves, and say in their own words what they waited for.
        if self._may_have_port(name):
            await self._delete_port(name)
        await self._kernel.detach(name)

    async def _delete_port(self, name: str) -> None:
        await self._vswitch.del_port(name)
        self._unsure.pop(name, None)

    def _may_have_port(self, name: str) -> bool:
        return not self.connected or name in self._unsure or name in self._vswitch.ports()

    async def _undo(self, name: str, record: SandboxRecord) -> None:
        """As `_remove`, but its own failures do not hide the one that led here; the sandbox's DEL comes anyway.

        The port may have been added although nobody has seen it yet.
        """
        self._unsure[name] = record
        for step in (self._delete_port, self._kernel.detach):
            try:
                async with asyncio.timeout(UNDO_TIMEOUT_S):
                    await step(name)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other step is to be tried
                text = "could not undo a failed plug: left to DEL or the sweep"
                log.warning(text, extra={"link": name, "error": repr(error)})
