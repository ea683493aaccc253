"""The shipped controller and daemon, each with one bug. Every one must be found: see test_planted_bugs.

What is planted is one class in place of the right one, in a copy of the module that wires them together.
"""

import importlib.util
import random
from types import ModuleType
from typing import Any

import msgspec

from kubeloop import DONE, Result, remove_finalizer
from kubeloop.testing import Scenario
from kuryr.cli import controller, daemon
from kuryr.daemon.agent import Agent
from kuryr.daemon.cni.protocol import CniRequest
from kuryr.daemon.receipts import Receipts
from kuryr.daemon.records import SandboxRecord
from kuryr.daemon.wiring import Wiring
from kuryr.model.ownership import PortId
from kuryr.model.resources import SANDBOX_FINALIZER, KuryrPort
from kuryr.nodes.planner import ConfirmLost, Quarantine, RetirePool, Step
from kuryr.nodes.release import ReleaseController
from kuryr.openstack.neutron import Neutron, Port, PortRequest
from kuryr.pools.ledger import PortLedger
from kuryr.pools.source import PoolSource
from kuryr.sweeping.inventory import Inventory

from . import clouds, nodes, pods
from .steps import make, quiet_for
from .system import system

ONE = ("node1",)


def assembled(module: ModuleType, **parts: Any) -> Any:
    """A copy of the module, with these in place of its own."""
    spec = importlib.util.find_spec(module.__name__)
    assert spec is not None
    assert spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    for name, part in parts.items():
        assert hasattr(copy, name)
        setattr(copy, name, part)
    return copy


def in_controller(bug: type[Any], name: str, right: Scenario) -> Scenario:
    """`right`, whose controller has the bug in place of the class of that name."""
    wrong = assembled(controller, **{name: bug})
    return system(bug.__name__, *right.steps, nodes=_nodes(right), control=wrong.control, module=__name__)


def in_daemon(bug: type[Any], name: str, right: Scenario) -> Scenario:
    wrong = assembled(daemon, **{name: bug})
    return system(bug.__name__, *right.steps, nodes=_nodes(right), run_node=wrong.run_node, module=__name__)


def _nodes(scenario: Scenario) -> tuple[str, ...]:
    return tuple(name.removeprefix("kubelet-") for name in scenario.reliable)


class GivesReceiptsWhileAddsRun(Receipts):
    """Only what is wired already counts."""

    async def _release(self, claim: KuryrPort) -> Result:
        if not self._sandboxes(claim, self._wiring.finished()):
            await remove_finalizer(self._client, claim, SANDBOX_FINALIZER)
        return DONE


class GivesReceiptsAtOnce(Receipts):
    """That the claim is being deleted is enough, whatever is wired."""

    async def _release(self, claim: KuryrPort) -> Result:
        self._sandboxes = lambda *_: ()  # type: ignore[method-assign, assignment]
        return await super()._release(claim)


class UnwiresByPod(Agent):
    """A late DEL of an old attempt takes the new one with it."""

    async def delete(self, request: CniRequest) -> None:
        for record in self._wiring.records():
            if record.pod_uid == request.pod.uid and record.container_id != request.container_id:
                await self._wiring.unplug(record.container_id, record.ifname)
        await super().delete(request)


class TakesAwayForNothing(Wiring):
    """What an OVSDB that is away does not show is not wired."""

    @property
    def connected(self) -> bool:
        return True

    def records(self) -> tuple[SandboxRecord, ...]:
        return super().records() if super().connected else ()


class FreesAtTheDeletion(controller._Informers):
    """A claim that is being deleted names nothing any more."""

    def is_claimed(self, port: PortId) -> bool:
        claims = [one for one in self.claims.store.by_index("port", port) if not one.metadata.deleting]
        others = self.pools.store, self.nodes.store
        return bool(claims) or any(store.by_index("port", port) for store in others)


class MakesItsMacsUp(Neutron):
    """A create that is repeated makes a second port."""

    async def create_port(self, port: PortRequest) -> Port:
        mac = f"02:{random.getrandbits(40):010x}"
        mac = ":".join((mac[:2], *(mac[at : at + 2] for at in range(3, 13, 2))))
        return await super().create_port(msgspec.structs.replace(port, mac_address=mac))


class ForgetsClaimsOfBefore(PortLedger):
    """A new leader knows only what it gave out itself."""

    def __init__(self, claimed: Any, *, cool_down_s: float) -> None:
        self._given: set[str] = set()
        super().__init__(lambda port: str(port) in self._given and claimed(port), cool_down_s=cool_down_s)

    def add(self, port: Port) -> None:
        self._given.add(port.id)
        super().add(port)


class LetsGoBeforeItWrites(ReleaseController):
    """The finalizer goes before the quarantine is written."""

    async def _apply(self, step: Step) -> None:
        if isinstance(step, Quarantine):
            ports = {entry.claim_uid for entry in step.entries}
            for claim in self._claims.store.list():
                if claim.metadata.uid in ports:
                    await self._let_go(claim, "too early")
        await super()._apply(step)


class _Nothing:
    class store:  # noqa: N801
        @staticmethod
        def get(_: object) -> None:
            return None


class TakesSilenceForLoss(ReleaseController):
    """Whatever node waits with a receipt is lost."""

    async def _reconcile(self, key: Any) -> Result:
        self._machines = _Nothing()  # type: ignore[assignment]
        return await super()._reconcile(key)

    async def _apply(self, step: Step) -> None:
        if not isinstance(step, ConfirmLost | RetirePool):
            await super()._apply(step)


class StartsWithoutAList(PoolSource):
    """A new leader begins before it knows what Neutron has."""

    async def resync(self) -> set[PortId]:
        return set()


class SweepsWithoutLooking(Inventory):
    """Whatever looks like a port of a pool is ours, whoever's mark it has."""

    def __init__(self, client: Any, neutron: Neutron, cluster: Any, **stores: Any) -> None:
        super().__init__(client, _Unfiltered(neutron), cluster, **stores)


class _Unfiltered(Neutron):
    def __init__(self, right: Neutron) -> None:
        super().__init__(right._api)

    async def fetch_ports(self, **filters: str) -> tuple[Port, ...]:
        filters.pop("device_owner", None)
        return await super().fetch_ports(**filters)


LONG = system("long", make, quiet_for, module=__name__, nodes=ONE)

PLANTED = (
    in_daemon(GivesReceiptsWhileAddsRun, "Receipts", pods.BY_HAND),
    in_daemon(GivesReceiptsAtOnce, "Receipts", pods.FORCED),
    in_daemon(UnwiresByPod, "Agent", pods.LATE_DEL),
    in_daemon(TakesAwayForNothing, "Wiring", clouds.OVSDB),
    in_controller(FreesAtTheDeletion, "_Informers", nodes.SILENT_FORCED),
    in_controller(MakesItsMacsUp, "Neutron", pods.POD),
    in_controller(ForgetsClaimsOfBefore, "PortLedger", nodes.CONTROLLERS),
    in_controller(LetsGoBeforeItWrites, "ReleaseController", nodes.SILENT),
    in_controller(TakesSilenceForLoss, "ReleaseController", pods.FORCED),
    in_controller(StartsWithoutAList, "PoolSource", nodes.CONTROLLERS),
    in_controller(SweepsWithoutLooking, "Inventory", LONG),
)
