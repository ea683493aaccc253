"""What `down` removes after the processes: mounts, network namespaces, wires and cgroups of the lab, and nothing else.

Sound after any crash, because nothing is looked up in what a crash may have left unwritten: containerd keeps the pods'
namespaces as mounts below the lab's own folder, and everything else has a name of the lab's table.
"""

import contextlib
from pathlib import Path

from kuryr.lab.layout import FABRIC, ROOT_VETH, VM, WORLD, Layout
from kuryr.lab.processes import run


def mounts_below(folder: Path, mountinfo: str) -> list[str]:
    """Mount points below the folder, the deepest first; `mountinfo` is text of proc_pid_mountinfo(5)."""
    points = [_unescape(line.split()[4]) for line in mountinfo.splitlines()]
    return sorted((point for point in points if point.startswith(f"{folder}/")), key=lambda one: -one.count("/"))


def _unescape(path: str) -> str:
    """Blanks are written as octal numbers."""
    return path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def remove_mounts(folder: Path) -> None:
    """With the pods' network namespaces, which live as long as a process or a mount holds them."""
    for point in mounts_below(folder, Path("/proc/self/mountinfo").read_text()):
        run(["umount", "-l", point], check=False)


def remove_network(layout: Layout) -> None:
    """The namespaces of the nodes and of what is around them, and the wire in the root namespace."""
    for name in (FABRIC, WORLD, VM, *(node.netns for node in layout.nodes)):
        if Path("/run/netns", name).exists():
            run(["ip", "netns", "del", name], check=False)
    if Path(f"/sys/class/net/{ROOT_VETH}").exists():
        run(["ip", "link", "del", ROOT_VETH], check=False)


def remove_cgroups() -> None:
    """What kubelet and containerd made; a group in which somebody lives cannot be removed and stays."""
    hierarchies = Path("/sys/fs/cgroup")
    for root in (*hierarchies.glob("*/kuryr-lab-*"), *hierarchies.glob("*/k8s.io")):
        for folder in sorted((path for path in root.glob("**/") if path.is_dir()), key=lambda path: -len(path.parts)):
            with contextlib.suppress(OSError):
                folder.rmdir()
