"""A scenario: a controller as it is shipped, what people do meanwhile, and what must hold.

    def copies_are_right(world: World) -> None:
        for shared in world.list(SharedConfig): ...

    async def people(world: World) -> None:
        await world.client.create(SharedConfig(...))

    SHARED_CONFIG = Scenario(
        name="shared-config", controller=run, kinds=(SharedConfig,), steps=(people,), finally_=(copies_are_right,)
    )

Only data: `running` runs it, `exploration` decides which runs are made. It must be a variable of its module, as runs
are made in processes of their own.
"""

import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubeloop.model.base import KubeObject
from kubeloop.simulator.controllers.cluster import CLEANING, Name
from kubeloop.testing.incarnation import Main
from kubeloop.testing.world import World

Step = Callable[[World], Coroutine[Any, Any, None]]
Invariant = Callable[[World], None]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """`controller` is the shipped main, which opens a runtime on the cluster it is given (a `Process` is one); it runs
    in `replicas`. `processes` are others of what is tested, by name: agents on nodes, say. One that is killed, or fails
    as processes may, is started again; if one returns by itself the run has failed. `reliable` are processes to which
    no fault happens, as they are not what is tested.

    The server serves `kinds`, and holds `objects` and those of the `manifests`, YAML files, from the start. The `steps`
    come one after the other, with pauses of 0 to `pause_s` seconds; to shrink a failure some are left out, so a step
    should not need another one where that can be helped. After them no fault happens any more, and all must come to
    rest.

    Invariants assert, and return nothing. `always` is checked after every write to the cluster, and to a back end;
    `finally_` when all is quiet: it must hold at last, and within `settle_s`.

    `cluster` are the cluster's own controllers: by default those that clean up; `EVERYTHING` also runs pods.
    `backend` makes what else there is, a cloud for example; it is `world.backend`.
    """

    name: str
    controller: Main
    steps: tuple[Step, ...]
    kinds: tuple[type[KubeObject], ...] = ()
    objects: tuple[KubeObject, ...] = ()
    manifests: tuple[Path, ...] = ()
    replicas: int = 1
    processes: Mapping[str, Main] = field(default_factory=dict)
    reliable: Mapping[str, Main] = field(default_factory=dict)
    cluster: tuple[Name, ...] = CLEANING
    always: tuple[Invariant, ...] = ()
    finally_: tuple[Invariant, ...] = ()
    backend: Callable[[World], Any] | None = None
    pause_s: float = 4.0
    settle_s: float = 300.0
    module: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not self.module:
            caller = sys._getframe(2)  # whoever calls the constructor, which is generated
            object.__setattr__(self, "module", caller.f_globals.get("__name__", ""))
        for name in ("steps", "always", "finally_", "kinds", "objects"):
            if not isinstance(given := getattr(self, name), list | tuple):
                raise TypeError(f"scenario {self.name!r}: `{name}` is a tuple, not {given!r}: a comma is missing?")
        for invariant in (*self.always, *self.finally_):
            if inspect.iscoroutinefunction(invariant):
                raise TypeError(f"scenario {self.name!r}: the invariant {name_of(invariant)} must not be `async`")


def name_of(function: Callable[..., object]) -> str:
    """How a step or an invariant is called; of a `partial`, what is behind it."""
    while (behind := getattr(function, "func", None)) is not None:
        function = behind
    return getattr(function, "__name__", None) or type(function).__name__
