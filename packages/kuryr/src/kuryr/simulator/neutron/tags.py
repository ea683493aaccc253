"""Tags, below any resource: /ports/<id>/tags and /ports/<id>/tags/<tag>."""

from typing import Any

from kuryr.openstack.session import Answer
from kuryr.simulator.neutron.caller import Caller, not_authorised
from kuryr.simulator.neutron.resource import Resource
from kuryr.simulator.neutron.wire import answered, read_body
from kuryr.simulator.refusals import Body, Refusal, invalid_operation, neutron_headers, not_simulated
from kuryr.simulator.requests import Request


def answer_tags(resource: Resource, object_id: str, tag: str, caller: Caller, request: Request) -> Answer:
    """Raises `Refusal`."""
    if object_id not in resource.objects:
        text = "Request Failed: internal server error while processing your request."
        raise Refusal(500, "HTTPInternalServerError", text)  # so does a real one
    one = resource.find(caller, object_id)
    if request.method == "GET":
        if not tag:
            return answered(200, {"tags": one["tags"]}, request)
        _check_there(one, tag)
        return Answer(204, b"", neutron_headers(request.request_id))
    if not (caller.admin or caller.owns(one)):
        raise not_authorised(f"update_{resource.plural}_tags")
    if request.method in ("PUT", "POST") and not tag:
        tags = _read(read_body(request).get("tags"))
        if request.method == "POST":
            tags = list(dict.fromkeys((*one["tags"], *tags)))
        _set(resource, one, tags)
        return answered(200, {"tags": tags}, request)
    if request.method == "PUT":
        _set(resource, one, [*one["tags"], *([tag] if tag not in one["tags"] else [])])
        return answered(201, None, request)
    if request.method == "DELETE":
        if tag:
            _check_there(one, tag)
        _set(resource, one, [held for held in one["tags"] if tag and held != tag])
        return Answer(204, b"", neutron_headers(request.request_id))
    raise not_simulated(f"{request.method} of tags")


def _set(resource: Resource, one: Body, tags: list[str]) -> None:
    if one["tags"] != tags:
        one["tags"] = tags
        resource.touch(one)


def _check_there(one: Body, tag: str) -> None:
    if tag not in one["tags"]:
        raise Refusal(404, "TagNotFound", f"Tag {tag} could not be found.")


def _read(tags: Any) -> list[str]:
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise invalid_operation(f"'{tags}' is not a list")
    return list(dict.fromkeys(tags))
