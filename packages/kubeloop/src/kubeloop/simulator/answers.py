"""Answers to requests, as HTTP sees them."""

from collections.abc import Sequence

import msgspec

from kubeloop.client.transport import JSON, Response
from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.refusals import Body, Refusal
from kubeloop.simulator.registry import Outcome

NOT_FOUND = Response(404, b"404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})
_HEADERS = {"Content-Type": JSON}


def answer(status: int, body: bytes, warnings: Sequence[str] = ()) -> Response:
    """JSON. Several warnings are one header, with commas between them, as HTTP allows."""
    if not warnings:
        return Response(status, body, _HEADERS)
    escaped = [text.replace("\\", "\\\\").replace('"', '\\"') for text in warnings]
    return Response(status, body, {**_HEADERS, "Warning": ", ".join(f'299 - "{text}"' for text in escaped)})


def written(kind: Kind, outcome: Outcome, warnings: Sequence[str]) -> Response:
    return answer(201 if outcome.created else 200, outcome.stored.encoded(kind), warnings)


def deleted(kind: Kind, outcome: Outcome, warnings: Sequence[str]) -> Response:
    """The object where it is still going, or where its kind is one that answers so; else that it is gone."""
    if not outcome.deleted or kind.answers_deleted:
        return answer(200, outcome.stored.encoded(kind), warnings)
    meta = outcome.stored.body["metadata"]
    details = {"name": meta["name"], "group": kind.group, "kind": kind.plural, "uid": meta["uid"]}
    return answer(200, _success({"details": {name: value for name, value in details.items() if value}}), warnings)


def done(warnings: Sequence[str]) -> Response:
    """An action that answers with nothing but success."""
    return answer(201, _success({"code": 201}), warnings)


def refused(refusal: Refusal, warnings: Sequence[str] = ()) -> Response:
    found = answer(refusal.code, msgspec.json.encode(refusal.status()), warnings)
    if not refusal.details or "retryAfterSeconds" not in refusal.details:
        return found
    return Response(
        found.status, found.body, {**found.headers, "Retry-After": str(refusal.details["retryAfterSeconds"])}
    )


def _success(more: Body) -> bytes:
    return msgspec.json.encode({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", **more})
