"""Reports the node: its KuryrNode says where Neutron must bind ports and whether OVS and OVN are there."""

import asyncio
import datetime
import logging
from pathlib import Path

import msgspec

from kubeloop.client import errors as kube
from kubeloop.client.client import Client, MergePatch
from kubeloop.model.base import Condition, ObjectMeta
from kubeloop.model.core import Node
from kuryr.daemon.vswitch import Vswitch, VswitchUnavailable
from kuryr.model.resources import KuryrNode, KuryrNodeSpec, KuryrNodeStatus

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 10.0


class NodeReporter:
    """Writes when something has changed, looks every ten seconds."""

    def __init__(self, client: Client, vswitch: Vswitch, *, node: str, mtu_bytes: int = 0) -> None:
        self._client = client
        self._vswitch = vswitch
        self._node = node
        self._mtu_bytes = mtu_bytes

    async def run(self) -> None:
        """Until cancelled."""
        written: KuryrNodeStatus | None = None
        while True:
            try:
                status = desire_status(self._vswitch, self._mtu_bytes)
                if written is None or _facts(status) != _facts(written):
                    await self._write(status)
                    written = status
            except kube.ApiError as error:
                log.warning("cannot report the node yet: cause=%s", error)
            await asyncio.sleep(_LOOK_EVERY_S if written else 1.0)

    async def _write(self, status: KuryrNodeStatus) -> None:
        node = await self._client.get(Node, self._node)
        wanted = KuryrNode(
            metadata=ObjectMeta(name=self._node, owner_references=(node.owner_reference(),)),
            spec=KuryrNodeSpec(node_uid=node.metadata.uid),
        )
        try:
            await self._client.create(wanted)
        except kube.AlreadyExists:
            patch = MergePatch({"spec": {"nodeUID": node.metadata.uid}})
            await self._client.patch(KuryrNode, self._node, patch)
        await self._client.patch(
            KuryrNode, self._node, MergePatch({"status": msgspec.to_builtins(status)}), subresource="status"
        )
        log.info("node reported: host=%s", status.host_id)


def desire_status(vswitch: Vswitch, mtu_bytes: int) -> KuryrNodeStatus:
    """What the node is able to do, as OVSDB has it."""
    try:
        system = vswitch.system()
    except VswitchUnavailable as error:
        return KuryrNodeStatus(conditions=(_condition("OVSReady", ok=False, reason="Unavailable", message=str(error)),))
    ready = _condition("OVSReady", ok=system.connected, reason="Connected" if system.connected else "Disconnected")
    return KuryrNodeStatus(
        host_id=system.hostname,
        bindings=("ovs",),
        families=("IPv4", "IPv6"),
        mtu=mtu_bytes,
        ovs_version=system.ovs_version,
        boot_id=Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        conditions=(ready, _condition("OVNReady", ok=bool(system.encap_ips), reason="Configured")),
    )


def _condition(kind: str, *, ok: bool, reason: str, message: str = "") -> Condition:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Condition(
        type=kind, status="True" if ok else "False", reason=reason, message=message, last_transition_time=now
    )


def _facts(status: KuryrNodeStatus) -> KuryrNodeStatus:
    """Without the times: they alone are no news."""
    timeless = tuple(msgspec.structs.replace(one, last_transition_time="") for one in status.conditions)
    return msgspec.structs.replace(status, conditions=timeless)
