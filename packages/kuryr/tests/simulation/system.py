"""A scenario of the whole system: two controllers, a daemon and a kubelet on each node."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from kubeloop.testing import Scenario, World
from kuryr.cli.controller import control
from kuryr.cli.daemon import run_node
from kuryr.model.resources import KINDS

from .invariants import ALWAYS, FINALLY
from .kuryr_world import NODES, Control, KuryrWorld, RunNode, controller_main, daemon_main, kubelet_main

Step = Callable[[World], Coroutine[Any, Any, None]]


def system(
    name: str,
    *steps: Step,
    nodes: tuple[str, ...] = NODES,
    cidr: str = "10.20.0.0/24",
    pause_s: float = 2.0,
    module: str,
    control: Control = control,
    run_node: RunNode = run_node,
) -> Scenario:
    """`control` and `run_node` are the shipped ones, or with a bug that was planted."""
    return Scenario(
        name=name,
        controller=controller_main(control),
        replicas=2,
        processes={f"daemon-{node}": daemon_main(node, run_node) for node in nodes},
        reliable={f"kubelet-{node}": kubelet_main(node) for node in nodes},
        steps=steps,
        kinds=KINDS,
        always=ALWAYS,
        finally_=FINALLY,
        backend=partial(_backend, nodes=nodes, cidr=cidr),
        pause_s=pause_s,
        settle_s=600.0,
        module=module,
    )


def _backend(world: World, *, nodes: tuple[str, ...], cidr: str) -> KuryrWorld:
    backend = KuryrWorld(world, cidr=cidr)
    for node in nodes:
        backend.install(node)
    return backend
