"""A scenario of the whole system: two controllers, a daemon and a kubelet on each node."""

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from kubeloop.testing import Scenario, World
from kuryr.cli.controller import control
from kuryr.cli.daemon import run_node
from kuryr.model.resources import KINDS

from .invariants import ALWAYS, FINALLY
from .kuryr_world import NODES, Control, KuryrWorld, Main, RunNode, controller_main, daemon_main, kubelet_main

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
    controller = controller_main(control)
    daemons = {f"daemon-{node}": daemon_main(node, run_node) for node in nodes}
    kubelets = {f"kubelet-{node}": kubelet_main(node) for node in nodes}
    mains = {f"{name}-0": controller, f"{name}-1": controller, **daemons, **kubelets}
    return Scenario(
        name=name,
        controller=controller,
        replicas=2,
        processes=daemons,
        reliable=kubelets,
        steps=steps,
        kinds=KINDS,
        always=ALWAYS,
        finally_=FINALLY,
        backend=partial(_backend, mains=mains, nodes=nodes, cidr=cidr),
        pause_s=pause_s,
        settle_s=600.0,
        module=module,
    )


def _backend(world: World, *, mains: Mapping[str, Main], nodes: tuple[str, ...], cidr: str) -> KuryrWorld:
    backend = KuryrWorld(world, mains, cidr=cidr)
    for node in nodes:
        backend.install(node)
    return backend
