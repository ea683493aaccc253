"""The life of some pods, with one thing going wrong at each of the daemon's effects in turn, or many by chance."""

import asyncio
from random import Random

import pytest

import kubeloop as k
from kubeloop.testing import Fault, FaultKind, ScriptedFaults, SeededFaults
from kuryr.model.resources import KuryrPort
from kuryr.simulator.node.cni import CniFailed

from .node_scenes import Node, netns_of, play


async def add(node: Node, container: str, pod: str, uid: str) -> None:
    """As kubelet: a failed attempt is undone, and made again."""
    while True:
        try:
            await node.call("ADD", container, pod=pod, uid=uid)
        except CniFailed:
            await remove(node, container, pod, uid)
            await asyncio.sleep(1)
        else:
            return


async def remove(node: Node, container: str, pod: str, uid: str) -> None:
    while True:
        try:
            await node.remove(container, pod=pod, uid=uid)
        except CniFailed:
            await asyncio.sleep(1)
        else:
            return


def watch_receipts(node: Node) -> None:
    """No port is given free while a sandbox has it, nor while a daemon could still wire it by its copy."""
    live: dict[str, str] = {}

    def check() -> None:
        there = {one.metadata.uid: one.spec.interfaces[0].port_id for one in node.world.list(KuryrPort)}
        for uid in live.keys() - there.keys():
            port_id = live[uid]
            assert port_id not in node.rows().values(), f"{port_id} was released while it was wired"
            copy = node.machine.disk.content
            assert copy is None or uid.encode() not in copy, f"the copy has the released claim of {port_id}"
        live.clear()
        live.update(there)

    node.world.checks.append(check)


async def scene(node: Node) -> None:
    watch_receipts(node)
    await node.claim("web-0", uid="uid-0", port=1)
    await add(node, "a0", "web-0", "uid-0")
    await node.claim("web-1", uid="uid-1", port=2)
    await asyncio.gather(add(node, "b0", "web-1", "uid-1"), add(node, "a1", "web-0", "uid-0"))
    await remove(node, "a0", "web-0", "uid-0")  # late: a1 has its port
    assert node.addresses("a1") == ["10.1.0.5"]
    await asyncio.sleep(1)
    await node.release("web-1")
    await remove(node, "b0", "web-1", "uid-1")
    await node.gone("web-1")
    await node.claim("web-1", uid="uid-2", port=2)
    await add(node, "b1", "web-1", "uid-2")
    await node.claim("late", uid="uid-3", port=1)
    await node.world.quiet()

    assert node.rows() == {"a1": "port-1", "b1": "port-2"}
    assert len(node.taps()) == 2
    assert {port_id for port_id, _tap in node.machine.chassis.flows.items()} == {"port-1", "port-2"}
    claims = {one.metadata.name: one for one in node.world.list(KuryrPort)}
    assert {name: (one.status.plugged, one.status.sandbox) for name, one in claims.items()} == {
        "web-0": (True, "a1"),
        "web-1": (True, "b1"),
        "late": (False, ""),
    }
    assert [name for name, one in claims.items() if k.is_true(one.status.conditions, "PortConflict")] == ["late"]
    copy = node.machine.disk.content
    assert copy is not None
    assert all(one.metadata.uid.encode() in copy for one in claims.values())
    assert node.machine.namespaces.find(netns_of("a0")) is None


def effects() -> int:
    return max(line.call.effect or 0 for line in play(scene) if line.call is not None)


KINDS = (
    FaultKind.KILL_BEFORE,
    FaultKind.KILL_AFTER,
    FaultKind.FAILED,
    FaultKind.SLOW,
    FaultKind.CONFLICT,
    FaultKind.LATE_EFFECT,
)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_happens_at_one_effect_all_ends_as_it_should(kind: FaultKind) -> None:
    for effect in range(1, effects() + 1):
        play(scene, faults=ScriptedFaults(by_effect={effect: Fault(kind, 3.0)}))


def test_whatever_happens_by_chance_all_ends_as_it_should() -> None:
    for seed in range(1, 21):
        play(scene, faults=SeededFaults(Random(f"{seed}/faults"), until_s=30.0), seed=seed)
