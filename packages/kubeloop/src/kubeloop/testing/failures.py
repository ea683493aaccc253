"""What people see of a run that failed: what did not hold, the faults it took, the end of the trace, and the command
that runs it again, exactly.
"""

import os
import tempfile
from itertools import zip_longest
from pathlib import Path

import msgspec

from kubeloop.testing.plans import Outcome, Plan

TAIL = 40

USUAL_CAUSES = (
    "Usual causes: a clock bound at import (`from time import monotonic`), a generator of chance made at import, state",
    "that outlives a run (a module's variable, a cache, a counter), ids or addresses (`id()`, the default `hash()`) in",
    "names or in an order.",
)


class ScenarioFailed(AssertionError):
    """An invariant did not hold, or the run did not come to an end."""


class NotDeterministic(AssertionError):
    """One plan gave two traces."""


def save(target: str, failed: Outcome, shrunk: Outcome) -> str:
    """Writes the plan and the whole trace of the shrunk run to files, and tells of it."""
    assert shrunk.failure is not None
    assert failed.failure is not None
    name = f"{target.rpartition(':')[2]}-{failed.plan.seed}"
    plan, trace = _folder() / f"{name}.json", _folder() / f"{name}.trace"
    plan.write_bytes(msgspec.json.format(msgspec.json.encode(shrunk.plan), indent=2) + b"\n")
    trace.write_text("\n".join([*shrunk.trace, shrunk.failure.message, ""]))
    lines = [
        f"{shrunk.failure.invariant}: {shrunk.failure.message}",
        f"after {shrunk.failure.at_s:.3f} s of scenario {target} with seed {failed.plan.seed}",
        "",
        *_tell_faults(failed, shrunk),
        "",
        f"the end of its trace, without leases; {trace} has all of it:",
        *[line for line in shrunk.trace if "/leases" not in line][-TAIL:],
        "",
        "to run it again:",
        f"  python -m kubeloop.testing.simulate {target} --faults {plan}",
    ]
    if failed.plan.chance:
        lines += ["as it was found:", f"  python -m kubeloop.testing.simulate {target} --seed {failed.plan.seed}"]
    return "\n".join(lines)


def _tell_faults(failed: Outcome, shrunk: Outcome) -> list[str]:
    told = [
        f"{len(shrunk.faults)} of {len(failed.faults)} faults are enough:" if shrunk.faults else "without any fault"
    ]
    told += [f"  call {number}: {fault}" for number, fault in sorted(shrunk.faults.items())]
    if shrunk.plan.without:
        told.append(f"without the steps {sorted(number + 1 for number in shrunk.plan.without)}")
    return told


def tell_difference(target: str, plan: Plan, one: tuple[str, ...], other: tuple[str, ...]) -> str:
    """Where two traces of one plan part, and what is usually the cause."""
    heading = f"two runs of scenario {target} with seed {plan.seed} differ"
    for number, (first, second) in enumerate(zip_longest(one, other, fillvalue="(the end)")):
        if first != second:
            return "\n".join(
                [
                    f"{heading}, first in line {number + 1} of the trace:",
                    *(f"    {line}" for line in one[max(number - 3, 0) : number]),
                    f"  1 {first}",
                    f"  2 {second}",
                    *USUAL_CAUSES,
                ]
            )
    return f"{heading}, but not when they were traced: state that outlives a run (a module's variable, a cache) decides"


def _folder() -> Path:
    """Below `build` where this is a project's folder; else where temporary files are."""
    base = Path("build") if Path("pyproject.toml").exists() else Path(tempfile.gettempdir()) / f"kubeloop-{os.getuid()}"
    folder = base / "simulation"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
