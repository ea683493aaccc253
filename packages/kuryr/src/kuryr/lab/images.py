"""Images without a registry: OCI archives made from the machine's own binaries, imported into each node's containerd.

One for pods (agnhost, with a shell, ip, ping and curl and the libraries they need), one for sandboxes (agnhost's
pause). Written deterministically, so the same content has the same digest.
https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

import hashlib
import io
import json
import re
import shutil
import tarfile
from pathlib import Path

from kuryr.lab.layout import PAUSE_IMAGE, POD_IMAGE, LabError, Layout
from kuryr.lab.processes import run

TOOLS = ("sh", "ip", "ping", "curl", "cat", "ls", "sleep", "env", "hostname")


def build_images(layout: Layout) -> list[Path]:
    """The archives, made when they are not in the cache."""
    folder = layout.cache / "images"
    folder.mkdir(parents=True, exist_ok=True)
    agnhost = layout.kube_bin / "agnhost"
    pods, pause = folder / "pods.tar", folder / "pause.tar"
    if not pause.exists():
        _write(pause, PAUSE_IMAGE, {"agnhost": agnhost}, ["/agnhost", "pause"])
    if not pods.exists():
        files: dict[str, Path] = {"agnhost": agnhost}
        for tool in TOOLS:
            path = shutil.which(tool)
            if path is None:
                raise LabError(f"{tool} is not installed")
            files[f"bin/{tool}"] = Path(path).resolve()
            files.update(_libraries(Path(path)))
        _write(pods, POD_IMAGE, files, ["/agnhost", "pause"])
    return [pods, pause]


def _libraries(program: Path) -> dict[str, Path]:
    """What ldd(1) names, at the same places."""
    found = re.findall(r"(/\S+) \(0x", run(["ldd", program]))
    return {path.lstrip("/"): Path(path).resolve() for path in found}


def _write(out: Path, reference: str, files: dict[str, Path], entrypoint: list[str]) -> None:
    layer = _layer(files)
    platform = {"architecture": "amd64", "os": "linux"}
    runtime = {"Entrypoint": entrypoint, "Env": ["PATH=/bin:/"], "WorkingDir": "/"}
    config = json.dumps(
        {**platform, "config": runtime, "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]}}
    ).encode()
    vendor = "application/vnd.oci.image"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{vendor}.manifest.v1+json",
            "config": _descriptor(f"{vendor}.config.v1+json", config),
            "layers": [_descriptor(f"{vendor}.layer.v1.tar", layer)],
        }
    ).encode()
    names = {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": reference.rpartition(":")[2]}
    entry = {**_descriptor(f"{vendor}.manifest.v1+json", manifest), "annotations": names, "platform": platform}
    content = {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
        **{f"blobs/sha256/{_digest(blob).partition(':')[2]}": blob for blob in (layer, config, manifest)},
    }
    unfinished = out.with_suffix(".new")
    with tarfile.open(unfinished, "w") as archive:
        for name, blob in content.items():
            _add(archive, name, blob, 0o644)
    unfinished.rename(out)


def _layer(files: dict[str, Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as layer:
        folders = {"tmp", "etc", "proc", "sys", "dev", "run"}
        for name in files:
            folders.update(str(parent) for parent in Path(name).parents if str(parent) != ".")
        for folder in sorted(folders):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            layer.addfile(info)
        for name, path in sorted(files.items()):
            _add(layer, name, path.read_bytes(), 0o755)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    archive.addfile(info, io.BytesIO(content))


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}
