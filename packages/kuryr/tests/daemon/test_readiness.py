"""STATUS: what makes a node unready, and what does not."""

import pytest

from kubeloop.testing import World, simulate
from kuryr.daemon.cni.protocol import CniCode, CniError
from kuryr.daemon.ovn import OvnControllerStatus
from kuryr.daemon.readiness import Readiness
from kuryr.daemon.vswitch import VswitchSystem, VswitchUnavailable

from .fakes import FakeVswitch

CONNECTED = OvnControllerStatus(True, "Connected")


class Switch(FakeVswitch):
    def __init__(self) -> None:
        super().__init__("br-int")
        self.reached = True

    def system(self) -> VswitchSystem:
        if not self.reached:
            raise VswitchUnavailable("OVSDB has not been reached yet")
        return super().system()


class Ovn:
    """Answers these, one after another, the last again and again."""

    def __init__(self, *statuses: OvnControllerStatus) -> None:
        self.statuses = list(statuses)
        self.asked = 0

    async def fetch_status(self) -> OvnControllerStatus:
        self.asked += 1
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


def checked(vswitch: Switch, ovn: Ovn) -> tuple[CniCode | None, float]:
    """The code it fails with, and after how many seconds."""
    outcome: list[tuple[CniCode | None, float]] = []

    async def scenario(world: World) -> None:
        try:
            await Readiness(vswitch, ovn).check()
        except CniError as error:
            outcome.append((error.code, world.now))
        else:
            outcome.append((None, world.now))

    simulate(scenario, seed=1)
    return outcome[0]


def test_a_node_whose_parts_are_there_is_ready_at_once() -> None:
    assert checked(Switch(), Ovn(CONNECTED)) == (None, 0.0)


def test_an_ovsdb_that_was_never_reached_makes_it_unready() -> None:
    vswitch = Switch()
    vswitch.reached = False
    assert checked(vswitch, Ovn(CONNECTED))[0] is CniCode.NOT_AVAILABLE


def test_an_ovsdb_that_went_makes_it_unready() -> None:
    vswitch = Switch()
    vswitch.connected = False
    assert checked(vswitch, Ovn(CONNECTED))[0] is CniCode.NOT_AVAILABLE


def test_a_missing_bridge_makes_it_unready() -> None:
    vswitch = Switch()
    vswitch.bridges.clear()
    assert checked(vswitch, Ovn(CONNECTED))[0] is CniCode.NOT_AVAILABLE


@pytest.mark.parametrize("reason", ["NotRunning", "Disconnected", "NoAnswer"])
def test_an_ovn_controller_that_is_not_there_or_not_connected_makes_it_unready(reason: str) -> None:
    code, after_s = checked(Switch(), Ovn(OvnControllerStatus(False, reason, "x")))
    assert code is CniCode.LIMITED_CONNECTIVITY
    assert 5 < after_s < 25, "kubelet waits 30 s for its runtime"


def test_an_ovn_controller_that_cannot_be_seen_does_not() -> None:
    assert checked(Switch(), Ovn(OvnControllerStatus(None, "NotVisible", "x")))[0] is None


def test_a_part_that_is_started_again_does_not() -> None:
    ovn = Ovn(*[OvnControllerStatus(False, "NotRunning", "x")] * 6, CONNECTED)
    code, after_s = checked(Switch(), ovn)
    assert code is None
    assert after_s < 5
