"""One claim for each living pod, none for dead ones. Only sequences the planner's steps."""

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from kubeloop import (
    DONE,
    Change,
    Client,
    Controller,
    Informer,
    Metrics,
    ObjectKey,
    ObjectMeta,
    Pod,
    Result,
    Retry,
    is_true,
)
from kubeloop import (
    errors as kube,
)
from kuryr.model.ownership import PodUid, PortId
from kuryr.model.pods import FINISHED, is_static, sandbox_uid
from kuryr.model.resources import (
    PORT_CONFLICT,
    SANDBOX_FINALIZER,
    Interface,
    KuryrNode,
    KuryrPort,
    KuryrPortPool,
    KuryrPortSpec,
)
from kuryr.openstack.errors import OpenStackError
from kuryr.ports.notices import NO_POOL, PodNotices, reason_of
from kuryr.ports.planner import DeleteClaim, MakeClaim, ReleaseReservations, Step, TellTrouble, WaitForPool, plan_claim
from kuryr.ports.trouble import PortTrouble

NO_POOL_AGAIN_S = 12.0
"""Beyond the notices' patience: until then the pool as a rule is there."""

log = logging.getLogger(__name__)


class PortSource(Protocol):
    """Where ports come from: the pools."""

    async def acquire(self, pool: KuryrPortPool, pod: PodUid) -> Interface:
        """A port of the pool, reserved for the pod until `release`. The same one when asked again."""
        ...

    def release(self, pod: PodUid) -> None:
        """The reservation has served: the claim is recorded and in the store, or will not be."""
        ...

    async def fetch_trouble(self, port: PortId, node: str) -> str:
        """What somebody did to a claimed port in Neutron: one word; empty: nothing, as far as we know."""
        ...


class PortController:
    """Keys are pods by name; a KuryrPort has its pod's name."""

    def __init__(
        self,
        client: Client,
        ports: PortSource,
        *,
        pods: Informer[Pod],
        claims: Informer[KuryrPort],
        nodes: Informer[KuryrNode],
        pools: Informer[KuryrPortPool],
        pool_of: Callable[[str], KuryrPortPool | None],
        notices: PodNotices,
        trouble: PortTrouble,
        workers: int,
        metrics: Metrics | None = None,
    ) -> None:
        """`pool_of` gives the pool that pods of a node get ports of now, from the stores of `nodes` and `pools`."""
        self._client = client
        self._ports = ports
        self._pods = pods
        self._claims = claims
        self._pool_of = pool_of
        self._notices = notices
        self._trouble = trouble
        self._reserved: dict[ObjectKey, set[PodUid]] = {}
        self._waiting: dict[str, set[ObjectKey]] = {}
        self.controller: Controller[ObjectKey] = Controller(
            "ports", self._reconcile, workers=workers, deadline_s=180, metrics=metrics
        )
        self.controller.watches(pods, lambda pod: (pod.key,), predicate=concerns_us)
        self.controller.watches(claims, lambda claim: (claim.key,), predicate=_is_news)
        self.controller.watches(nodes, lambda node: self._waiting_for(node.metadata.name))
        self.controller.watches(pools, lambda pool: self._waiting_for(pool.spec.node))

    def _waiting_for(self, node: str) -> Iterable[ObjectKey]:
        return self._waiting.pop(node, ())

    async def _reconcile(self, key: ObjectKey) -> Result:
        pod = self._pods.store.get(key)
        claim = self._claims.store.get(key)
        trouble = await self._fetch_trouble(pod, claim)
        pool = self._pool_of(pod.spec.node_name) if pod is not None else None
        for step in plan_claim(pod, claim, pool, trouble=trouble):
            await self._apply(key, step)
        if pod is None:
            self._notices.forget(key)
        elif claim is not None and claim.spec.pod_uid == sandbox_uid(pod):
            await self._notices.settle(pod)
        return DONE

    async def _fetch_trouble(self, pod: Pod | None, claim: KuryrPort | None) -> str:
        if pod is None or claim is None or claim.metadata.deleting or claim.spec.pod_uid != sandbox_uid(pod):
            return ""
        try:
            for interface in claim.spec.interfaces:
                if trouble := await self._ports.fetch_trouble(PortId(interface.port_id), claim.spec.node):
                    return trouble
        except OpenStackError as error:
            raise Retry(f"cannot see what became of the pod's port: {error}") from error
        return ""

    async def _apply(self, key: ObjectKey, step: Step) -> None:
        match step:
            case ReleaseReservations(but=but):
                self._release(key, but)
            case DeleteClaim(uid=uid):
                await self._delete(key, uid)
            case WaitForPool(node=node):
                await self._wait_for_pool(key, node)
            case MakeClaim(pod_uid=uid, pool=pool):
                await self._claim(key, uid, pool)
            case TellTrouble(claim=claim, trouble=trouble):
                await self._trouble.tell(claim, self._pods.store.get(key), trouble)

    async def _wait_for_pool(self, key: ObjectKey, node: str) -> None:
        self._waiting.setdefault(node, set()).add(key)
        log.info("pod waits, its node has no pool: pod=%s node=%s", key, node)
        pod = self._pods.store.get(key)
        if pod is not None and not await self._notices.tell(pod, NO_POOL):
            self.controller.enqueue(key, after_s=NO_POOL_AGAIN_S)

    def _release(self, key: ObjectKey, but: PodUid | None) -> None:
        left = self._reserved.get(key, set())
        for uid in [uid for uid in left if uid != but]:
            self._ports.release(uid)
            left.discard(uid)
        if not left:
            self._reserved.pop(key, None)

    async def _delete(self, key: ObjectKey, uid: str) -> None:
        try:
            await self._client.delete(KuryrPort, key.name, namespace=key.namespace, uid=uid)
        except kube.NotFound:
            return  # another one by now is a conflict, as is a server that gives up: looked at again

    async def _claim(self, key: ObjectKey, uid: PodUid, pool: KuryrPortPool) -> None:
        self._reserved.setdefault(key, set()).add(uid)
        try:
            interface = await self._ports.acquire(pool, uid)
        except OpenStackError as error:
            waiting = self._pods.store.get(key)
            if waiting is not None:
                await self._notices.tell(waiting, reason_of(error), str(error))
            raise Retry(f"no port for the pod yet: {error}") from error
        pod = self._pods.store.get(key)
        if pod is None or pod.metadata.deleting or sandbox_uid(pod) != uid:
            return  # it went while its port was made: its event brings the key again, and the port is free
        try:
            await self._client.create(_claim_of(pod, uid, pool, interface))
        except kube.AlreadyExists:
            return  # an older pod's of the same name, or ours after a lost answer: its event brings the key again
        except (kube.Forbidden, kube.NotFound) as error:
            if isinstance(error, kube.Forbidden) and not error.namespace_terminating:
                raise
            self._release(key, None)  # the namespace is going, and the pod with it


def _claim_of(pod: Pod, uid: PodUid, pool: KuryrPortPool, interface: Interface) -> KuryrPort:
    # a mirror may be deleted and made anew while its pod runs on: it must not take the claim with it
    owners = () if is_static(pod) else (pod.owner_reference(),)
    return KuryrPort(
        metadata=ObjectMeta(
            name=pod.metadata.name,
            namespace=pod.metadata.namespace,
            finalizers=(SANDBOX_FINALIZER,),
            owner_references=owners,
        ),
        spec=KuryrPortSpec(
            pod_uid=uid,
            node=pod.spec.node_name,
            node_uid=pool.spec.node_uid,
            pool=pool.metadata.name,
            interfaces=(interface,),
        ),
    )


def concerns_us(change: Change[Pod]) -> bool:
    """Most changes of a pod are of its status and do not matter here."""
    if change.old is None or change.new is None:
        return True
    return _facts(change.old) != _facts(change.new)


def _facts(pod: Pod) -> tuple[object, ...]:
    return pod.metadata.uid, pod.spec.node_name, pod.metadata.deleting, pod.status.phase in FINISHED


def _is_news(change: Change[KuryrPort]) -> bool:
    """A claim that came, goes or is gone, or is refused by its node; not the rest of the node's status."""
    if change.old is None or change.new is None:
        return True
    return _state(change.old) != _state(change.new)


def _state(claim: KuryrPort) -> tuple[bool, bool]:
    return claim.metadata.deleting, is_true(claim.status.conditions, PORT_CONFLICT)
