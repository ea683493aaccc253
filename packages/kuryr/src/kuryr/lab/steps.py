"""Steps that need each other, run in parallel where they can. Knows nothing of what the steps do."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from kuryr.lab.layout import LabError


@dataclass(frozen=True, slots=True)
class Step:
    """`start` raises when it cannot do its work; it begins when all steps named in `needs` are done."""

    start: Callable[[], None]
    needs: tuple[str, ...] = ()


def run_steps(steps: Mapping[str, Step], report: Callable[[str, float], None]) -> None:
    """Each step as soon as its needs are done; `report` gets its name and seconds.

    After the first that fails no other begins; those that run already finish. Raises `LabError` with the step's name.
    """
    unknown = {need for step in steps.values() for need in step.needs} - steps.keys()
    if unknown:
        raise LabError(f"no such step: {', '.join(sorted(unknown))}")
    done: set[str] = set()
    began: dict[str, float] = {}
    running: dict[Future[None], str] = {}
    with ThreadPoolExecutor(max_workers=max(1, len(steps))) as pool:
        while len(done) < len(steps):
            for name, step in steps.items():
                if name not in began and done.issuperset(step.needs):
                    began[name] = time.monotonic()
                    running[pool.submit(step.start)] = name
            if not running:
                raise LabError(f"steps need each other: {', '.join(sorted(steps.keys() - done))}")
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                name = running.pop(future)
                if error := future.exception():
                    raise LabError(f"{name}: {error}") from error
                done.add(name)
                report(name, time.monotonic() - began[name])
