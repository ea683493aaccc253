"""The same kubectl commands on kube-apiserver and on the simulator: word for word the same answers.

Ages, times, UIDs and versions are made alike first. A command that is added is one more thing that is known to be so.
"""

import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kubeloop.testing import ControlPlane

from .kubectl import WIDGETS, Kubectl

TRANSCRIPTS = Path(__file__).with_name("transcripts")
_ALIKE = (
    (r" +", " "),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID"),
    (r'((?i:resource ?version)\\*"?: ?\\*"?)\d+', r"\1N"),
    (r"20\d\d-\d\d-\d\dT[0-9:.]+Z", "TIME"),
    (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w+ .*", "DATE"),
    (r"\b\d+m?\d*s\b", "AGE"),
    (r"\b\d+y\d+d\b", "AGE"),
)


def alike(text: str) -> str:
    for pattern, replacement in _ALIKE:
        text = re.sub(pattern, replacement, text)
    return text


def transcript(kubectl: Kubectl, commands: list[str]) -> list[tuple[str, str]]:
    """Each command, with what was said to it."""
    kubectl.run("create", "namespace", kubectl.namespace)
    kubectl.run("apply", "--server-side", "-f", WIDGETS)
    kubectl.run("wait", "--for=condition=Established", "crd/widgets.kubectl.kubeloop.dev")
    return [(command, alike(kubectl.said(*shlex.split(command), folder=TRANSCRIPTS))) for command in commands]


@pytest.mark.parametrize("name", ["core", "custom", "pods"])
def test_the_same_is_said_to_the_same_commands(
    name: str, control_plane: ControlPlane, simulator_kubeconfig: Path, kubectl_program: Path, tmp_path: Path
) -> None:
    commands = [line for line in (TRANSCRIPTS / f"{name}.txt").read_text().splitlines() if not line.startswith("#")]
    kubectls = [
        Kubectl(kubectl_program, kubeconfig, home=tmp_path / kubeconfig.parent.name, namespace=f"transcript-{name}")
        for kubeconfig in (control_plane.kubeconfig, simulator_kubeconfig)
    ]
    with ThreadPoolExecutor() as pool:
        said = list(pool.map(transcript, kubectls, [commands, commands]))
    different = [
        f"$ kubectl {command}\n-- kube-apiserver\n{real}\n-- simulator\n{simulated}"
        for (command, real), (_, simulated) in zip(*said, strict=True)
        if real != simulated
    ]
    assert not different, "\n\n".join(different)
