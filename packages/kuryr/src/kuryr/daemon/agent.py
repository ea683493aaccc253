"""The node's agent: Kubernetes' side of CNI. The runtime asks, the claims of this node answer, the wiring does.

- ADD waits, without polling, until the pod's KuryrPort (by pod UID) is there, and wires it. With the API server away
  it goes by the local copy. It is refused at once where waiting cannot help: the claim is being deleted, or is of
  another pod of that name; or the port is, by right, another claim's.
- DEL and GC need no API: the wiring knows by container id. A late DEL touches nothing newer.
- STATUS is about this node alone: the kubelet takes its failure for an unready node, and all pods leave their Services.
"""

import asyncio
import ipaddress
import logging

from kubeloop import Informer, ObjectKey
from kuryr.daemon.checking import diff_sandbox
from kuryr.daemon.cni.protocol import CniCode, CniError, CniRequest
from kuryr.daemon.cni.results import Result, ResultInterface, ResultIp, ResultRoute, parse_result
from kuryr.daemon.kernel import KernelError
from kuryr.daemon.local_copy import LocalCopy
from kuryr.daemon.readiness import Readiness
from kuryr.daemon.receipts import Receipts
from kuryr.daemon.records import SandboxRecord
from kuryr.daemon.sandbox import Address, InterfaceSpec, PluggedInterface, Sandbox, desire_routes
from kuryr.daemon.vswitch import PortInUse, VswitchError, VswitchUnavailable
from kuryr.daemon.wiring import Wiring
from kuryr.model.resources import Interface, KuryrPort

log = logging.getLogger(__name__)

_SWEEP_EVERY_S = 300.0
_SWEEP_AGAIN_S = 1.0
_OTHERS_CLAIM_S = 2.0
"""How long an ADD waits for another pod's claim of its name to go: the pod before it, as of a StatefulSet. Or it is the
pod after it, and then nobody needs this ADD any more."""
_CONVERGE_S = 5.0
"""How long CHECK waits for flows: OVN may be installing them again."""


class Agent:
    """Implements `CniHandler`."""

    def __init__(
        self,
        claims: Informer[KuryrPort],
        wiring: Wiring,
        receipts: Receipts,
        copy: LocalCopy,
        readiness: Readiness,
        *,
        add_timeout_s: float,
        plug_timeout_s: float,
    ) -> None:
        self._claims = claims
        self._wiring = wiring
        self._receipts = receipts
        self._copy = copy
        self._readiness = readiness
        self._add_timeout_s = add_timeout_s
        self._plug_timeout_s = plug_timeout_s

    async def add(self, request: CniRequest) -> Result:
        """Wires the pod's interface. Raises `CniError`."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        claim = self._copied_claim(request) or await self._wait_for_claim(request)
        found = loop.time()
        with self._receipts.adding(claim):
            plugged = await self._plug(request, claim)
        waited_ms, wired_ms = (found - asked) * 1000, (loop.time() - found) * 1000
        log.info("sandbox wired: pod=%s waited_ms=%.0f wired_ms=%.0f", claim.key, waited_ms, wired_ms)
        return _result(plugged, request.netns)

    async def delete(self, request: CniRequest) -> None:
        """Unwires; what is not there is done."""
        # the record may have gone with an earlier DEL that failed after it: then only the request knows the pod
        pods = [ObjectKey(request.pod.namespace, request.pod.name)] if request.pod.name else []
        records: list[SandboxRecord] = []
        try:
            records += [
                record
                for record in self._wiring.records()
                if (record.container_id, record.ifname) == (request.container_id, request.ifname)
            ]
            await self._wiring.unplug(request.container_id, request.ifname)
        except (VswitchError, KernelError, TimeoutError) as error:
            raise CniError(CniCode.TRY_AGAIN_LATER, f"cannot unwire the sandbox yet: {error}") from error
        finally:  # also when the plug-in was killed: it is unwired nevertheless
            self._receipts.unwired(records, *pods)

    async def check(self, request: CniRequest) -> None:
        """Raises `CniError` with every difference there is."""
        previous = parse_result(request.prev_result or {})
        key = (request.container_id, request.ifname)
        try:
            record = next((one for one in self._wiring.records() if (one.container_id, one.ifname) == key), None)
            if record is not None:
                await self._wait_converged(request)
            observed = await self._wiring.observe(*key, request.netns)
            if not self._wiring.connected:
                raise VswitchUnavailable("there is no connection to OVSDB")
        except (VswitchError, KernelError) as error:
            raise CniError(CniCode.TRY_AGAIN_LATER, f"cannot look at the sandbox: {error}") from error
        if record is None and observed.host is None:
            raise CniError(
                CniCode.UNKNOWN_CONTAINER, f"container {request.container_id} has no {request.ifname} of ours"
            )
        claim = None
        if record is not None:
            claim = self._known_claim(ObjectKey(record.pod_namespace, record.pod_name), record.pod_uid)
        claimed = _specification(claim.spec.interfaces[0]) if claim is not None else None
        differences = diff_sandbox(request.ifname, request.netns, previous, claimed, observed)
        if record is not None and claim is None and self._claims.synced:
            differences += ("the pod has no KuryrPort",)
        if differences:
            raise CniError(CniCode.NOT_AS_WIRED, f"{request.ifname} is not as ADD made it", "; ".join(differences))

    async def collect(self, request: CniRequest) -> None:
        """Removes what the runtime no longer knows."""
        valid = {(one.container_id, one.ifname) for one in request.valid_attachments}
        before: tuple[SandboxRecord, ...] = ()
        try:
            before = self._wiring.records()
            await self._wiring.collect(valid)
        except (VswitchError, KernelError) as error:
            raise CniError(CniCode.TRY_AGAIN_LATER, f"cannot collect yet: {error}") from error
        except ExceptionGroup as failures:
            causes = "; ".join(map(str, failures.exceptions))
            raise CniError(CniCode.TRY_AGAIN_LATER, "not everything could be removed", causes) from failures
        finally:  # some may be gone although another could not be removed
            self._receipts.unwired(before)

    async def status(self, request: CniRequest) -> None:
        """Raises `CniError` while no ADD on this node can succeed."""
        await self._readiness.check()

    async def keep_clean(self) -> None:
        """At the start, and now and then: what a killed daemon or a vanished sandbox left goes. Until cancelled."""
        while True:
            if not self._wiring.connected:
                await asyncio.sleep(_SWEEP_AGAIN_S)
                continue
            before: tuple[SandboxRecord, ...] = ()
            try:
                before = self._wiring.records()
                await self._wiring.sweep()
            except (VswitchError, KernelError) as error:
                log.warning("cannot clean up yet: cause=%s", error)
                rest_s = _SWEEP_AGAIN_S
            else:
                rest_s = _SWEEP_EVERY_S
            self._receipts.unwired(before)
            await asyncio.sleep(rest_s)

    def _copied_claim(self, request: CniRequest) -> KuryrPort | None:
        claim = self._copy.find(ObjectKey(request.pod.namespace, request.pod.name))
        return claim if claim is not None and claim.spec.pod_uid == request.pod.uid else None

    def _known_claim(self, key: ObjectKey, pod_uid: str) -> KuryrPort | None:
        claim = self._claims.store.get(key) if self._claims.synced else self._copy.find(key)
        return claim if claim is not None and claim.spec.pod_uid == pod_uid else None

    async def _wait_for_claim(self, request: CniRequest) -> KuryrPort:
        key = ObjectKey(request.pod.namespace, request.pod.name)
        wanted = request.pod.uid
        claim: KuryrPort | None = None
        try:
            async with asyncio.timeout(self._add_timeout_s):
                while not _is_of(claim, wanted):
                    claim = await self._claims.wait_for(key, lambda one: _is_of(one, wanted) or _is_live(one))
                    if not _is_of(claim, wanted):
                        await self._wait_for_others_claim(key, wanted)
        except TimeoutError as error:
            raise CniError(
                CniCode.TRY_AGAIN_LATER,
                f"pod {key} has no KuryrPort after {self._add_timeout_s:.0f} s",
                "see the log of the kuryr controller and `kubectl describe pod`",
            ) from error
        assert claim is not None, "it is of the pod"
        self._refuse_in_vain(claim)
        return claim

    async def _wait_for_others_claim(self, key: ObjectKey, wanted: str) -> None:
        try:
            async with asyncio.timeout(_OTHERS_CLAIM_S):
                await self._claims.wait_for(key, lambda one: _is_of(one, wanted) or not _is_live(one))
        except TimeoutError as error:
            raise CniError(
                CniCode.TRY_AGAIN_LATER, f"the KuryrPort {key} is of another pod of that name, not of pod UID {wanted}"
            ) from error

    def _refuse_in_vain(self, claim: KuryrPort) -> None:
        """Refuses the ADD of a claim that cannot be wired now. Raises CniError."""
        if claim.metadata.deleting or self._copy.is_forgotten(claim.metadata.uid):
            raise CniError(CniCode.TRY_AGAIN_LATER, f"the network of pod {claim.key} is being released")
        try:
            winner = self._receipts.winner(claim)
        except VswitchError as error:
            raise CniError(CniCode.TRY_AGAIN_LATER, f"cannot wire pod {claim.key} yet: {error}") from error
        if winner is not None:
            raise CniError(
                CniCode.TRY_AGAIN_LATER,
                f"the Neutron port of pod {claim.key} is also claimed by {winner.key}",
                "the controller gives the pod another one",
            )

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
            self._receipts.refused(claim, str(error))
            raise CniError(CniCode.TRY_AGAIN_LATER, str(error), "the controller gives the pod another port") from error
        except (VswitchError, KernelError, TimeoutError) as error:
            raise CniError(CniCode.TRY_AGAIN_LATER, f"cannot wire pod {claim.key}: {error!r}") from error

    async def _wait_converged(self, request: CniRequest) -> None:
        try:
            await self._wiring.wait_installed(request.container_id, request.ifname, timeout_s=_CONVERGE_S)
        except VswitchError:
            return  # the comparison says what is missing


def _is_of(claim: KuryrPort | None, pod_uid: str) -> bool:
    return claim is not None and claim.spec.pod_uid == pod_uid


def _is_live(claim: KuryrPort | None) -> bool:
    return claim is not None and not claim.metadata.deleting


def _specification(interface: Interface) -> InterfaceSpec:
    return InterfaceSpec(
        port_id=interface.port_id,
        mac_address=interface.mac_address,
        mtu=interface.mtu,
        addresses=tuple(Address(one.ip, one.prefix_length, one.gateway or None) for one in interface.addresses),
    )


def _result(plugged: PluggedInterface, netns: str) -> Result:
    interface = plugged.interface
    host = ResultInterface(name=plugged.host_ifname, mac=plugged.host_mac_address)
    inside = ResultInterface(name=plugged.sandbox.ifname, mac=interface.mac_address, mtu=interface.mtu, sandbox=netns)
    ips = tuple(
        ResultIp(address=str(ipaddress.ip_interface(f"{one.ip}/{one.prefix_length}")), gateway=one.gateway, interface=1)
        for one in interface.addresses
    )
    routes = tuple(ResultRoute(dst=route.destination, gw=route.gateway) for route in desire_routes(interface))
    return Result(interfaces=(host, inside), ips=ips, routes=routes)
