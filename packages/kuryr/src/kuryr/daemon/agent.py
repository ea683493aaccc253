"""The node's agent: Kubernetes' side of the daemon. CNI asks, the local copy of this node's KuryrPorts answers, the
wiring does.

- ADD waits, without polling, until the pod's KuryrPort (by pod UID) is there, wires it, and has its status written
  once.
- The finalizer on a KuryrPort is this node's receipt: it goes only when the object is deleting, no sandbox is wired
  with its port and no ADD for it runs. Once the object is deleting, ADDs for it are refused.
- DEL needs no API: the wiring knows by container id.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Callable

from kubeloop import (
    DONE,
    Change,
    Client,
    Controller,
    Informer,
    MergePatch,
    Metrics,
    ObjectKey,
    Result,
    remove_finalizer,
)
from kubeloop import (
    errors as kube,
)
from kuryr.daemon.cni.protocol import CniCode, CniError, CniRequest, ResultInterface, ResultIp, ResultRoute
from kuryr.daemon.cni.protocol import Result as CniResult
from kuryr.daemon.kernel import KernelError
from kuryr.daemon.sandbox import Address, InterfaceSpec, PluggedInterface, Sandbox, desire_routes
from kuryr.daemon.vswitch import PortInUse, VswitchError
from kuryr.daemon.wiring import Wiring
from kuryr.model.resources import SANDBOX_FINALIZER, Interface, KuryrPort

log = logging.getLogger(__name__)


class Agent:
    """Implements `CniHandler`; `controller` keeps finalizers and status."""

    def __init__(
        self,
        client: Client,
        claims: Informer[KuryrPort],
        wiring: Wiring,
        *,
        is_connected: Callable[[], bool],
        add_timeout_s: float,
        plug_timeout_s: float,
        metrics: Metrics | None = None,
    ) -> None:
        self._client = client
        self._claims = claims
        self._wiring = wiring
        self._is_connected = is_connected
        self._add_timeout_s = add_timeout_s
        self._plug_timeout_s = plug_timeout_s
        self._adding: dict[str, int] = {}  # running ADDs by UID of the KuryrPort
        self.controller: Controller[ObjectKey] = Controller("sandboxes", self._reconcile, workers=8, metrics=metrics)
        self.controller.watches(claims, lambda claim: (claim.key,), predicate=_concerns_us)

    async def add(self, request: CniRequest) -> CniResult:
        """Wires the pod's interface. Raises `CniError`."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        claim = await self._wait_for_claim(request)
        found = loop.time()
        uid = claim.metadata.uid
        self._adding[uid] = self._adding.get(uid, 0) + 1
        try:
            plugged = await self._plug(request, claim)
        finally:
            self._adding[uid] -= 1
            if not self._adding[uid]:
                del self._adding[uid]
            self.controller.enqueue(claim.key)
        waited_ms, wired_ms = (found - asked) * 1000, (loop.time() - found) * 1000
        log.info("sandbox wired: pod=%s waited_ms=%.0f wired_ms=%.0f", claim.key, waited_ms, wired_ms)
        return _result(plugged, request.netns)

    async def delete(self, request: CniRequest) -> None:
        """Unwires; what is not there is done."""
        # the record may have gone with an earlier DEL that failed after it: then only the request knows the pod
        pods = {ObjectKey(request.pod.namespace, request.pod.name)} if request.pod.name else set()
        try:
            pods |= {
                ObjectKey(record.pod_namespace, record.pod_name)
                for record in self._wiring.records()
                if (record.container_id, record.ifname) == (request.container_id, request.ifname)
            }
            await self._wiring.unplug(request.container_id, request.ifname)
        except (VswitchError, KernelError, TimeoutError) as error:
            raise CniError(CniCode.TRY_AGAIN_LATER, f"cannot unwire the sandbox yet: {error}") from error
        for pod in pods:
            self.controller.enqueue(pod)

    async def _wait_for_claim(self, request: CniRequest) -> KuryrPort:
        key = ObjectKey(request.pod.namespace, request.pod.name)
        wanted = request.pod.uid

        def is_there(claim: KuryrPort | None) -> bool:
            return claim is not None and claim.spec.pod_uid == wanted

        try:
            async with asyncio.timeout(self._add_timeout_s):
                claim = await self._claims.wait_for(key, is_there)
        except TimeoutError as error:
            raise CniError(
                CniCode.TRY_AGAIN_LATER,
                f"pod {key} has no KuryrPort after {self._add_timeout_s:.0f} s",
                "see the log of the kuryr controller and `kubectl describe pod`",
            ) from error
        assert claim is not None, "the predicate wants one"
        if claim.metadata.deleting:
            raise CniError(CniCode.TRY_AGAIN_LATER, f"the network of pod {key} is being released")
        return claim

    async def _plug(self, request: CniRequest, claim: KuryrPort) -> PluggedInterface:
        sandbox = Sandbox(
            container_id=request.container_id,
            netns=request.netns,
            ifname=request.ifname,
            pod_namespace=request.pod.namespace,
            pod_name=request.pod.name,
            pod_uid=request.pod.uid,
        )
        try:
            return await self._wiring.plug(
                sandbox, _specification(claim.spec.interfaces[0]), timeout_s=self._plug_timeout_s
            )
        except PortInUse as error:
            raise CniError(
                CniCode.TRY_AGAIN_LATER, str(error), "the pod waits until the other's sandbox is gone"
            ) from error
        except (VswitchError, KernelError, TimeoutError) as error:
            raise CniError(CniCode.TRY_AGAIN_LATER, f"cannot wire pod {claim.key}: {error!r}") from error

    async def _reconcile(self, key: ObjectKey) -> Result:
        claim = self._claims.store.get(key)
        if claim is None:
            return DONE
        uid = claim.metadata.uid
        if claim.metadata.deleting:
            # an OVSDB that is away says nothing of what is wired: then no receipt
            if uid not in self._adding and not self._sandboxes(claim) and self._is_connected():
                await remove_finalizer(self._client, claim, SANDBOX_FINALIZER)
                return DONE
            return DONE if self._is_connected() else Result(requeue_after_s=1.0)
        # a record without a running ADD was wired to the end: a failed ADD takes its record with it
        wired = self._sandboxes(claim) if uid not in self._adding else ()
        if wired and not (claim.status.plugged and claim.status.sandbox in wired):
            await self._write_status(claim, wired[-1])
        return DONE

    async def _write_status(self, claim: KuryrPort, container: str) -> None:
        status = {"plugged": True, "sandbox": container, "policyGeneration": claim.spec.policy_generation}
        name, namespace, uid = claim.key.name, claim.key.namespace, claim.metadata.uid
        try:
            await self._client.patch(
                KuryrPort, name, MergePatch({"status": status}), namespace=namespace, subresource="status", uid=uid
            )
        except (kube.NotFound, kube.Conflict):
            return  # gone, or another of that name: its own event comes

    def _sandboxes(self, claim: KuryrPort) -> tuple[str, ...]:
        """Container ids wired with the claim's ports."""
        ports = {interface.port_id for interface in claim.spec.interfaces}
        return tuple(
            record.container_id
            for record in self._wiring.records()
            if record.pod_uid == claim.spec.pod_uid and record.port_id in ports
        )


def _concerns_us(change: Change[KuryrPort]) -> bool:
    """Not the status that we wrote ourselves."""
    if change.old is None or change.new is None:
        return True
    return change.old.metadata.deleting != change.new.metadata.deleting


def _specification(interface: Interface) -> InterfaceSpec:
    return InterfaceSpec(
        port_id=interface.port_id,
        mac_address=interface.mac_address,
        mtu=interface.mtu,
        addresses=tuple(Address(one.ip, one.prefix_length, one.gateway or None) for one in interface.addresses),
    )


def _result(plugged: PluggedInterface, netns: str) -> CniResult:
    interface = plugged.interface
    host = ResultInterface(name=plugged.host_ifname, mac=plugged.host_mac_address)
    inside = ResultInterface(name=plugged.sandbox.ifname, mac=interface.mac_address, mtu=interface.mtu, sandbox=netns)
    ips = tuple(
        ResultIp(address=str(ipaddress.ip_interface(f"{one.ip}/{one.prefix_length}")), gateway=one.gateway, interface=1)
        for one in interface.addresses
    )
    routes = tuple(ResultRoute(dst=route.destination, gw=route.gateway) for route in desire_routes(interface))
    return CniResult(interfaces=(host, inside), ips=ips, routes=routes)
