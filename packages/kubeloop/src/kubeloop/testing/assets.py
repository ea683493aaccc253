"""Where the programs of a control plane are on this machine.

Looked for in $KUBEBUILDER_ASSETS (what `setup-envtest` prints), then on PATH, then in the folders that the caller adds:
so whoever has tests with controller-runtime's envtest needs nothing new. Nothing is downloaded.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


class MissingAssets(Exception):
    """A program of the control plane is not on this machine. The message says which, and how to get it."""


@dataclass(frozen=True, slots=True)
class Assets:
    """The programs. `kube_controller_manager` is None where there is none; it is needed only when asked for."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path | None = None


def find_assets(extra: Iterable[Path] = (), *, environ: Mapping[str, str] = os.environ) -> Assets:
    """The programs of this machine; `extra` folders are looked into last. Raises `MissingAssets`."""
    named = environ.get("KUBEBUILDER_ASSETS", "")
    folders = [named] if named else []
    folders += [*environ.get("PATH", os.defpath).split(os.pathsep), *map(str, extra)]
    found = {
        name: Path(path).absolute()
        for name in ("etcd", "kube-apiserver", "kube-controller-manager")
        if (path := shutil.which(name, path=os.pathsep.join(folders)))
    }
    missing = [name for name in ("etcd", "kube-apiserver") if name not in found]
    if missing:
        where = ", ".join([named or "$KUBEBUILDER_ASSETS (not set)", "$PATH", *map(str, extra)])
        raise MissingAssets(
            f"{' and '.join(missing)} not found in {where}: `setup-envtest use` of controller-runtime fetches them "
            "and prints the folder for KUBEBUILDER_ASSETS"
        )
    return Assets(found["etcd"], found["kube-apiserver"], found.get("kube-controller-manager"))
