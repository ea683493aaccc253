"""Tells people that the port of a running pod was deleted or moved in Neutron: a condition of its KuryrPort, and an
Event of the pod.
"""

import datetime

from kubeloop import Client, EventRecorder, MergePatch, Pod, Retry, condition, conditions_patch, set_condition
from kubeloop import errors as kube
from kuryr.model.resources import PORT_MISSING, KuryrPort

_ADVICE = "somebody did this in Neutron, and the pod cannot be reached: delete the pod, and a new one gets another port"


class PortTrouble:
    """The condition is the memory: what was told once is not told again."""

    def __init__(self, client: Client, recorder: EventRecorder) -> None:
        self._client = client
        self._recorder = recorder

    async def tell(self, claim: KuryrPort, pod: Pod | None, trouble: str) -> None:
        """`trouble` is a word, Deleted or Moved; empty: it is over."""
        ports = ", ".join(interface.port_id for interface in claim.spec.interfaces)
        if trouble:
            message = f"port {ports} was {trouble.lower()}: {_ADVICE}"
            new = condition(PORT_MISSING, True, reason=trouble, message=message)
        else:
            message = f"port {ports} is where it was"
            new = condition(PORT_MISSING, False, reason="Found", message=message)
        before, meta = claim.status.conditions, claim.metadata
        patch = conditions_patch(before, set_condition(before, new, datetime.datetime.now(datetime.UTC)))
        try:
            await self._client.patch(
                KuryrPort,
                meta.name,
                MergePatch(patch),
                namespace=meta.namespace,
                subresource="status",
                uid=meta.uid,
                resource_version=meta.resource_version,  # the node has conditions of its own there
            )
        except kube.NotFound:
            return
        except kube.Conflict as error:
            raise Retry(f"the claim has changed meanwhile: {error}") from error
        if pod is not None and trouble:
            self._recorder.event(pod, type="Warning", reason=PORT_MISSING, action="CheckPort", note=message)
