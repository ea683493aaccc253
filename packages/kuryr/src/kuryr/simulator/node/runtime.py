"""The container runtime: sandboxes, and the CNI commands that go with them, as containerd gives them.

- A failed or given-up ADD is followed by a DEL; where that fails too the sandbox stays, not ready, for the kubelet to
  stop. Every attempt has a container id and a network namespace of its own.
- GC and STATUS are the node's: the kubelet asks for them.
- Stopping is DEL, then the namespace goes. It may be repeated, and then the DEL comes without a namespace.
- What it knows of sandboxes is on disk: after a restart of the machine they are there, not ready.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from kuryr.simulator.node.cni import CniFailed, CniSocket
from kuryr.simulator.node.namespaces import Namespaces

IFNAME = "eth0"
REQUEST_TIMEOUT_S = 120.0  # kubelet's runtimeRequestTimeout
CONFIG: Mapping[str, Any] = {"cniVersion": "1.1.0", "name": "kuryr", "type": "kuryr-cni"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxPod:
    """Whose sandbox it is; `uid` is the one that the kubelet knows the pod by."""

    namespace: str
    name: str
    uid: str


@dataclass(slots=True, kw_only=True)
class PodSandbox:
    """One attempt of one pod. `netns` is empty once the namespace is gone."""

    id: str
    pod: SandboxPod
    attempt: int
    netns: str
    ready: bool = False
    result: dict[str, Any] = field(default_factory=dict)  # of ADD

    @property
    def ips(self) -> tuple[str, ...]:
        return tuple(one["address"].partition("/")[0] for one in self.result.get("ips", ()))


class ContainerRuntime:
    """`sandboxes` by container id; `changed` is called when one has come, changed or gone."""

    def __init__(
        self, namespaces: Namespaces, socket: CniSocket, random: Random, *, changed: Callable[[], None]
    ) -> None:
        self._namespaces = namespaces
        self._socket = socket
        self._random = random
        self.changed = changed
        self.sandboxes: dict[str, PodSandbox] = {}

    def of(self, uid: str) -> list[PodSandbox]:
        """Of one pod, the oldest first."""
        return [one for one in self.sandboxes.values() if one.pod.uid == uid]

    async def run(self, pod: SandboxPod) -> PodSandbox:
        """A new sandbox. Raises CniFailed. Who cancels it gives it up."""
        netns = f"/run/netns/cni-{UUID(int=self._random.getrandbits(128), version=4)}"
        attempt = max((one.attempt + 1 for one in self.of(pod.uid)), default=0)
        sandbox = PodSandbox(id=f"{self._random.getrandbits(256):064x}", pod=pod, attempt=attempt, netns=netns)
        self.sandboxes[sandbox.id] = sandbox
        self._namespaces.make(netns)
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                sandbox.result = await self._call("ADD", sandbox)
        except TimeoutError as error:
            await self._clean_up(sandbox)
            raise CniFailed(0, "the runtime's patience is over") from error
        except BaseException:
            await self._clean_up(sandbox)
            raise
        sandbox.ready = sandbox.netns != ""  # the machine may have restarted meanwhile
        self.changed()
        return sandbox

    async def stop(self, sandbox: PodSandbox) -> None:
        """May be repeated. Raises CniFailed: then it is to be repeated."""
        sandbox.ready = False
        await self._call("DEL", sandbox)
        if sandbox.netns:
            self._namespaces.remove(sandbox.netns)
            sandbox.netns = ""
            self.changed()

    async def check(self, sandbox: PodSandbox) -> None:
        """CHECK. Raises CniFailed with what differs."""
        await self._call("CHECK", sandbox)

    async def collect(self) -> None:
        """GC of all but what it knows, sandboxes in the making too. Raises CniFailed."""
        valid = [{"containerID": one.id, "ifname": IFNAME} for one in self.sandboxes.values()]
        await self._socket.call("GC", {**CONFIG, "cni.dev/valid-attachments": valid})

    async def status(self) -> None:
        """STATUS. Raises CniFailed while no pod can have a network here."""
        await self._socket.call("STATUS", dict(CONFIG))

    def remove(self, sandbox: PodSandbox) -> None:
        """Forgets one that is stopped."""
        if self.sandboxes.pop(sandbox.id, None) is not None:
            self.changed()

    def kill(self, sandbox: PodSandbox) -> None:
        """Its pause process dies. The namespace, which is bound to its path, stays until it is stopped."""
        sandbox.ready = False
        self.changed()

    def lose_all(self) -> None:
        """The machine restarts."""
        for sandbox in self.sandboxes.values():
            sandbox.ready = False
            sandbox.netns = ""

    async def _clean_up(self, sandbox: PodSandbox) -> None:
        try:
            await self.stop(sandbox)
        except CniFailed:
            return  # the kubelet finds it
        self.remove(sandbox)

    async def _call(self, command: str, sandbox: PodSandbox) -> dict[str, Any]:
        pod = sandbox.pod
        previous = {"prevResult": sandbox.result} if sandbox.result else {}
        args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE={pod.namespace};K8S_POD_NAME={pod.name}"
        return await self._socket.call(
            command,
            {**CONFIG, **previous},
            containerId=sandbox.id,
            netns=sandbox.netns,
            ifname=IFNAME,
            args=f"{args};K8S_POD_INFRA_CONTAINER_ID={sandbox.id};K8S_POD_UID={pod.uid}",
        )
