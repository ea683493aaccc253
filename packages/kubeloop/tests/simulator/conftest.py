"""The real server, where the simulator's parts are held to it; and kubectl, the real one, against both."""

import asyncio
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kubeloop.testing import Assets, ControlPlane, Program

from .kubectl import WIDGETS, Kubectl
from .real_server import RealServer


@pytest.fixture(scope="session")
def kubectl_program(assets: Assets) -> Path:
    """kubectl lies beside kube-apiserver, in envtest's assets as in the lab's."""
    found = assets.kube_apiserver.with_name("kubectl")
    if not found.exists():
        if os.environ.get("CI"):
            raise FileNotFoundError(found)
        pytest.skip(f"there is no {found}")
    return found


@pytest.fixture(scope="session")
def simulator_kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A simulator in which nobody acts by himself, as on the real API server of the tests."""
    with running_simulator(tmp_path_factory.mktemp("simulator"), "--no-controllers") as kubeconfig:
        yield kubeconfig


@contextmanager
def running_simulator(folder: Path, *arguments: object) -> Iterator[Path]:
    """A simulator in a process of its own, as the command line starts it; the kubeconfig."""
    kubeconfig = folder / "kubeconfig"
    program = Program(
        [sys.executable, "-m", "kubeloop.simulator", "--kubeconfig", kubeconfig, *arguments], log=folder / "log"
    )

    async def ready() -> bool:
        return kubeconfig.exists()  # it is written once everything is served

    try:
        asyncio.run(program.wait_ready(ready, timeout_s=20))
        yield kubeconfig
    finally:
        program.kill()


@pytest.fixture(scope="module", params=["kube-apiserver", "simulator"])
def any_kubectl(
    request: pytest.FixtureRequest, kubectl_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Kubectl:
    """On either server, with the widgets' definition."""
    if request.param == "simulator":
        kubeconfig: Path = request.getfixturevalue("simulator_kubeconfig")
    else:
        plane: ControlPlane = request.getfixturevalue("control_plane")
        kubeconfig = plane.kubeconfig
    kubectl = Kubectl(kubectl_program, kubeconfig, home=tmp_path_factory.mktemp("home"))
    kubectl.run("apply", "--server-side", "-f", WIDGETS)
    kubectl.run("wait", "--for=condition=Established", "crd/widgets.kubectl.kubeloop.dev")
    return kubectl


_numbers = itertools.count()


@pytest.fixture
def kubectl(any_kubectl: Kubectl) -> Kubectl:
    """In a namespace of the test's own, which is left behind."""
    found = any_kubectl.inside(f"kubectl-{next(_numbers)}")
    found.run("create", "namespace", found.namespace)
    return found


@pytest.fixture
def simulated_kubectl(kubectl_program: Path, simulator_kubeconfig: Path, tmp_path: Path) -> Kubectl:
    """On the simulator alone, for what it refuses."""
    return Kubectl(kubectl_program, simulator_kubeconfig, home=tmp_path)


@pytest.fixture(scope="module")
def living_kubectl(kubectl_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """On a simulated cluster with two nodes, whose controllers are at work."""
    folder = tmp_path_factory.mktemp("cluster")
    with running_simulator(folder, "--nodes", 2) as kubeconfig:
        yield Kubectl(kubectl_program, kubeconfig, home=folder)


@pytest.fixture(scope="session")
def real(control_plane: ControlPlane) -> Iterator[RealServer]:
    found = RealServer(control_plane)
    yield found
    found.close()
