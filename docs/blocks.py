"""How each code block of the documentation is tested: by its language, and none is passed over.

| language | what is done |
|---|---|
| `python` | run, all of a document in one module and one event loop, the guide's on virtual time; `await` is allowed |
| `python` that calls `asyncio.run` | a program: run on the simulator until it has printed something, then stopped |
| `output` | what the Python block before it printed |
| `console` | each `$ command` is run, in the document's folder; what follows it is its output |
| `sh` | what the reader runs: each is a command that is known here, and its targets, files and options are there |
| `yaml` | parsed: objects, each with kind and name |
| `text`, none | prose |

A block whose first line is a comment with a file's name, `# site.py`, is also written to that file, in the document's
folder.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import tomllib
import types
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml
from sybil import Document, Example, Region
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from kubeloop.simulator import __main__ as simulator
from kubeloop.testing.virtual_time import VirtualTimeLoop

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "packages/kubeloop/src"
EXAMPLES = ROOT / "packages/kubeloop/examples"
DEADLINE_S = 120

_FILE = re.compile(r"# (?P<name>[\w-]+\.\w+)\n")


class Page:
    """What the blocks of one document share."""

    def __init__(self, document: Document) -> None:
        self.module = types.ModuleType(f"docs_{Path(document.path).stem.replace('-', '_')}")
        sys.modules[self.module.__name__] = self.module  # where annotations are looked up
        self.folder = tempfile.TemporaryDirectory(prefix="kubeloop-docs-")
        sys.path[:0] = [self.folder.name, str(EXAMPLES)]  # what is in them can be imported
        self.simulated = Path(document.path).is_relative_to(ROOT / "docs/guide")
        self.runner = asyncio.Runner(loop_factory=VirtualTimeLoop if self.simulated else None)
        self.printed = ""

    def close(self) -> None:
        self.runner.close()
        self.folder.cleanup()
        del sys.modules[self.module.__name__]
        sys.path[:] = [path for path in sys.path if path not in (self.folder.name, str(EXAMPLES))]


def blocks(document: Document) -> Iterable[Region]:
    """A sybil parser: every fenced block but MyST's directives."""
    lexer = RawFencedCodeBlockLexer(re.compile(r"(?P<language>[\w+-]*)[ \t]*\n"))
    for region in lexer(document):
        region.parsed = region.lexemes["source"]
        region.evaluator = _EVALUATORS.get(region.lexemes["language"], _unknown)
        yield region


def close(namespace: dict[str, object]) -> None:
    """A sybil teardown."""
    page = namespace.pop("page", None)
    if isinstance(page, Page):
        page.close()


def same(expected: str, actual: str) -> bool:
    """Whether the output is what was expected: a line `...` is any number of lines, `...` within a line anything."""
    lines = (
        r"(?s:.*?\n)??" if line.strip() == "..." else ".*".join(map(re.escape, line.split("..."))) + r"\s*?\n"
        for line in expected.strip().splitlines()
    )
    return re.fullmatch("".join(lines), actual.strip() + "\n") is not None


def _page(example: Example) -> Page:
    page = example.namespace.setdefault("page", None) or Page(example.document)
    example.namespace["page"] = page
    named = _FILE.match(example.parsed)
    if named:
        (Path(page.folder.name) / named["name"]).write_text(example.parsed)
    return page


def _python(example: Example) -> None:
    page = _page(example)
    if re.search(r"^ *asyncio\.run\(", example.parsed, re.MULTILINE):
        _program(example, page)
        return
    source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
    code = compile(source, example.path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        result = eval(code, page.module.__dict__)
        if inspect.iscoroutine(result):
            page.runner.run(asyncio.wait_for(result, None if page.simulated else DEADLINE_S))
    page.printed = printed.getvalue()


def _program(example: Example, page: Page) -> None:
    file = Path(page.folder.name) / "program.py"
    file.write_text(example.parsed)
    command = [sys.executable, "-m", "kubeloop.simulator", "--run", str(file)]
    with subprocess.Popen(command, env=_environment(page), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        watchdog = threading.Timer(DEADLINE_S, process.kill)
        watchdog.start()
        page.printed = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        page.printed += process.stdout.read()
        watchdog.cancel()
    assert page.printed, "it printed nothing"
    assert process.returncode == 0, page.printed


def _output(example: Example) -> None:
    page = _page(example)
    assert same(example.parsed, page.printed), f"printed was:\n{page.printed}"


def _console(example: Example) -> None:
    page = _page(example)
    assert example.parsed.startswith("$ "), "a console block begins with `$ ` and a command"
    for step in re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)[1:]:
        command, _, expected = step.replace("\\\n", "").partition("\n")
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=page.folder.name,
            env=_environment(page),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        assert same(expected, done.stdout), f"$ {command}\n{done.stdout}"


def _environment(page: Page) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{SOURCES}:{EXAMPLES}",
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": page.folder.name,
        "PYTEST_ADDOPTS": "-p kubeloop.testing.pytest_plugin -p no:asyncio -p no:cacheprovider",
    }


def _sh(example: Example) -> None:
    subprocess.run(["bash", "-n"], input=example.parsed, text=True, check=True)
    for line in example.parsed.replace("\\\n", " ").splitlines():
        program, *arguments = shlex.split(line, comments=True) or [""]
        check = _COMMANDS.get(program)
        assert check is not None, f"nobody knows how to check `{line}`: see docs/blocks.py"
        check(arguments)


def _is_target(arguments: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    wrong = [one for one in arguments if "=" not in one and one not in targets]
    assert not wrong, f"no targets of the Makefile: {wrong}"


def _are_files(arguments: list[str]) -> None:
    for one in arguments:
        file = one.partition("::")[0]
        assert not file.endswith((".py", ".yaml", "/")) or (ROOT / file).exists(), f"there is no {file}"


def _is_installed(arguments: list[str]) -> None:
    """Packages of ours alone, with extras that they have."""
    assert arguments[0] == "install"
    for one in arguments[1:]:
        folder, _, extras = one.rstrip("]").partition("[")
        project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
        assert set(filter(None, extras.split(","))) <= project["optional-dependencies"].keys(), one


def _is_program(arguments: list[str]) -> None:
    _are_files(arguments)
    if arguments[:2] == ["-m", "kubeloop.simulator"]:
        simulator._parser().parse_args(arguments[2:])


def _yaml(example: Example) -> None:
    _page(example)
    for one in yaml.safe_load_all(example.parsed):
        assert one["kind"], one
        assert one["metadata"]["name"], one


def _prose(example: Example) -> None:
    """Nothing to test."""


def _unknown(example: Example) -> None:
    raise AssertionError(
        f"nobody knows how to test a block of {example.region.lexemes['language']!r}: see docs/blocks.py"
    )


_COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "": lambda _: None,
    "make": _is_target,
    "python": _is_program,
    "pip": _is_installed,
    **dict.fromkeys(("kubectl", "pytest", ".venv/bin/pytest"), _are_files),
    **dict.fromkeys(("cd", "export", "ls", "mkdir"), lambda _: None),
}

_EVALUATORS: dict[str, Callable[[Example], None]] = {
    "python": _python,
    "output": _output,
    "console": _console,
    "sh": _sh,
    "yaml": _yaml,
    "text": _prose,
    "": _prose,
}
