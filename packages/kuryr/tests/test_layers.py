"""kuryr is a user of kubeloop like any other: what it needs is exported, and nothing behind that is touched."""

import ast
from collections.abc import Iterator
from pathlib import Path

import kubeloop
import kuryr

SOURCES = Path(kuryr.__file__).parent
TESTS = Path(__file__).parent
PUBLIC = {"kubeloop", "kubeloop.simulator", "kubeloop.testing"}


def modules_imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def names_imported(source: str) -> Iterator[str]:
    """From kubeloop itself."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "kubeloop":
            yield from (alias.name for alias in node.names)


def behind_the_api(source: str) -> set[str]:
    of_kubeloop = {name for name in modules_imported(source) if name.partition(".")[0] == "kubeloop"}
    private = set(names_imported(source)) - set(kubeloop.__all__) - {"testing"}
    return (of_kubeloop - PUBLIC) | {f"kubeloop.{name}" for name in private}


def test_kuryr_and_its_tests_import_only_what_kubeloop_exports() -> None:
    files = [*SOURCES.rglob("*.py"), *TESTS.rglob("*.py")]
    found = {str(path): behind for path in files if (behind := behind_the_api(path.read_text()))}
    assert len(files) > 50
    assert not found


def test_an_import_behind_the_api_is_found_however_it_is_written() -> None:
    assert behind_the_api("def late():\n    import kubeloop.client.client as c") == {"kubeloop.client.client"}
    assert behind_the_api("from kubeloop.model.base import ObjectKey") == {"kubeloop.model.base"}
    assert behind_the_api("from kubeloop import leader") == {"kubeloop.leader"}
    assert behind_the_api("from kubeloop import Client, errors\nimport kubeloop.testing") == set()


def test_every_package_of_kuryr_has_something_in_it() -> None:
    empty = [
        str(folder.parent)
        for folder in SOURCES.rglob("__init__.py")
        if folder.parent != SOURCES and not any(path.name != "__init__.py" for path in folder.parent.glob("*.py"))
    ]
    assert not empty
