"""Bodies, as they come and go."""

from typing import Any

import msgspec

from kuryr.openstack.session import Answer
from kuryr.simulator.refusals import Body, bad_request, neutron_headers
from kuryr.simulator.requests import Request


def answered(status: int, body: Any, request: Request) -> Answer:
    return Answer(status, msgspec.json.encode(body), neutron_headers(request.request_id))


def read_body(request: Request) -> Body:
    """Raises `Refusal` for what is no JSON object."""
    if not request.body:
        return {}
    try:
        body = request.json()
    except msgspec.DecodeError:
        body = None
    if not isinstance(body, dict):
        raise bad_request("Body contains invalid data")
    return body
