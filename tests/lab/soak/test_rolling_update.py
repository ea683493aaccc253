"""Both daemons and both controllers are replaced one after the other while pods come and go: no sandbox of a running
pod is made again, and no pod fails.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kuryr.lab.demo import eventually
from kuryr.lab.kuryr_processes import CONTROLLERS, daemon_name
from kuryr.lab.lab import Lab
from kuryr.lab.layout import LabError
from kuryr.lab.snapshots import find_disagreements

from ..conftest import Pods
from .witness import identities, untouched

pytestmark = pytest.mark.lab


class Churn:
    """Pods that come and go, a few at a time; each lives until it was Ready."""

    def __init__(self, pods: Pods, at_once: int) -> None:
        self._pods = pods
        self._at_once = at_once
        self._end = threading.Event()
        self.made = 0
        self.problems: list[str] = []

    @contextmanager
    def going_on(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            names = [f"passing-{self.made + number}" for number in range(self._at_once)]
            self.made += len(names)
            try:
                self._pods.create(*names)
                self._pods.wait_ready(*names, timeout_s=90)
                self.problems += self._pods.failed()
                self._pods.delete(*names)
            except LabError as error:
                self.problems.append(str(error))
                return


def roll(lab: Lab) -> None:
    """As `kubectl rollout` does it: one at a time, the next when the one before is ready."""
    for node in lab.layout.nodes:
        lab.processes.stop(daemon_name(node))
        lab.kuryr.start_daemon(node)
        eventually(
            lambda node=node: lab.kuryr.daemon_is_ready(node), timeout_s=60, what=lambda: "a daemon is not ready"
        )
    for name in CONTROLLERS:
        lab.processes.stop(name)
        lab.kuryr.start_controller(name)
        eventually(lambda: bool(lab.kuryr.leader()), timeout_s=60, what=lambda: "nobody leads")


def test_a_rolling_update_under_churn_rebuilds_no_sandbox_and_fails_no_pod(
    lab: Lab, pods: Pods, tmp_path: Path, full: bool
) -> None:
    standing = tuple(f"standing-{number}" for number in range(40 if full else 6))
    pods.create(*standing)
    pods.wait_ready(*standing, timeout_s=240)
    churn = Churn(pods, at_once=8 if full else 3)
    with untouched(lab, pods, tmp_path):
        before = identities(lab, standing)
        with churn.going_on():
            for _ in range(5 if full else 1):
                made = churn.made
                roll(lab)
                eventually(lambda made=made: churn.made > made, timeout_s=120, what=lambda: "no pod comes any more")
        assert churn.problems == []
        assert churn.made > 0
        assert identities(lab, standing) == before
        assert pods.failed() == []
        eventually(
            lambda: not find_disagreements(lab.layout),
            timeout_s=120,
            what=lambda: "\n".join(find_disagreements(lab.layout)),
        )
