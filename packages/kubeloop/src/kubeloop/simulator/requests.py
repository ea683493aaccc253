"""What requests carry: bodies and patches, read. Raises `Refusal` for what is none."""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from kubeloop.client.transport import JSON, Request
from kubeloop.simulator.built_in import topology_of
from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.patches import json_patched, merge_patched
from kubeloop.simulator.refusals import Body, bad_request, unsupported, unsupported_media_type
from kubeloop.simulator.strategic_merge import strategic_merge_patched

APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"


def read_body(request: Request, kind: str) -> Body:
    """An object of a kind; whether it is one is not asked here."""
    if media_type(request) not in (JSON, ""):
        raise unsupported_media_type(f"the simulated API server does not read {request.content_type}")
    try:
        return mapping(read_json(request.body))
    except msgspec.DecodeError as error:
        what = f"the object provided is unrecognized (must be of type {kind})"
        raise bad_request(f"{what}: couldn't get version/kind; json parse error: {error}") from None


def read_json(content: bytes) -> Any:
    """JSON in which nothing is said twice: the real server takes the last of it, or both. Raises `DecodeError`."""
    try:
        found = msgspec.json.decode(content)
    except UnicodeDecodeError:
        raise unsupported("bodies that are not UTF-8") from None
    if len(msgspec.json.encode(found)) != len(content):  # else nothing was left out
        json.loads(content, object_pairs_hook=_refuse_doubles)
    return found


def _refuse_doubles(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise unsupported(f'objects in which the field "{name}" is given twice')
        seen.add(name)


def _read_yaml(content: bytes) -> Any:
    try:
        # as the real server, which makes it JSON first: so times are texts
        return msgspec.json.decode(msgspec.json.encode(msgspec.yaml.decode(content)))
    except TypeError as error:
        raise unsupported(f"YAML that is not JSON: {error}") from None


def query_of(request: Request) -> dict[str, str]:
    """Of what is given several times the first counts."""
    return dict(reversed(request.query))


def media_type(request: Request) -> str:
    return request.content_type.partition(";")[0].strip().lower()


def read_patch(request: Request, kind: Kind) -> Any:
    """The patch, of whatever sort it is; refused (415) when its sort is not known to the kind."""
    sort = media_type(request)
    if sort not in (_MERGE, _JSON_PATCH, APPLY) and (sort != _STRATEGIC or kind.custom):
        known = [_JSON_PATCH, _MERGE, *([] if kind.custom else [_STRATEGIC]), APPLY]
        raise unsupported_media_type(
            f"the body of the request was in an unknown format - accepted media types include: {', '.join(known)}"
        )
    yaml = sort == APPLY and not request.body.startswith(b"{")
    try:
        return _read_yaml(request.body) if yaml else read_json(request.body)
    except msgspec.DecodeError as error:
        raise bad_request(f"error decoding patch: {error}") from None


def patcher(request: Request, kind: Kind, patch: Any) -> Callable[[Body], Body]:
    """What a patch, other than one to apply, makes of a body."""
    match media_type(request):
        case "application/json-patch+json":
            return lambda body: json_patched(body, patch)
        case "application/merge-patch+json":
            return lambda body: merge_patched(body, patch)
        case _:
            # which type it says is not asked of this one
            typed = {name: value for name, value in mapping(patch).items() if name not in ("apiVersion", "kind")}
            return lambda body: strategic_merge_patched(body, typed, topology_of(kind))


def mapping(body: Any) -> Body:
    if not isinstance(body, dict):
        raise bad_request("the body of the request is no object")
    return body
