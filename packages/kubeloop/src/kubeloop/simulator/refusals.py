"""Refusals: what the server says instead of an answer, as a Status object with the real server's reasons and words.

Everything below the server raises `Refusal`; it becomes a Response in one place. Status codes and reasons are those of
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]
"""A JSON object. Nobody changes one that is stored: it is shared by history, caches and answers."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is wrong with a body: `Cause("FieldValueRequired", "Required value", "spec.owner")`."""

    reason: str
    message: str
    field: str

    def body(self) -> Body:
        """As it stands in a Status: a cause without a field has none."""
        found = {"reason": self.reason, "message": self.message}
        return {**found, "field": self.field} if self.field else found


class Refusal(Exception):
    """The answer to a request that is refused."""

    def __init__(self, code: int, reason: str, message: str, *, details: Body | None = None) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.meta: Body = {}  # of the Status

    def status(self) -> Body:
        """The Status object."""
        status: Body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.meta,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status


def bad_request(message: str) -> Refusal:
    return Refusal(400, "BadRequest", message)


def unsupported(what: str) -> Refusal:
    """What a real server may well do, and this one does not."""
    return Refusal(501, "NotImplemented", f"the simulated API server does not know {what}")


def unsupported_media_type(message: str) -> Refusal:
    return Refusal(415, "UnsupportedMediaType", message)


def invalid(kind: str, name: str, causes: Iterable[Cause], *, group: str = "") -> Refusal:
    """422 for what validation found, all of it at once."""
    causes = tuple(causes)
    found = [f"{cause.field}: {cause.message}" for cause in causes]
    text = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
    qualified = f"{kind}.{group}" if group else kind
    message = f'{qualified} "{name}" is invalid: {text}' if found else f'{qualified} "{name}" is invalid'
    return Refusal(422, "Invalid", message, details=_details(name, group, kind, causes))


def not_found(resource: str, name: str, *, group: str = "") -> Refusal:
    qualified = f"{resource}.{group}" if group else resource
    return Refusal(404, "NotFound", f'{qualified} "{name}" not found', details=_details(name, group, resource))


def already_exists(resource: str, name: str, *, group: str = "", ending: bool = False) -> Refusal:
    """`ending`: and it is being deleted."""
    qualified = f"{resource}.{group}" if group else resource
    text = f'{"object is being deleted: " if ending else ""}{qualified} "{name}" already exists'
    return Refusal(409, "AlreadyExists", text, details=_details(name, group, resource))


def forbidden(resource: str, name: str, why: str, *, group: str = "", causes: Iterable[Cause] = ()) -> Refusal:
    """403 for what nobody may do now."""
    qualified = f"{resource}.{group}" if group else resource
    details = _details(name, group, resource, causes)
    return Refusal(403, "Forbidden", f'{qualified} "{name}" is forbidden: {why}', details=details)


def conflict(resource: str, name: str, why: str, *, group: str = "") -> Refusal:
    """409: somebody else was there first."""
    qualified = f"{resource}.{group}" if group else resource
    text = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return Refusal(409, "Conflict", text, details=_details(name, group, resource))


def _details(name: str, group: str, kind: str, causes: Iterable[Cause] = ()) -> Body:
    found: Body = {"name": name, "group": group, "kind": kind}
    details = {key: value for key, value in found.items() if value}
    listed = [cause.body() for cause in causes]
    return {**details, "causes": listed} if listed else details
