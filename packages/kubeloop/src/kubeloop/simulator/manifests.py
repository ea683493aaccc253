"""What a simulated cluster begins with: manifests, applied as kubectl would, and nodes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from kubeloop.client.transport import Request, Response
from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.refusals import Body
from kubeloop.simulator.server import ApiServer

_MANAGER = (("fieldManager", "kubeloop-simulator"), ("force", "true"))
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


class ManifestError(Exception):
    """A manifest that cannot be applied. The message names the file, and what is wrong."""


def apply_manifests(server: ApiServer, path: Path) -> None:
    """Applies all objects of a YAML file, in order. Raises `ManifestError`."""
    try:
        documents = list(yaml.safe_load_all(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ManifestError(f"{path}: {error}") from error
    for body in _objects(documents, path):
        named = f"{body['kind']} {body.get('metadata', {}).get('name', '')}"
        try:
            apply(server, body)
        except ManifestError as error:
            raise ManifestError(f"{path}: {named}: {error}") from error


def apply(server: ApiServer, body: Body) -> None:
    """Applies one object; a namespaced one that names no namespace belongs to `default`. Raises `ManifestError`."""
    kind = next(
        (one for one in server.kinds if (one.api_version, one.kind) == (body["apiVersion"], body["kind"])), None
    )
    if kind is None:
        raise ManifestError(f"{body['apiVersion']} {body['kind']} is not served here; is its definition missing?")
    meta = body.get("metadata") or {}
    if not meta.get("name"):
        raise ManifestError("it has no name")
    path = _path(kind, meta.get("namespace") or "default", meta["name"])
    _check(server.handle(Request("PATCH", path, _MANAGER, msgspec.json.encode(body), _APPLY)))


def make_nodes(server: ApiServer, count: int) -> None:
    """`node-1` and so on, ready for pods."""
    for number in range(1, count + 1):
        name = f"node-{number}"
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
        apply(server, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
        _merge(server, f"/api/v1/nodes/{name}/status", {"status": _node_status(name, number)})
        _merge(server, f"/api/v1/nodes/{name}", {"spec": {"taints": None}})  # a new one is tainted as not ready


def _merge(server: ApiServer, path: str, patch: Body) -> None:
    _check(server.handle(Request("PATCH", path, (), msgspec.json.encode(patch), _MERGE)))


def _node_status(name: str, number: int) -> Body:
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "simulated"}
    resources = {"cpu": "8", "memory": "16Gi", "pods": "110"}
    return {
        "conditions": [ready],
        "capacity": resources,
        "allocatable": resources,
        "addresses": [
            {"type": "InternalIP", "address": f"10.255.{number // 250}.{number % 250 + 1}"},
            {"type": "Hostname", "address": name},
        ],
        "nodeInfo": {"kubeletVersion": "v1.37.0", "operatingSystem": "linux", "osImage": "simulated"},
    }


def _objects(documents: list[Any], path: Path) -> Iterator[Body]:
    """Each object; those of a List one by one."""
    for body in documents:
        if body is None:
            continue
        if not isinstance(body, dict) or not body.get("kind") or not body.get("apiVersion"):
            raise ManifestError(f"{path}: a document that is no object: it needs apiVersion and kind")
        if body["kind"] == "List":
            yield from _objects(body.get("items") or [], path)
        else:
            yield body


def _path(kind: Kind, namespace: str, name: str) -> str:
    prefix = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
    within = f"/namespaces/{namespace}" if kind.namespaced else ""
    return f"{prefix}{within}/{kind.plural}/{name}"


def _check(answer: Response) -> None:
    if answer.status >= 300:
        try:
            said = msgspec.json.decode(answer.body)["message"]
        except (msgspec.DecodeError, KeyError):
            said = answer.body.decode(errors="replace")
        raise ManifestError(f"{answer.status}: {said}")
