"""Runs kubectl as a person does, on one server and in one namespace."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WIDGETS = Path(__file__).with_name("widgets.yaml")
"""The definition of a kind that shows much of what one can say."""


class Refused(AssertionError):
    """kubectl has failed; the message is what it said."""


class Kubectl:
    """`home` holds its caches, so that no run sees another server's."""

    def __init__(self, program: Path, kubeconfig: Path, *, home: Path, namespace: str = "default") -> None:
        self._program = program
        self._kubeconfig = kubeconfig
        self._home = home
        self.namespace = namespace

    def inside(self, namespace: str) -> "Kubectl":
        return Kubectl(self._program, self._kubeconfig, home=self._home, namespace=namespace)

    def run(self, *arguments: object, stdin: object = None) -> str:
        """What it prints. `stdin` is given to it as JSON. Raises `Refused`."""
        done = self._done(*arguments, stdin=stdin)
        if done.returncode:
            raise Refused(done.stderr + done.stdout)
        return done.stdout

    def said(self, *arguments: object, folder: Path) -> str:
        """All that it says, run in `folder`; also when it fails."""
        done = self._done(*arguments, folder=folder)
        return f"{done.stdout}{done.stderr}".rstrip() + f"\nexit status {done.returncode}"

    def refusal(self, *arguments: object, stdin: object = None) -> str:
        """What it says when it fails, as it must."""
        try:
            found = self.run(*arguments, stdin=stdin)
        except Refused as refused:
            return str(refused)
        raise AssertionError(f"kubectl did not fail but said: {found}")

    def lines(self, *arguments: object, stdin: object = None) -> list[list[str]]:
        """The words of each line of what it prints."""
        return [line.split() for line in self.run(*arguments, stdin=stdin).splitlines()]

    def json(self, *arguments: object) -> Any:
        return json.loads(self.run(*arguments, "-o", "json"))

    @contextmanager
    def started(self, *arguments: object) -> Iterator["Running"]:
        """A kubectl that goes on, as `get --watch` and `wait` do; ended at the end."""
        with subprocess.Popen(self._argv(*arguments), env=self._environ, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield Running(process)
            finally:
                process.kill()

    def _done(
        self, *arguments: object, stdin: object = None, folder: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self._argv(*arguments),
            env=self._environ,
            cwd=folder,
            input=None if stdin is None else json.dumps(stdin),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def _environ(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self._home), "KUBECONFIG": str(self._kubeconfig)}

    def _argv(self, *arguments: object) -> list[str]:
        return [str(self._program), "--namespace", self.namespace, *map(str, arguments)]


class Running:
    """A kubectl that has not ended yet."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        assert process.stdout is not None
        self._output = process.stdout

    def line(self) -> list[str]:
        """The words of the next line that it prints."""
        return self._output.readline().split()

    def end(self) -> int:
        """Waits for its exit status."""
        return self._process.wait(timeout=30)
