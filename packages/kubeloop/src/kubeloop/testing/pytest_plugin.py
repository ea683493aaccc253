"""For pytest: the fixture `simulation`, which explores a scenario; its options; and what was run, at the end.

    def test_disks(simulation):
        simulation(DISKS)

Comes with kubeloop, as an entry point. The CPU time for runs by chance is shared by all tests of the session that ask
for the fixture: what one does not need is left to those after it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # a session without scenarios does not pay for the import
    from kubeloop.testing.exploration import Exploration
    from kubeloop.testing.scenario import Scenario
    from kubeloop.testing.workers import Workers

DEFAULT_SECONDS = 20.0


class Simulation:
    """The fixture: call it with a scenario."""

    def __init__(self, session: "_Session", workers: "Workers") -> None:
        self._session = session
        self.workers = workers

    def __call__(self, scenario: "Scenario") -> "Exploration":
        """Explores the scenario. Raises `ScenarioFailed` or `NotDeterministic`, which tell all that one needs."""
        from kubeloop.testing.exploration import explore

        __tracebackhide__ = True
        session = self._session
        found = explore(
            scenario, seconds=session.share(), runs=session.runs, seed=session.first_seed, workers=self.workers
        )
        session.add(found)
        found.check()
        return found


class _Session:
    """What the options say, and what was run."""

    def __init__(self, config: pytest.Config) -> None:
        self.left_s: float = config.getoption("--sim-seconds")
        self.runs: int | None = config.getoption("--sim-runs")
        self.first_seed: int | None = config.getoption("--sim-seed")
        self.tests_left = 0
        self.found: list[Exploration] = []

    def share(self) -> float:
        share = self.left_s / max(self.tests_left, 1)
        self.tests_left -= 1
        return share

    def add(self, found: "Exploration") -> None:
        self.left_s -= found.random_cpu_s
        self.found.append(found)


_SESSION = pytest.StashKey[_Session]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("simulation", "simulated runs of controllers (kubeloop)")
    group.addoption(
        "--sim-seconds",
        type=float,
        default=DEFAULT_SECONDS,
        metavar="SECONDS",
        help="CPU time for runs by chance, of all scenarios together (default: %(default)s)",
    )
    group.addoption("--sim-runs", type=int, metavar="RUNS", help="so many runs by chance of each scenario instead")
    group.addoption("--sim-seed", type=int, metavar="SEED", help="the first seed (default: another one each time)")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SESSION] = _Session(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    asking = [item for item in session.items if "simulation" in getattr(item, "fixturenames", ())]
    session.config.stash[_SESSION].tests_left = len(asking)


@pytest.fixture(scope="session")
def simulation_workers() -> "Iterator[Workers]":
    """The worker processes of this session."""
    from kubeloop.testing.workers import Workers

    with Workers() as workers:
        yield workers


@pytest.fixture
def simulation(request: pytest.FixtureRequest, simulation_workers: "Workers") -> Simulation:
    """Call it with a scenario: `simulation(DISKS)`."""
    return Simulation(request.config.stash[_SESSION], simulation_workers)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash[_SESSION].found
    if found:
        terminalreporter.section("simulated runs")
        for one in found:
            terminalreporter.line(one.summary())
        runs, cpu_s = sum(one.runs for one in found), sum(one.cpu_s for one in found)
        terminalreporter.line(f"{runs} runs in {cpu_s:.0f} s of CPU")
