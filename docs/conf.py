"""The documentation's build: `make docs`. Needs no network; nothing that it writes is committed.

Docstrings are prose with single backticks: each is a reference where it names something of ours, else code. A type in a
public signature must be public too: one of our modules' that the reference does not have is a warning, and so an error;
but for the simulator and the testing package, whose signatures show more of their inside.
"""

import inspect
import re
import sys
from pathlib import Path
from typing import Any, TypeVar

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "packages/kubeloop/src"))

project = "kubeloop"
author = "the kubeloop authors"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = "kubeloop"
html_show_copyright = False

myst_heading_anchors = 3
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [("py:obj", r".*")]  # only the default role asks for it: what is no name of ours is code

autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True


def public_name(app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.Node) -> Any:
    """A type of a signature, by the name under which its package exports it. Names of others are shown as they are."""
    target: str = node.get("reftarget", "")
    if node.get("refdomain") != "py":
        return None
    module, _, name = target.rpartition(".")
    if not module.startswith("kubeloop") and target not in sys.modules["kubeloop"].__all__:
        return content
    if isinstance(getattr(sys.modules.get(module), name, None), TypeVar):
        return content
    for package in ("kubeloop", "kubeloop.simulator", "kubeloop.testing"):
        domain = env.domains.python_domain
        found = domain.find_obj(env, "", "", f"{package}.{name}", None)
        if found:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", f"{package}.{name}", node, content)
    return content if module.startswith(("kubeloop.simulator.", "kubeloop.testing.")) else None


def signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, arguments: str | None, returns: str | None
) -> tuple[str | None, str | None] | None:
    """A protocol is implemented, not made; what `(async)contextmanager` made is for `with`; a default is Python."""
    if what == "class" and getattr(obj, "_is_protocol", False):
        return "", None
    if arguments and "<factory>" in arguments:  # a dataclass's: no Python, so the types would be left as they are
        return arguments.replace("<factory>", "..."), returns
    if what in ("function", "method") and returns and hasattr(obj, "__wrapped__"):
        inner = inspect.unwrap(obj)
        if inspect.isasyncgenfunction(inner):
            return arguments, re.sub(r"^(~?[\w.]*)AsyncIterator\[", "AbstractAsyncContextManager[", returns)
        if inspect.isgeneratorfunction(inner):
            return arguments, re.sub(r"^(~?[\w.]*)Iterator\[", "AbstractContextManager[", returns)
    return None


def plurals(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """A name in backticks may be followed by a letter, as in `ApiError`s; in reStructuredText only escaped."""
    text = re.sub(
        r"`([^`]+)`(\w?)", lambda span: f"`{span[1]}`" + (f"\\ {span[2]}" if span[2] else ""), "\n".join(lines)
    )
    lines[:] = text.split("\n")


def setup(app: Sphinx) -> None:
    app.connect("missing-reference", public_name)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-process-docstring", plurals)
