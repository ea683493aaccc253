"""What is run, and what came of it, as data: they go to worker processes and come back, and a failing plan is kept.

A plan determines its run: the same plan gives the same trace, line by line.
"""

import msgspec

from kubeloop.testing.faults import Fault


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run. The seed decides all that is left to chance: latencies, jitter, ids, and with `chance` the faults.

    Else the faults are given, by the number of the call or that of the effect. `without` are steps that are left out.
    """

    seed: int
    chance: bool = False
    faults: dict[int, Fault] = {}
    effects: dict[int, Fault] = {}
    without: frozenset[int] = frozenset()


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What did not hold: the invariant's name, or what else ended the run; and when, on the virtual clock."""

    invariant: str
    message: str
    at_s: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a plan. `faults` are those that struck, by the number of the call: with them, and without chance,
    the run is the same. The trace is there where the run failed, or it was asked for.
    """

    plan: Plan
    effects: int
    faults: dict[int, Fault]
    digest: str
    virtual_s: float
    cpu_s: float
    failure: Failure | None = None
    trace: tuple[str, ...] = ()
