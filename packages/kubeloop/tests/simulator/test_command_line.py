"""`python -m kubeloop.simulator`, as a process: what it begins with, whom it runs, and that it leaves nothing."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: first}
data: {x: "1"}
---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Namespace, metadata: {name: team}}
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: second, namespace: team}}
"""
SCRIPT = """
import asyncio, sys
import kubeloop as k

async def main():
    async with k.connect(k.load_config(), user_agent="test/1") as client:
        nodes = await client.list(k.Node)
        maps = await client.list(k.ConfigMap)
        print(len(nodes.items), sorted(one.metadata.name for one in maps.items), *sys.argv[1:])

asyncio.run(main())
sys.exit(3)
"""


def argv(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "kubeloop.simulator", *map(str, arguments)]


def run(*arguments: object, home: Path) -> "subprocess.CompletedProcess[str]":
    """Runs it to its end; temporary files are made in `home`."""
    environ = {**os.environ, "TMPDIR": str(home)}
    return subprocess.run(argv(*arguments), env=environ, capture_output=True, text=True, timeout=30, check=False)


@contextmanager
def started(*arguments: object, home: Path) -> Iterator["subprocess.Popen[str]"]:
    environ = {**os.environ, "TMPDIR": str(home)}
    with subprocess.Popen(argv(*arguments), env=environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_with(process: "subprocess.Popen[str]", text: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"it has ended without saying {text}")


def test_a_program_is_run_on_what_was_applied_and_its_status_is_passed_on(tmp_path: Path) -> None:
    manifest, script = tmp_path / "objects.yaml", tmp_path / "script.py"
    manifest.write_text(MANIFEST)
    script.write_text(SCRIPT)
    done = run("--nodes", 2, "--apply", manifest, "--run", script, "--flag", "value", home=tmp_path)
    assert done.stdout == "2 ['first', 'second'] --flag value\n"
    assert (done.returncode, done.stderr) == (3, "")


def test_the_kubeconfig_is_its_owners_alone_and_gone_at_the_end(tmp_path: Path) -> None:
    with started(home=tmp_path) as process:
        kubeconfig = Path(line_with(process, "KUBECONFIG=").strip().partition("=")[2])
        assert stat.S_IMODE(kubeconfig.stat().st_mode) == 0o600
        assert stat.S_IMODE(kubeconfig.parent.stat().st_mode) == 0o700
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert not kubeconfig.parent.exists()


def test_the_program_ends_with_the_simulator(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import os, time\nprint('pid', os.getpid(), flush=True)\ntime.sleep(600)\n")
    with started("--run", script, home=tmp_path) as process:
        pid = int(line_with(process, "pid").split()[1])
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("{kind: Nonsense, apiVersion: example.dev/v1, metadata: {name: a}}", "is its definition missing"),
        (
            "{kind: ConfigMap, apiVersion: v1, metadata: {name: a, namespace: nowhere}}",
            'namespaces "nowhere" not found',
        ),
        ("{kind: ConfigMap, apiVersion: v1, metadata: {}}", "it has no name"),
        ("just text", "a document that is no object"),
        ("a: [", "objects.yaml"),
    ],
)
def test_a_manifest_that_cannot_be_applied_is_named_and_nothing_is_run(
    tmp_path: Path, manifest: str, said: str
) -> None:
    path = tmp_path / "objects.yaml"
    path.write_text(manifest)
    done = run("--apply", path, "--run", tmp_path / "missing.py", home=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_that_cannot_be_served_on_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("--port", taken.getsockname()[1], home=tmp_path)
    assert (done.returncode, "cannot listen on 127.0.0.1" in done.stderr) == (1, True)
    done = run("--host", "0.0.0.0", home=tmp_path)
    assert (done.returncode, "is not loopback" in done.stderr) == (1, True)


def test_what_it_says_tells_how_to_use_it(tmp_path: Path) -> None:
    with started("--port", 0, home=tmp_path) as process:
        assert re.search(r"http://127\.0\.0\.1:\d+ \(plain HTTP, no credentials\)", line_with(process, "listens on"))
