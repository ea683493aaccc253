"""STATUS: whether an ADD on this node can succeed at all.

The kubelet takes a failing STATUS for an unready node, and all its pods leave their Services. So only what this node
itself lacks for any ADD counts: OVSDB, the integration bridge, ovn-controller and its connection to the southbound
database. Cloud, API server and controller do not: pods wait for them. And a restart of one of those parts is over
sooner than our patience. An ovs-vswitchd that is slow to act is not told from a busy one: that is a condition of the
KuryrNode.
"""

import asyncio
from typing import Protocol

from kuryr.daemon.cni.protocol import CniCode, CniError
from kuryr.daemon.ovn import OvnControllerStatus
from kuryr.daemon.vswitch import Vswitch, VswitchUnavailable

_PATIENCE_S = 8.0  # two looks at an ovn-controller that does not answer (5 s each); the kubelet waits 30 s
_LOOK_EVERY_S = 0.5


class OvnControl(Protocol):
    """ovn-controller."""

    async def fetch_status(self) -> OvnControllerStatus: ...


class Readiness:
    """Asks the parts themselves, each time."""

    def __init__(self, vswitch: Vswitch, ovn: OvnControl) -> None:
        self._vswitch = vswitch
        self._ovn = ovn

    async def check(self) -> None:
        """Raises `CniError` when something was missing all the time."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _PATIENCE_S
        while (problem := await self._find_problem()) is not None:
            if loop.time() >= end:
                raise problem
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _find_problem(self) -> CniError | None:
        try:
            system = self._vswitch.system()
        except VswitchUnavailable as error:
            return CniError(CniCode.NOT_AVAILABLE, str(error), "is ovsdb-server running?")
        if not system.connected:
            return CniError(CniCode.NOT_AVAILABLE, "there is no connection to OVSDB", "is ovsdb-server running?")
        controller = await self._ovn.fetch_status()
        if controller.connected is False:  # None: it cannot be told
            # flows stay, but what changes elsewhere does not reach this node
            return CniError(CniCode.LIMITED_CONNECTIVITY, f"ovn-controller: {controller.reason}", controller.message)
        if not system.bridge_exists:
            return CniError(CniCode.NOT_AVAILABLE, f"there is no bridge {system.bridge!r}", "ovn-controller makes it")
        return None
