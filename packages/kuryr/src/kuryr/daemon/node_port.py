"""The node's own Neutron port, in the host's namespace: through it the node, its kubelet's probes and its hostNetwork
pods reach pods.

The controller gives it (KuryrNode.spec.interface). Here it becomes an internal port of the integration bridge, a device
with the port's MAC, MTU and addresses; the prefix of an address is the route to the pods of that subnet. It is looked
at every few seconds, for ovs-vswitchd makes the device anew when it restarts, and it stays when the daemon stops.
"""

import asyncio
import logging

from kubeloop import Condition, Informer, ObjectKey, condition
from kuryr.daemon.host import Host
from kuryr.daemon.kernel import KernelError
from kuryr.daemon.sandbox import Address
from kuryr.daemon.vswitch import InternalPort, NotInstalled, VswitchError
from kuryr.model.resources import Interface, KuryrNode

log = logging.getLogger(__name__)

DEVICE = "kuryr0"
CONDITION = "NodePortReady"


class NodePort:
    """`condition` is how it stands, for the KuryrNode's status."""

    def __init__(
        self,
        nodes: Informer[KuryrNode],
        host: Host,
        *,
        node: str,
        bridge: str | None = None,
        check_every_s: float = 5.0,
        plug_timeout_s: float = 5.0,
    ) -> None:
        """`nodes` has at least this node's KuryrNode; without a `bridge` it is the one that OVN is told to use."""
        self._nodes = nodes
        self._host = host
        self._key = ObjectKey("", node)
        self._bridge = bridge
        self._check_every_s = check_every_s
        self._plug_timeout_s = plug_timeout_s
        self._news = asyncio.Event()
        self.condition = condition(CONDITION, None, reason="Unknown", message="not looked at yet")
        nodes.add_handler(lambda _: self._news.set())

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._news.clear()
            before, self.condition = self.condition, await self._look()
            if before.reason != self.condition.reason:
                log.info("the node's own port: state=%s %s", self.condition.reason, self.condition.message)
            try:
                async with asyncio.timeout(self._check_every_s):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _look(self) -> Condition:
        node = self._nodes.store.get(self._key)
        if node is None or node.spec.interface is None:
            return condition(CONDITION, False, reason="NoPort", message="the controller has not given the node a port")
        try:
            await self._plug(node.spec.interface)
        except NotInstalled as error:
            return condition(CONDITION, False, reason="NotInstalled", message=str(error))
        except (VswitchError, KernelError) as error:
            return condition(CONDITION, False, reason="NotPlugged", message=str(error))
        return condition(CONDITION, True, reason="Plugged", message=f"the node reaches its pods through {DEVICE}")

    async def _plug(self, interface: Interface) -> None:
        vswitch = self._host.vswitch
        port = InternalPort(
            name=DEVICE, port_id=interface.port_id, mac_address=interface.mac_address, mtu=interface.mtu
        )
        if await vswitch.ensure_internal_port(self._bridge or vswitch.system().bridge, port):
            await vswitch.wait_applied()  # then the device is there
        addresses = tuple(Address(one.ip, one.prefix_length) for one in interface.addresses)
        await self._host.kernel.configure_host_link(DEVICE, addresses)
        await vswitch.wait_installed(DEVICE, timeout_s=self._plug_timeout_s)
