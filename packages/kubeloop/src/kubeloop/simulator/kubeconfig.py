"""The kubeconfig by which programs find a simulated server; gone when the server is."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

_NAME = "simulated"


@contextmanager
def written_kubeconfig(url: str, path: Path | None = None) -> Iterator[Path]:
    """Its path, for the owner alone (0600); in a folder of its own unless `path` says where. Removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="kubeloop-simulator-")) if path is None else None
    written = path if folder is None else folder / "kubeconfig"
    assert written is not None
    half = written.with_name(f".{written.name}.{os.getpid()}")  # whoever waits for it finds it whole
    try:
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            yaml.safe_dump(_content(url), file)
        half.replace(written)
        yield written
    finally:
        half.unlink(missing_ok=True)
        written.unlink(missing_ok=True)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _content(url: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _NAME, "cluster": {"server": url}}],
        "users": [{"name": _NAME, "user": {}}],
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME}}],
        "current-context": _NAME,
    }
