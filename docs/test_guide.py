"""The guide keeps its promises: each gotcha names a test that is there, and says with code what to do."""

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

import kubeloop
from docs.blocks import ROOT
from kubeloop import testing

GUIDE = ROOT / "docs/guide"
TESTS = ROOT / "packages/kubeloop/tests"
GOTCHAS = ("watching", "writing", "identity", "asyncio", "operating", "testing")

_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


def named_tests(text: str) -> list[tuple[str, str]]:
    return _TEST.findall(text)


def sections(page: str) -> list[tuple[str, str]]:
    """Title and text of each gotcha."""
    _, *found = re.split(r"^### ", (GUIDE / f"{page}.md").read_text(), flags=re.MULTILINE)
    return [(one.partition("\n")[0], re.split(r"^#{1,2} ", one, maxsplit=1, flags=re.MULTILINE)[0]) for one in found]


@lru_cache
def names_in(file: Path, *, classes: bool = False) -> set[str]:
    wanted = ast.ClassDef if classes else ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, wanted)}


@pytest.mark.parametrize("page", sorted(page.name for page in GUIDE.glob("*.md")))
def test_each_test_that_a_page_names_is_there(page: str) -> None:
    for file, name in named_tests((GUIDE / page).read_text()):
        assert (TESTS / file).is_file(), f"{page} names {file}"
        assert name in names_in(TESTS / file), f"{page} names {file}::{name}"


@pytest.mark.parametrize("page", GOTCHAS)
def test_each_gotcha_names_a_test_and_what_to_do(page: str) -> None:
    for title, text in sections(page):
        assert named_tests(text), f"{page}, {title}: no test"
        assert "\nDo: " in text, f"{page}, {title}: nothing to do"


def test_every_fault_of_kuryr_kubernetes_that_a_controller_can_have_is_in_the_guide() -> None:
    rows = re.findall(r"^\| (\d+) \| .* \| (.*) \|$", (GUIDE / "kuryr-kubernetes.md").read_text(), re.MULTILINE)
    assert [int(number) for number, _ in rows] == [*range(1, 13), 31, 32]
    for number, gotchas in rows:
        links = re.findall(r"\[(.+?)\]\((\w+)\.md#.+?\)", gotchas)
        assert links, number
        for title, page in links:
            assert title in dict(sections(page)), f"{number} leads to {title}"


def documented_of(package: str) -> list[str]:
    pages = "".join(page.read_text() for page in (ROOT / "docs/reference").glob("*.md"))
    names: list[str] = re.findall(
        rf"^\.\. auto(?:class|exception|function|data):: {package}(\w+)$", pages, re.MULTILINE
    )
    return sorted(names)


def test_every_planted_bug_has_its_gotcha() -> None:
    planted = names_in(TESTS / "simulation/planted.py", classes=True)
    named = set(re.findall(r"^\| (`.*`) \|", (GUIDE / "testing.md").read_text(), re.MULTILINE))
    assert {name for names in named for name in re.findall(r"`(\w+)`", names)} == planted


def test_the_reference_has_everything_that_is_exported_once() -> None:
    modules = {"errors", "markers", "predicates"}
    errors = {name for name in kubeloop.__all__ if getattr(kubeloop.errors, name, None) is getattr(kubeloop, name)}
    assert documented_of("") == sorted(set(kubeloop.__all__) - modules - errors)
    assert documented_of(r"kubeloop\.testing\.") == sorted(testing.__all__)
