"""Reports the node: its KuryrNode says where Neutron must bind ports, and whether OVS and OVN are able to serve pods.

What it says is observed: OVSReady means that ovs-vswitchd has just acted on its configuration, OVNReady that
ovn-controller has just said that it is connected to the southbound database, and is set up to be a chassis. A node
whose OVSDB is away keeps the facts that were last known; only its conditions change.

Neither is known to OVSDB's monitor, so the reporter looks every few seconds; what OVSDB does know wakes it at once. The
daemon is the only writer of the status. It writes when something has changed, and reads Node and KuryrNode again now
and then: to heal what other hands did, and to see that the node has registered anew (then its KuryrNode is made anew).
"""

import asyncio
import datetime
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from kubeloop import Change, Client, Condition, MergePatch, Node, ObjectMeta, condition, set_condition
from kubeloop import errors as kube
from kuryr.daemon.host import Host
from kuryr.daemon.kernel import KernelError
from kuryr.daemon.ovn import OvnControllerStatus
from kuryr.daemon.underlay import largest_pod_mtu
from kuryr.daemon.vswitch import VswitchError, VswitchSystem, VswitchUnavailable
from kuryr.model.resources import KuryrNode, KuryrNodeSpec, KuryrNodeStatus

log = logging.getLogger(__name__)

_READ_AGAIN_EVERY_S = 60.0
_REST_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One look at the node.

    `system` is None until OVSDB was reached once. `switch_problem`: why ovs-vswitchd is not known to act; empty when it
    does. `mtus`: by the node's own addresses, in bytes.
    """

    system: VswitchSystem | None
    switch_problem: str
    controller: OvnControllerStatus
    mtus: Mapping[str, int]
    families: tuple[str, ...]
    boot_id: str
    node_port: Condition | None = None


class NodeReporter:
    """Writes when something has changed; looks every `look_every_s`, and when OVSDB has news."""

    def __init__(
        self,
        client: Client,
        host: Host,
        *,
        node: str,
        node_port: Callable[[], Condition] | None = None,
        look_every_s: float = 5.0,
    ) -> None:
        """`node_port` tells how the node's own port stands."""
        self._client = client
        self._host = host
        self._vswitch = host.vswitch
        self._node = node
        self._node_port = node_port
        self._look_every_s = look_every_s
        self._known: KuryrNode | None = None  # as the API server has it
        self._known_since_s = 0.0

    def note(self, change: Change[KuryrNode]) -> None:
        """The KuryrNode that is known may be gone, as with a node that was deleted: then another is made."""
        current = change.new.metadata.uid if change.new is not None else ""
        if self._known is not None and self._known.metadata.uid != current:
            self._known = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            seen = await self._observe()
            try:
                await self._report(seen)
            except kube.ApiError as error:
                log.warning("cannot report the node yet: cause=%s", error)
                self._known = None
                await asyncio.sleep(_REST_S)
            try:
                async with asyncio.timeout(self._look_every_s):
                    await self._vswitch.wait_system_changed(seen.system)
                    await asyncio.sleep(_REST_S)  # news often come together
            except TimeoutError:
                continue

    async def _observe(self) -> Observation:
        try:
            system: VswitchSystem | None = self._vswitch.system()
        except VswitchUnavailable:
            system = None
        problem = ""
        if system is not None and system.connected:
            try:
                await self._vswitch.wait_applied()
            except VswitchError as error:
                problem = str(error)
        try:
            mtus = await self._host.kernel.get_mtus()
        except KernelError as error:
            log.warning("cannot list the node's addresses: cause=%s", error)
            mtus = {}
        return Observation(
            system=system,
            switch_problem=problem,
            controller=await self._host.ovn.fetch_status(),
            mtus=mtus,
            families=self._host.families,
            boot_id=self._host.boot_id,
            node_port=self._node_port() if self._node_port is not None else None,
        )

    async def _report(self, seen: Observation) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._known is None or now_s - self._known_since_s > _READ_AGAIN_EVERY_S:
            self._known, self._known_since_s = await self._ensure_node(), now_s
        status = desire_status(seen, self._known.status, datetime.datetime.now(datetime.UTC))
        if status == self._known.status:
            return
        self._known = await self._client.patch(
            KuryrNode,
            self._node,
            MergePatch({"status": _whole(status)}),
            subresource="status",
            uid=self._known.metadata.uid,
        )
        states = " ".join(f"{one.type}={one.status}" for one in status.conditions)
        log.info("node reported: host=%s mtu=%d %s", status.host_id, status.mtu, states)

    async def _ensure_node(self) -> KuryrNode:
        node = await self._client.get(Node, self._node)
        try:
            known = await self._client.get(KuryrNode, self._node)
        except kube.NotFound:
            known = None
        if known is not None and known.spec.node_uid == node.metadata.uid:
            return known
        if known is not None:
            # its port was that of an earlier node of this name
            log.info("the node has registered anew: node=%s uid=%s", self._node, node.metadata.uid)
            await self._client.delete(KuryrNode, self._node, uid=known.metadata.uid)
        wanted = KuryrNode(
            metadata=ObjectMeta(name=self._node, owner_references=(node.owner_reference(),)),
            spec=KuryrNodeSpec(node_uid=node.metadata.uid),
        )
        return await self._client.create(wanted)


def desire_status(seen: Observation, before: KuryrNodeStatus, now: datetime.datetime) -> KuryrNodeStatus:
    """What the status is to say: a pure function. A condition keeps its time until it turns.

    Equal to `before` when there is no news.
    """
    conditions = set_condition(before.conditions, _switch_condition(seen), now)
    conditions = set_condition(conditions, _controller_condition(seen), now)
    if seen.node_port is not None:
        conditions = set_condition(conditions, seen.node_port, now)
    system = seen.system
    if system is None:
        return msgspec.structs.replace(before, boot_id=seen.boot_id, conditions=conditions)
    return KuryrNodeStatus(
        host_id=system.hostname,
        bindings=("ovs",),
        families=seen.families,
        mtu=largest_pod_mtu(system.encap_ips, system.encap_types, seen.mtus),
        ovs_version=system.ovs_version,
        boot_id=seen.boot_id,
        conditions=conditions,
    )


def _switch_condition(seen: Observation) -> Condition:
    if seen.system is None:
        return condition("OVSReady", False, reason="Unavailable", message="OVSDB has not been reached yet")
    if not seen.system.connected:
        return condition("OVSReady", False, reason="Disconnected", message="there is no connection to OVSDB")
    if seen.switch_problem:
        return condition("OVSReady", False, reason="NoAnswer", message=seen.switch_problem)
    return condition("OVSReady", True, reason="Applied", message="ovs-vswitchd acts on its configuration")


def _controller_condition(seen: Observation) -> Condition:
    status, system = seen.controller, seen.system
    if not status.connected:
        return condition("OVNReady", status.connected, reason=status.reason, message=status.message)
    if system is None:
        return condition("OVNReady", None, reason="Unavailable", message="OVSDB has not been reached yet")
    if not system.encap_ips or not system.encap_types:
        message = "no chassis: set external_ids:ovn-encap-ip and ovn-encap-type in the Open_vSwitch table"
        return condition("OVNReady", False, reason="NoEncapsulation", message=message)
    if not system.bridge_exists:
        message = f"there is no bridge {system.bridge!r} in Open vSwitch"
        return condition("OVNReady", False, reason="BridgeMissing", message=message)
    return condition("OVNReady", True, reason=status.reason, message="ovn-controller is connected to the southbound")


_NOTHING = {"hostID": "", "bindings": [], "families": [], "mtu": 0, "ovsVersion": "", "bootID": "", "conditions": []}


def _whole(status: KuryrNodeStatus) -> dict[str, Any]:
    """With the fields that are empty too: a merge patch leaves alone what is not named."""
    return {**_NOTHING, **msgspec.to_builtins(status)}
