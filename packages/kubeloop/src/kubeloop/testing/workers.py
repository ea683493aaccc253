"""Worker processes, which run plans: a hash seed of their own that is always the same, and all cores.

One asks and answers in lines of JSON. A worker is `python -m kubeloop.testing.workers`; it imports the scenario by its
name, so it needs nothing of the process that asks but its import path. What the code under test prints goes to stderr.
"""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import IO, Self

import msgspec

from kubeloop.testing.naming import load_scenario
from kubeloop.testing.plans import Outcome, Plan
from kubeloop.testing.scenario import Scenario

HASH_SEED = "0"


class WorkerFailed(Exception):
    """A worker could not run a plan: the scenario does not import, or the process died. Its stderr says why."""


class _Order(msgspec.Struct, frozen=True):
    target: str
    plan: Plan
    traced: bool


class _Answer(msgspec.Struct, frozen=True):
    outcome: Outcome | None = None
    error: str = ""


class _Worker:
    """One process."""

    def __init__(self) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = {**os.environ, "PYTHONHASHSEED": HASH_SEED, "PYTHONPATH": paths}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kubeloop.testing.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def run(self, order: _Order) -> Outcome:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(msgspec.json.encode(order) + b"\n")
            stdin.flush()
        except BrokenPipeError as error:
            raise WorkerFailed("a worker has died") from error
        line = stdout.readline()
        if not line:
            raise WorkerFailed(f"a worker died ({_told(self._process.wait())}) in {order.target} with {order.plan}")
        answer = msgspec.json.decode(line, type=_Answer)
        if answer.outcome is None:
            raise WorkerFailed(answer.error)
        return answer.outcome

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def _told(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    told = signal.Signals(-status).name
    return f"{told}: out of memory, perhaps" if -status == signal.SIGKILL else told


class Workers:
    """A pool; its processes start with its first use and end with `close`. Use as a context manager."""

    def __init__(self, count: int | None = None) -> None:
        self._count = count or len(os.sched_getaffinity(0))
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends them at once; a run under way is lost."""
        for worker in self._workers:
            worker.close()
        self._workers.clear()

    def run(self, target: str, plan: Plan, *, traced: bool = False) -> Outcome:
        """Runs one plan. Raises `WorkerFailed`."""
        (outcome,) = self.stream(target, (plan,), traced=traced)
        return outcome

    def stream(self, target: str, plans: Iterable[Plan], *, traced: bool = False) -> Iterator[Outcome]:
        """Runs the plans and gives what came of them as they end, in any order; plans are taken when a worker is free,
        and no more once the caller stops asking. Raises `WorkerFailed`.
        """
        for dead in [worker for worker in self._workers if not worker.alive]:
            self._workers.remove(dead)
            dead.close()
        while len(self._workers) < self._count:
            self._workers.append(_Worker())
        feed = _Feed(plans)
        results: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()

        def work(worker: _Worker) -> None:
            try:
                while (plan := feed.next()) is not None:
                    results.put(worker.run(_Order(target, plan, traced)))
            except BaseException as error:  # noqa: BLE001 - raised where the results are read
                results.put(error)
            results.put(None)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in self._workers]
        for thread in threads:
            thread.start()
        try:
            working = len(threads)
            while working:
                result = results.get()
                if result is None:
                    working -= 1
                elif isinstance(result, BaseException):
                    raise result
                else:
                    yield result
        finally:
            feed.close()
            for thread in threads:
                thread.join()


class _Feed:
    """An iterable that several threads take from."""

    def __init__(self, plans: Iterable[Plan]) -> None:
        self._plans = iter(plans)
        self._lock = threading.Lock()
        self._closed = False

    def next(self) -> Plan | None:
        with self._lock:
            return None if self._closed else next(self._plans, None)

    def close(self) -> None:
        self._closed = True


def serve(asked: IO[bytes], answers: IO[bytes]) -> None:
    """What a worker does until nobody asks any more."""
    from kubeloop.testing.running import run_plan

    scenarios: dict[str, Scenario] = {}
    for line in asked:
        order = msgspec.json.decode(line, type=_Order)
        try:
            if order.target not in scenarios:
                scenarios[order.target] = load_scenario(order.target)
            answer = _Answer(run_plan(scenarios[order.target], order.plan, traced=order.traced))
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            answer = _Answer(error=f"{order.target}: {type(error).__name__}: {error}")
        answers.write(msgspec.json.encode(answer) + b"\n")
        answers.flush()


def main() -> None:
    """Answers go to what was stdout; what others print goes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # of a ^C whoever asks tells
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
