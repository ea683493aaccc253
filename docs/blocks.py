"""How each code block of the documentation is tested: by its language, and none is passed over.

| language | what is done |
|---|---|
| `python` | run, all of a document in one module and one event loop, the guide's on virtual time; `await` is allowed |
| `python` that calls `asyncio.run` | a program: run on the simulator until it has printed something, then stopped |
| `output` | what the Python block before it printed |
| `console` | each `$ command` is run, in the document's folder; what follows it is its output |
| `sh` | commands for a machine of the reader's: the syntax, and that targets and files which they name are there |
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
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml
from sybil import Document, Example, Region
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from kubeloop.testing.virtual_time import VirtualTimeLoop

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "packages/kubeloop/src"
DEADLINE_S = 30

_FILE = re.compile(r"# (?P<name>[\w-]+\.\w+)\n")


class Page:
    """What the blocks of one document share."""

    def __init__(self, document: Document) -> None:
        self.module = types.ModuleType(f"docs_{Path(document.path).stem.replace('-', '_')}")
        sys.modules[self.module.__name__] = self.module  # where annotations are looked up
        self.folder = tempfile.TemporaryDirectory(prefix="kubeloop-docs-")
        simulated = Path(document.path).is_relative_to(ROOT / "docs/guide")
        self.runner = asyncio.Runner(loop_factory=VirtualTimeLoop if simulated else None)
        self.printed = ""

    def close(self) -> None:
        self.runner.close()
        self.folder.cleanup()
        del sys.modules[self.module.__name__]


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
            page.runner.run(asyncio.wait_for(result, DEADLINE_S))
    page.printed = printed.getvalue()


def _program(example: Example, page: Page) -> None:
    file = Path(page.folder.name) / "program.py"
    file.write_text(example.parsed)
    compile(example.parsed, str(file), "exec")


def _output(example: Example) -> None:
    page = _page(example)
    assert same(example.parsed, page.printed), f"printed was:\n{page.printed}"


def _console(example: Example) -> None:
    page = _page(example)
    assert example.parsed.startswith("$ "), "a console block begins with `$ ` and a command"
    for step in re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)[1:]:
        command, _, expected = step.replace("\\\n", "").partition("\n")
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(SOURCES),
            "EXAMPLES": str(ROOT / "packages/kubeloop/examples"),
        }
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=page.folder.name,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        assert same(expected, done.stdout), f"$ {command}\n{done.stdout}"


def _sh(example: Example) -> None:
    subprocess.run(["bash", "-n"], input=example.parsed, text=True, check=True)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)", example.parsed, re.MULTILINE))
    assert named <= targets, f"no targets of the Makefile: {named - targets}"
    files = re.findall(r"(?<![\w/])((?:packages|docs|examples)/[\w./-]+)", example.parsed)
    for file in files:
        assert (ROOT / file).exists() or (ROOT / "packages/kubeloop" / file).exists(), f"there is no {file}"


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


_EVALUATORS: dict[str, Callable[[Example], None]] = {
    "python": _python,
    "output": _output,
    "console": _console,
    "sh": _sh,
    "yaml": _yaml,
    "text": _prose,
    "": _prose,
}
