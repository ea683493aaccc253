"""What a service refuses, in the words that the real ones use; and what this one does not know, which is never
answered with something plausible.
"""

from typing import Any

import msgspec

from kuryr.openstack.session import Answer


class Refusal(Exception):
    """An answer of 400 and more. `kind` is Neutron's type, or Keystone's title."""

    def __init__(self, status: int, kind: str, message: str, detail: str = "") -> None:
        super().__init__(f"{status} {kind}: {message}")
        self.status = status
        self.kind = kind
        self.message = message
        self.detail = detail


NOT_FOUND = Refusal(404, "HTTPNotFound", "The resource could not be found.")
"""Of Neutron's API layer."""


def bad_request(message: str, kind: str = "HTTPBadRequest") -> Refusal:
    return Refusal(400, kind, message)


def invalid(name: str, reason: str) -> Refusal:
    """A value of an attribute, as Neutron's API layer refuses it."""
    return bad_request(f"Invalid input for {name}. Reason: {reason}.")


def invalid_operation(message: str) -> Refusal:
    """As Neutron's plug-ins refuse what the API layer let through."""
    return bad_request(f"Invalid input for operation: {message}.", "InvalidInput")


def not_simulated(what: str) -> Refusal:
    """Here, and only here, the simulated cloud knows less than a real one."""
    return Refusal(501, "NotSimulated", f"the simulated cloud does not know {what}")


def neutron_refused(refusal: Refusal, request_id: str) -> Answer:
    body = {"NeutronError": {"type": refusal.kind, "message": refusal.message, "detail": refusal.detail}}
    return Answer(refusal.status, msgspec.json.encode(body), neutron_headers(request_id))


def keystone_refused(refusal: Refusal, request_id: str, url: str) -> Answer:
    body = {"error": {"code": refusal.status, "message": refusal.message, "title": refusal.kind}}
    headers = {"Content-Type": "application/json", "Vary": "X-Auth-Token", "X-Openstack-Request-Id": request_id}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = f'Keystone uri="{url}/identity/v3"'
    return Answer(refusal.status, msgspec.json.encode(body), headers)


def neutron_headers(request_id: str) -> dict[str, str]:
    return {"Content-Type": "application/json", "X-Openstack-Request-Id": request_id}


Body = dict[str, Any]
"""A JSON object."""
