"""Stands in for `patches` until that is there."""

from typing import Any

from kubeloop.simulator.refusals import Body, unsupported
from kubeloop.simulator.topology import Topology


def json_patched(body: Body, operations: Any) -> Body:
    raise unsupported("JSON patches")


def merge_patched(body: Body, patch: Any) -> Body:
    patched: Body = _merge_patched(body, patch)
    return patched


def _merge_patched(body: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    body = dict(body) if isinstance(body, dict) else {}
    for name, value in patch.items():
        if value is None:
            body.pop(name, None)
        else:
            body[name] = _merge_patched(body.get(name), value)
    return body


def strategic_merge_patched(body: Body, patch: Any, topology: Topology) -> Body:
    raise unsupported("strategic merge patches")
