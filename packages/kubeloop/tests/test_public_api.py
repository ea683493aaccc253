"""What `import kubeloop` promises."""

import ast
import inspect
import re
from pathlib import Path

import kubeloop


def test_every_exported_name_is_there_and_listed_once() -> None:
    assert len(set(kubeloop.__all__)) == len(kubeloop.__all__)
    assert [name for name in kubeloop.__all__ if not hasattr(kubeloop, name)] == []


def test_every_exported_name_and_its_public_methods_are_documented() -> None:
    missing = []
    for name in kubeloop.__all__:
        exported = getattr(kubeloop, name)
        if not (inspect.isclass(exported) or inspect.isroutine(exported)):
            continue  # a constant or an alias: its module says what it is
        if not (exported.__dict__.get("__doc__") if inspect.isclass(exported) else exported.__doc__):
            missing.append(name)
        if inspect.isclass(exported) and exported.__module__.startswith("kubeloop"):
            missing += [
                f"{name}.{method}"
                for method, function in vars(exported).items()
                if not method.startswith("_") and inspect.isfunction(function) and not function.__doc__
            ]
    assert missing == []


def test_the_readme_uses_only_what_is_exported() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    programs = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert programs
    for program in programs:
        compile(program, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        assert [name for name in re.findall(r"\bk\.(\w+)", program) if name not in kubeloop.__all__] == []
