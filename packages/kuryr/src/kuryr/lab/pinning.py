"""`kuryr lab pin`: writes `gomodules/` again after a version in `kubernetes_programs` was changed. For developers; what
it writes is committed, and an installation only reads it.
"""

import re
import shutil
from pathlib import Path

from kuryr.lab.kubernetes_programs import MODULES, GoModule, find_go, module_folder
from kuryr.lab.layout import LabError, Layout
from kuryr.lab.processes import run, run_long, say

_GO = "go 1.26.0"


def pin(layout: Layout) -> None:
    """Needs the Go module proxy. Raises `LabError`."""
    go = find_go(layout)
    for module in MODULES:
        folder = module_folder(module.name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        imports = "\n".join(f'\t_ "{package}"' for package in module.packages.values())
        (folder / "tools.go").write_text(f"//go:build tools\n\npackage tools\n\nimport (\n{imports}\n)\n")
        (folder / "go.mod").write_text(_kubernetes(go, module) if module.name == "kubernetes" else _plain(module))
        run_long([go, "mod", "tidy"], layout.cache / f"pin-{module.name}.log", cwd=folder)
        say(f"{module.name} {module.version}: {folder}")


def _plain(module: GoModule) -> str:
    path = re.split("/cmd/|/plugins/meta/", next(iter(module.packages.values())))[0]
    return f"module tools\n\n{_GO}\n\nrequire {path} v{module.version}\n"


def _kubernetes(go: str, module: GoModule) -> str:
    """k8s.io/kubernetes requires its staging modules as v0.0.0 with local replaces; a dependent needs the published
    versions.
    """
    described = run([go, "mod", "download", "-json", f"k8s.io/kubernetes@v{module.version}"], timeout_s=900)
    found = re.search(r'"GoMod": "([^"]+)"', described)
    if not found:
        raise LabError(f"k8s.io/kubernetes v{module.version} cannot be had from the Go module proxy")
    original = Path(found.group(1)).read_text()
    go_line = re.search(r"^go .*$", original, re.MULTILINE)
    godebug = re.findall(r"^godebug (?!\().*$", original, re.MULTILINE)
    block = re.findall(r"^godebug \(\n(?:.*\n)*?\)$", original, re.MULTILINE)
    staging = re.findall(r"^\s*(\S+) => \./staging", original, re.MULTILINE)
    published = f"v0.{module.version.partition('.')[2]}"
    replaces = "\n".join(f"\t{one} => {one} {published}" for one in staging)
    required = f"require k8s.io/kubernetes v{module.version}"
    parts = ["module tools", go_line.group(0) if go_line else _GO, *godebug, *block, required]
    return "\n\n".join([*parts, f"replace (\n{replaces}\n)", ""])
