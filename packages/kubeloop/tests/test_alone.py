"""kubeloop is of use to anybody: it installs alone and brings nothing of OpenStack."""

import json
import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
PINS = Path(__file__).parents[3] / "requirements" / "dev.txt"


def test_kubeloop_installs_and_its_example_imports_in_an_empty_environment(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=120)
    constraints = tmp_path / "constraints.txt"  # the versions we test with; pip takes no hashes for a folder
    constraints.write_text("\n".join(re.findall(r"^[a-z0-9._-]+==\S+", PINS.read_text(), re.MULTILINE | re.IGNORECASE)))
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", constraints, PACKAGE]
    subprocess.run(install, check=True, timeout=300)

    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        check=True,
        timeout=60,
        capture_output=True,
    )
    names = {one["name"].lower() for one in json.loads(listed.stdout)}
    assert "kubeloop" in names
    assert names.isdisjoint({"kuryr", "keystoneauth1", "openstacksdk", "requests"})
    assert len(names) < 20, f"more than aiohttp, msgspec, prometheus-client, PyYAML and what they need: {names}"

    example = PACKAGE / "examples" / "shared_config.py"
    load = f"import runpy; runpy.run_path({str(example)!r}, run_name='example')"
    subprocess.run([python, "-W", "error", "-c", load], check=True, timeout=60, cwd=tmp_path)
