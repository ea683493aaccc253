"""Takes Kuryr out of a cluster, in an order in which each step still has what it needs, and which another run takes up
wherever a killed one stopped: claims, then the nodes' receipts, then Neutron's ports, then the claims that got no
receipt (their ports are gone: that is the fence), then our definitions with all that is left of their kinds. The pools
stay until the last port is gone, for they say which ports are this cluster's.

It decides nothing by stores: everything is read live, as it is done once. No controller works meanwhile: whoever runs
this holds its lease.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from kubeloop import (
    Client,
    Conflict,
    KubeObject,
    NotFound,
    Pod,
    Resource,
    remove_finalizer,
)
from kuryr.cli.running import Refused
from kuryr.model.machines import Machine, is_lost
from kuryr.model.ownership import ClusterId, PoolUid, device_owner, parse_device_id
from kuryr.model.pods import needs_port
from kuryr.model.resources import KINDS, SANDBOX_FINALIZER, KuryrPort, KuryrPortPool
from kuryr.openstack import errors
from kuryr.openstack.neutron import Neutron, Port
from kuryr.sweeping.planner import is_explained

T = TypeVar("T", bound=KubeObject)

_LOOK_EVERY_S = 1.0
_AT_ONCE = 8
_NAMED = 10


class Definition(KubeObject, frozen=True, kw_only=True):
    """A custom resource definition, by name."""

    resource: ClassVar[Resource] = Resource(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
    )


@dataclass(frozen=True, slots=True)
class Present:
    """What there is of Kuryr. `foreign` are ports of our mark that are used, but by no pool of this cluster."""

    users: tuple[Pod, ...]
    claims: tuple[KuryrPort, ...]
    quarantined: int
    ports: tuple[Port, ...]
    foreign: tuple[Port, ...]
    definitions: tuple[str, ...]
    nodes: tuple[str, ...]


class Removal:
    """`say` tells a person what is done. With `force` nothing waits for pods, and receipts only for `wait_s`."""

    def __init__(
        self,
        client: Client,
        neutron: Neutron,
        cluster: ClusterId,
        say: Callable[[str], None],
        *,
        force: bool = False,
        wait_s: float = 60.0,
    ) -> None:
        self._client = client
        self._neutron = neutron
        self._cluster = cluster
        self._say = say
        self._force = force
        self._wait_s = wait_s

    async def fetch(self) -> Present:
        """Everything, live."""
        ports = await self._fetch_ports()
        pools, claims = await self._list(KuryrPortPool), await self._list(KuryrPort)
        uids = frozenset(PoolUid(pool.metadata.uid) for pool in pools)
        named = frozenset(interface.port_id for claim in claims for interface in claim.spec.interfaces)
        used = (port for port in ports if port.status == "ACTIVE")
        return Present(
            users=tuple(pod for pod in (await self._client.list_all(Pod)).items if needs_port(pod)),
            claims=claims,
            quarantined=sum(len(pool.status.quarantine) for pool in pools),
            ports=ports,
            foreign=tuple(port for port in used if not is_explained(port, uids, named)),
            definitions=await self._fetch_definitions(),
            nodes=tuple(sorted(node.metadata.name for node in (await self._client.list_all(Machine)).items)),
        )

    async def run(self) -> Present:
        """All steps; what was there before. Raises `Refused` where a person must decide."""
        present = await self.fetch()
        self._refuse(present)
        await self._delete_claims(present)
        await self._wait_for_receipts()
        await self._delete_ports()
        for claim in await self._list(KuryrPort):
            await self._let_go(claim)
        await self._delete_definitions()
        left = await self._fetch_ports()  # what a request of before may have made since
        if left:
            raise Refused(f"Neutron has ports of ours again: {some(port.id for port in left)}: run this again")
        return present

    def _refuse(self, present: Present) -> None:
        if present.foreign:
            raise Refused(
                f"ports with this cluster's mark are used, but not by it: {some(one.id for one in present.foreign)}. "
                "Does another cluster have the same cluster_id? Delete these by hand if none has: nothing was done"
            )
        if present.users and not self._force:
            pods = some(str(pod.key) for pod in present.users)
            raise Refused(
                f"pods need their network: {pods}. Scale them down, or drain the nodes, and run "
                "this again; --force takes their network away. Nothing was done"
            )

    async def _delete_claims(self, present: Present) -> None:
        """Of pods that are gone; by force of all."""
        waiting = [claim for claim in present.claims if not claim.metadata.deleting]
        for claim in waiting:
            meta = claim.metadata
            try:
                await self._client.delete(KuryrPort, meta.name, namespace=meta.namespace, uid=meta.uid)
            except (NotFound, Conflict):
                continue  # gone, or another one by now: seen when we wait
        self._say(f"{len(waiting)} KuryrPorts deleted, {len(present.claims) - len(waiting)} were deleted before")

    async def _wait_for_receipts(self) -> None:
        """Until every node that is not lost has said that nothing uses its ports."""
        deadline = asyncio.get_running_loop().time() + self._wait_s
        while silent := await self._fetch_silent():
            if asyncio.get_running_loop().time() >= deadline:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        else:
            return
        if not self._force:
            raise Refused(
                f"no receipt within {self._wait_s:g} s from {some(silent)}: sandboxes there may still use their "
                "ports. See that kuryr's daemon runs there, or delete the Node if the machine is gone, and run this "
                "again; --force goes on without. No port was deleted"
            )
        self._say(f"without a receipt from {some(silent)}: sandboxes that still run there lose their network")

    async def _fetch_silent(self) -> set[str]:
        """The nodes whose receipts are missing."""
        nodes = {claim.spec.node for claim in await self._list(KuryrPort)}
        nodes |= {pool.spec.node for pool in await self._list(KuryrPortPool) if pool.status.quarantine}
        if not nodes:
            return set()
        machines = {one.metadata.name: one for one in (await self._client.list_all(Machine)).items}
        return {node for node in nodes if not is_lost(machines.get(node))}

    async def _let_go(self, claim: KuryrPort) -> None:
        meta = claim.metadata
        while True:
            try:
                await remove_finalizer(self._client, claim, SANDBOX_FINALIZER)
                return
            except Conflict:
                try:
                    claim = await self._client.get(KuryrPort, meta.name, namespace=meta.namespace)
                except NotFound:
                    return
                if claim.metadata.uid != meta.uid:
                    return

    async def _delete_ports(self) -> None:
        """All with our mark: by the rule of ownership, nothing else."""
        ports = await self._fetch_ports()
        refused: list[str] = []
        for first in range(0, len(ports), _AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for port in ports[first : first + _AT_ONCE]:
                    group.create_task(self._delete_port(port, refused))
        self._say(f"{len(ports) - len(refused)} Neutron ports deleted")
        if refused:
            raise Refused(f"Neutron does not delete {len(refused)}: {refused[0]}. Run this again when it does")

    async def _delete_port(self, port: Port, refused: list[str]) -> None:
        try:
            await self._neutron.delete_port(port.id)
        except errors.OpenStackError as error:
            if not error.is_of_one_thing:
                raise
            refused.append(f"{port.id}: {error}")

    async def _delete_definitions(self) -> None:
        """And with them all objects of our kinds. Returns when they are gone."""
        names = await self._fetch_definitions()
        for name in names:
            try:
                await self._client.delete(Definition, name)
            except NotFound:
                continue
        deadline = asyncio.get_running_loop().time() + self._wait_s
        while left := await self._fetch_definitions():
            if asyncio.get_running_loop().time() >= deadline:
                raise Refused(
                    f"{some(left)} are being deleted, and objects of theirs still have finalizers: see them with "
                    "`kubectl get kuryrports -A -o yaml`, and run this again"
                )
            await asyncio.sleep(_LOOK_EVERY_S)
        self._say(f"{len(names)} definitions deleted, with all objects of their kinds")

    async def _fetch_ports(self) -> tuple[Port, ...]:
        ports = await self._neutron.fetch_ports(device_owner=device_owner(self._cluster))
        return tuple(port for port in ports if parse_device_id(port.device_id) is not None)

    async def _fetch_definitions(self) -> tuple[str, ...]:
        found = {one.metadata.name for one in (await self._client.list_all(Definition)).items}
        names = (f"{kind.resource.plural}.{kind.resource.group}" for kind in KINDS)
        return tuple(name for name in names if name in found)

    async def _list(self, kind: type[T]) -> tuple[T, ...]:
        """None where the kind is not served any more. Raises `Refused` for objects that cannot be read."""
        try:
            page = await self._client.list_all(kind)
        except NotFound:
            return ()
        if page.undecodable:
            broken = page.undecodable[0]
            raise Refused(f"{kind.__name__} {broken.key} cannot be read: {broken.problem}. Delete it by hand")
        return page.items


def some(names: Iterable[str]) -> str:
    """The first few by name, and how many more."""
    every = sorted(names)
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return ", ".join(every[:_NAMED]) + more
