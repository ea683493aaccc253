"""`Vswitch` over OVSDB: decisions from the local copy, effects as single transactions, waiting without polling."""

import asyncio
from collections.abc import Callable, Collection, Mapping

from kuryr.daemon.ovsdb import ports
from kuryr.daemon.ovsdb.client import Database, Observer, Operation, OvsdbClient, TransactionRefused
from kuryr.daemon.ovsdb.codec import as_set
from kuryr.daemon.ovsdb.internal_ports import plan_internal
from kuryr.daemon.ovsdb.replica import COLUMNS, Replica
from kuryr.daemon.records import FINISHED, IFACE_ID, OVN_INSTALLED, SandboxRecord, parse_record
from kuryr.daemon.vswitch import (
    InterfaceFailed,
    InternalPort,
    NotInstalled,
    PortState,
    VswitchError,
    VswitchSystem,
    VswitchUnavailable,
)

_ATTEMPTS = 4
_OUTDATED = frozenset({"timed out", "constraint violation"})
"""Refusals that mean: the local copy was behind when the operations were made from it."""

_DEFAULT_BRIDGE = "br-int"  # ovn-controller(8), external_ids:ovn-bridge


class OvsdbVswitch:
    """The node's Open vSwitch. `run` must be running for anything else to work."""

    def __init__(
        self, remote: str, *, timeout_s: float = 5.0, database: Callable[[Observer], Database] | None = None
    ) -> None:
        """`remote`: `unix:/path` or `tcp:host:port`; `timeout_s` bounds each answer, reconnecting included. `database`
        makes another in place of the remote, which feeds the observer that it is given.
        """
        self._timeout_s = timeout_s
        self._replica = Replica()
        self._client: Database = (
            database(self._replica)
            if database is not None
            else OvsdbClient(remote, COLUMNS, self._replica, timeout_s=timeout_s)
        )

    async def run(self) -> None:
        """Stay connected, until cancelled."""
        await self._client.run()

    async def wait_connected(self) -> None:
        """Until the local copy is complete and current."""
        await self._client.wait_connected()

    async def add_port(self, bridge: str, name: str, record: SandboxRecord) -> None:
        await self._ensure(name, lambda: ports.plan_add(self._replica, bridge, name, record))

    async def ensure_internal_port(self, bridge: str, port: InternalPort) -> bool:
        return await self._ensure(port.name, lambda: plan_internal(self._replica, bridge, port))

    async def _ensure(self, name: str, plan: Callable[[], tuple[Operation, ...]]) -> bool:
        """Whether there was anything to do. The plan is made anew where the local copy was behind."""
        refusal: TransactionRefused | None = None
        for _attempt in range(_ATTEMPTS):
            if not self._replica.complete:
                await self._client.transact()  # waits for the connection
            operations = plan()
            if not operations:
                return False
            try:
                await self._client.transact(*operations)
            except TransactionRefused as error:
                if error.error not in _OUTDATED:
                    raise
                refusal = error
            else:
                return True
        raise VswitchError(f"port {name!r} kept changing while it was written: {refusal}") from refusal

    async def del_port(self, name: str) -> None:
        uuid = ports.parse_own_port(await self._client.transact(*ports.select_port(name)))
        if uuid is not None:
            await self._client.transact(*ports.plan_delete(uuid))

    async def mark_finished(self, name: str) -> None:
        results = await self._client.transact(*ports.plan_finished(name))
        if not results[0]["count"]:
            raise InterfaceFailed(f"interface {name!r} was removed from Open vSwitch while it was added")

    async def bind_again(self, name: str) -> None:
        record = self.ports().get(name)
        if record is not None:
            await self._ensure(name, lambda: ports.plan_bind_again(self._replica, name, record.port_id))

    async def wait_applied(self) -> None:
        results = await self._client.transact(*ports.ask_for_acknowledgement())
        asked = max((row["next_cfg"] for row in results[1]["rows"]), default=0)
        try:
            async with asyncio.timeout(self._timeout_s):
                with self._replica.watch(None) as changed:
                    while (row := self._replica.system()) is None or row["cur_cfg"] < asked:
                        await changed.wait()
                        changed.clear()
        except TimeoutError as error:
            raise VswitchUnavailable(
                f"ovs-vswitchd did not act on its configuration within {self._timeout_s:g} s: is it running?"
            ) from error

    async def wait_installed(self, name: str, *, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                with self._replica.watch(name) as changed:
                    while not self._is_installed(name):
                        await changed.wait()
                        changed.clear()
        except TimeoutError as error:
            raise NotInstalled(
                f"OVN did not install the flows of {name!r} within {timeout_s:g} s: is ovn-controller running and "
                f"connected, and is the Neutron port bound to this host?"
            ) from error

    def _is_installed(self, name: str) -> bool:
        row = self._replica.interface(name)
        if row is None:
            raise InterfaceFailed(f"interface {name!r} was removed from Open vSwitch while its flows were awaited")
        for message in as_set(row["error"]):
            raise InterfaceFailed(f"Open vSwitch cannot use the device {name!r}: {message}")
        return bool(row["external_ids"].get(OVN_INSTALLED) == "true")

    def ports(self) -> Mapping[str, SandboxRecord]:
        self._require_copy()
        rows = self._replica.rows("Interface").values()
        return {row["name"]: record for row in rows if (record := parse_record(row["external_ids"]))}

    def finished(self) -> Collection[str]:
        self._require_copy()
        rows = self._replica.rows("Interface").values()
        ids = {row["name"]: row["external_ids"] for row in rows}
        return {name for name, one in ids.items() if one.get(FINISHED) == "true" and IFACE_ID in one}

    def port(self, bridge: str, name: str) -> PortState | None:
        self._require_copy()
        row = self._replica.interface(name)
        record = parse_record(row["external_ids"]) if row is not None else None
        if row is None or record is None:
            return None
        ids = row["external_ids"]
        bridge_uuid = self._replica.bridge(bridge)
        members = as_set(self._replica.rows("Bridge")[bridge_uuid]["ports"]) if bridge_uuid else []
        return PortState(
            record=record,
            bound_to=ids.get(IFACE_ID, ""),
            installed=ids.get(OVN_INSTALLED) == "true",
            on_bridge=self._replica.port_uuid(self._replica.interface_uuid(name) or "") in members,
            error="; ".join(map(str, as_set(row["error"]))),
        )

    def system(self) -> VswitchSystem:
        self._require_copy()
        row = self._replica.system()
        if row is None:
            raise VswitchUnavailable("OVSDB has no Open_vSwitch row: run `ovs-vsctl init`")
        ids = row["external_ids"]
        bridge = _chassis_option(ids, "ovn-bridge") or _DEFAULT_BRIDGE
        return VswitchSystem(
            hostname=_chassis_option(ids, "hostname"),
            system_id=ids.get("system-id", ""),
            bridge=bridge,
            bridge_exists=self._replica.bridge(bridge) is not None,
            ovs_version=", ".join(map(str, as_set(row["ovs_version"]))),
            encap_ips=tuple(filter(None, _chassis_option(ids, "ovn-encap-ip").split(","))),
            encap_types=tuple(filter(None, _chassis_option(ids, "ovn-encap-type").split(","))),
            connected=self._client.connected,
        )

    async def wait_system_changed(self, seen: VswitchSystem | None) -> None:
        with self._replica.watch(None) as changed:
            while self._system_or_none() == seen:
                await changed.wait()
                changed.clear()

    def _system_or_none(self) -> VswitchSystem | None:
        try:
            return self.system()
        except VswitchUnavailable:
            return None

    def _require_copy(self) -> None:
        if not self._replica.complete:
            raise VswitchUnavailable("OVSDB has not been reached yet")


def _chassis_option(ids: Mapping[str, str], key: str) -> str:
    """As ovn-controller reads its options: `KEY-SYSTEMID` (several chassis of one OVSDB) before `KEY`."""
    return ids.get(f"{key}-{ids.get('system-id', '')}") or ids.get(key, "")
