"""Tells people why a pod waits for its network: a condition of the Pod and an Event, once per reason, with the request
id that Neutron's log has.

The pod's own condition is the memory, so a new leader does not tell again what was told; and what is said of a cloud
that does not answer waits a moment, since most such troubles are over by the next attempt. When the pod has its port
the condition turns, where there was one.
"""

import asyncio
import datetime
from dataclasses import dataclass

import msgspec

from kubeloop import (
    ApplyPatch,
    Client,
    Condition,
    EventRecorder,
    ObjectKey,
    Pod,
    condition,
    find_condition,
    set_condition,
)
from kubeloop import errors as kube
from kuryr.openstack import errors

CONDITION = "kuryr.openstack.org/Network"
CONNECTED = "PortClaimed"

_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a pod waits: a stable word, and what a person can do. `passing`: it is often over in a moment."""

    name: str
    advice: str
    passing: bool = False


NO_POOL = Reason(
    "NodeNotReady",
    "the node has no ports yet: see `kubectl describe kuryrnode` for its state, and the log of its kuryr daemon",
    passing=True,
)
_QUOTA = Reason("QuotaExceeded", "raise the project's quota of ports, or delete ports that nobody needs")
_FULL = Reason("SubnetFull", "the subnet has no free address: give the network a larger subnet")
_BINDING = Reason("BindingFailed", "Neutron cannot bind ports on the node: see whether ovn-controller runs there")
_NOT_FOUND = Reason("NetworkNotFound", "the network, a subnet or a security group is gone: see the configuration")
_NOT_AUTHORISED = Reason("NotAuthorised", "the controller's user may not do this: `kuryr preflight` checks its roles")
_REJECTED = Reason("PortRejected", "Neutron does not accept the port")
_UNAVAILABLE = Reason("CloudUnavailable", "Neutron does not answer as it should; tried again by itself", passing=True)

_REASONS: tuple[tuple[type[errors.OpenStackError], Reason], ...] = (
    (errors.QuotaExceeded, _QUOTA),
    (errors.NoAddress, _FULL),
    (errors.BindingFailed, _BINDING),
    (errors.NotFound, _NOT_FOUND),
    (errors.Unauthorised, _NOT_AUTHORISED),
    (errors.Rejected, _REJECTED),
)


def reason_of(error: errors.OpenStackError) -> Reason:
    """Pure."""
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), _UNAVAILABLE)


class PodNotices:
    """One per controller; pods are told about one at a time."""

    def __init__(self, client: Client, recorder: EventRecorder) -> None:
        self._client = client
        self._recorder = recorder
        self._since: dict[ObjectKey, tuple[Reason, float]] = {}  # passing troubles, since when
        self._told: dict[ObjectKey, tuple[str, str]] = {}  # UID and reason: the store may be behind our own write

    async def tell(self, pod: Pod, reason: Reason, cause: str = "") -> bool:
        """The pod waits for this reason; `cause` is what happened. Whether it is told now, or was: if not, tell again
        later. Never raises for the API's trouble.
        """
        if self._last_told(pod) == reason.name:
            return True
        if not self._lasts(pod.key, reason):
            return False
        message = f"{cause}: {reason.advice}" if cause else reason.advice
        if not await self._write(pod, condition(CONDITION, False, reason=reason.name, message=message)):
            return False
        self._told[pod.key] = (pod.metadata.uid, reason.name)
        self._recorder.event(pod, type="Warning", reason=reason.name, action="ProvidePort", note=message)
        return True

    async def settle(self, pod: Pod) -> None:
        """The pod has its port: what was told before is over. Nothing is written where nothing was told."""
        self._since.pop(pod.key, None)
        if self._last_told(pod) in ("", CONNECTED):
            return
        if await self._write(pod, condition(CONDITION, True, reason=CONNECTED, message="the pod has a Neutron port")):
            self._told[pod.key] = (pod.metadata.uid, CONNECTED)

    def forget(self, key: ObjectKey) -> None:
        """The pod is gone."""
        self._since.pop(key, None)
        self._told.pop(key, None)

    def _last_told(self, pod: Pod) -> str:
        """The reason that the condition has; empty where there is none."""
        uid, reason = self._told.get(pod.key, ("", ""))
        if uid == pod.metadata.uid:
            return reason
        found = find_condition(pod.status.conditions, CONDITION)
        return found.reason if found is not None else ""

    def _lasts(self, key: ObjectKey, reason: Reason) -> bool:
        if not reason.passing:
            return True
        now = asyncio.get_running_loop().time()
        before, since = self._since.setdefault(key, (reason, now))
        if before != reason:
            self._since[key] = reason, now
            return False
        return now - since >= _PATIENCE_S

    async def _write(self, pod: Pod, new: Condition) -> bool:
        """Only our own condition: the list is the kubelet's too. False when it could not be written now."""
        dated = find_condition(
            set_condition(pod.status.conditions, new, datetime.datetime.now(datetime.UTC)), CONDITION
        )
        patch = ApplyPatch({"status": {"conditions": [msgspec.to_builtins(dated)]}}, force=True)
        meta = pod.metadata
        try:
            await self._client.patch(
                Pod, meta.name, patch, namespace=meta.namespace, subresource="status", uid=meta.uid
            )
        except kube.ApiError:
            return False
        return True
