"""What the lab needs on the machine: Debian packages, Debian 13's OVS and OVN beside them, OpenStack in a virtual
environment, and what `kubernetes_programs` finds or builds. Each is made once, then reused; what cannot be had is one
clear line. Only one installation runs at a time.
"""

import fcntl
import hashlib
import os
import re
import shutil
import sys
import time
from pathlib import Path

from kuryr.lab.kubernetes_programs import install_kubernetes
from kuryr.lab.layout import LabError, Layout, repository
from kuryr.lab.processes import run, run_long, say

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


def install(layout: Layout) -> None:
    """Everything, in the order that finds a missing thing early."""
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces and starts containers: run it as root")
    layout.cache.mkdir(parents=True, exist_ok=True)
    with (layout.cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
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
    lines = [line for line in pins.read_text().splitlines() if not line.lstrip().startswith("#")]
    stamp = hashlib.sha256("\n".join(lines).encode()).hexdigest()
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
    run_long([*map(str, pip), "-r", str(pins)], layout.cache / "openstack.log")
    done.write_text(stamp)
