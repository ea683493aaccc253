"""Create, list, show, change and delete, the same for every resource.

A create of several is whole or nothing: the first refusal takes back those made before it.
"""

import re
from collections.abc import Callable

from kuryr.openstack.session import Answer
from kuryr.simulator.neutron.attributes import read_changes, read_new
from kuryr.simulator.neutron.caller import Caller, not_authorised
from kuryr.simulator.neutron.collection import Listing, page_of, select, with_fields
from kuryr.simulator.neutron.quotas import Quotas
from kuryr.simulator.neutron.resource import Resource
from kuryr.simulator.neutron.wire import answered, read_body
from kuryr.simulator.refusals import Body, Refusal, bad_request, neutron_headers, not_simulated
from kuryr.simulator.requests import Request

_REVISION = re.compile(r"revision_number=(\d+)")


class Verbs:
    """`url` is where clients reach the service, for the links of pages."""

    def __init__(self, quotas: Quotas, url: Callable[[], str]) -> None:
        self._quotas = quotas
        self._url = url

    def answer(self, resource: Resource, object_id: str, caller: Caller, request: Request) -> Answer:
        """Raises `Refusal`."""
        if not object_id:
            if request.method == "GET":
                return self._list(resource, caller, request)
            if request.method == "POST":
                return self._create(resource, caller, request)
        elif request.method == "GET":
            return self._show(resource, object_id, caller, request)
        elif request.method == "PUT":
            return self._update(resource, object_id, caller, request)
        elif request.method == "DELETE":
            return self._delete(resource, object_id, caller, request)
        if request.method in ("POST", "DELETE"):
            raise not_simulated(f"{request.method} of {request.path}")
        text = "The server could not comply with the request since it is either malformed or otherwise incorrect."
        raise Refusal(405, "HTTPMethodNotAllowed", text)

    def _list(self, resource: Resource, caller: Caller, request: Request) -> Answer:
        listing = Listing.of(request.query)
        resource.check_filters(listing.filters)
        found = select(resource.seen(caller), listing, resource.filters)
        if listing.limit and listing.marker:
            resource.find(caller, listing.marker)
        page = page_of(found, listing, f"{self._url()}/v2.0/{resource.collection}", request.query)
        shown = [with_fields(resource.shown(caller, one), listing.fields) for one in page.objects]
        body: Body = {resource.plural: shown}
        if page.links:
            body[f"{resource.plural}_links"] = page.links
        return answered(200, body, request)

    def _show(self, resource: Resource, object_id: str, caller: Caller, request: Request) -> Answer:
        found = resource.find(caller, object_id)
        fields = [value for name, value in request.query if name == "fields"]
        return answered(200, {resource.name: with_fields(resource.shown(caller, found), fields)}, request)

    def _create(self, resource: Resource, caller: Caller, request: Request) -> Answer:
        body = read_body(request)
        bulk = resource.plural in body
        items = body[resource.plural] if bulk else [_only(body, resource.name)]
        if not isinstance(items, list) or not items or not all(isinstance(one, dict) for one in items):
            raise bad_request("Resources required")
        made = self.create(resource, caller, items)
        shown = [resource.shown(caller, one) for one in made]
        return answered(201, {resource.plural: shown} if bulk else {resource.name: shown[0]}, request)

    def create(self, resource: Resource, caller: Caller, items: list[Body]) -> list[Body]:
        """All or none. Raises `Refusal`."""
        wanted = [self._wanted(resource, caller, one) for one in items]
        for one in wanted:
            resource.authorise_create(caller, one)
        projects = [one["project_id"] for one in wanted]
        for project in dict.fromkeys(projects):
            self._quotas.check(resource.name, project, projects.count(project))
        made: list[Body] = []
        try:
            resource.check_together(wanted)
            for one in wanted:
                made.append(resource.create(caller, one))
        except Refusal:
            for one in made:
                resource.forget(one)
            raise
        return made

    def _wanted(self, resource: Resource, caller: Caller, body: Body) -> Body:
        wanted = read_new(resource.attributes, body)
        name = "project_id" if wanted.get("project_id") else "tenant_id"
        project = wanted.get(name) or caller.project_id
        wanted.pop("tenant_id", None)
        wanted["project_id"] = project
        if project != caller.project_id and not caller.privileged:
            text = f"Specifying '{name}' other than the authenticated project in request is not allowed for the "
            raise bad_request(text + "current user.")
        others = project != caller.project_id and not resource.makes_for_others(caller)
        if others or not caller.writes:
            raise not_authorised(f"create_{resource.name}")
        return wanted

    def _update(self, resource: Resource, object_id: str, caller: Caller, request: Request) -> Answer:
        body = read_body(request)
        changes = read_changes(resource.attributes, _only(body, resource.name))
        found = resource.find(caller, object_id)
        if not caller.writes:
            raise not_authorised(f"update_{resource.name}")
        resource.authorise_update(caller, found, changes)
        _check_revision(resource, found, request)
        resource.update(caller, found, changes)
        return answered(200, {resource.name: resource.shown(caller, found)}, request)

    def _delete(self, resource: Resource, object_id: str, caller: Caller, request: Request) -> Answer:
        found = resource.find(caller, object_id)
        if not caller.writes or not resource.deletes(caller, found):
            raise not_authorised(f"delete_{resource.name}")
        _check_revision(resource, found, request)
        resource.delete(caller, found)
        return Answer(204, b"", neutron_headers(request.request_id))


def _only(body: Body, name: str) -> Body:
    found = body.get(name)
    if not isinstance(found, dict):
        raise bad_request(f"Unable to find '{name}' in request body")
    return found


def _check_revision(resource: Resource, found: Body, request: Request) -> None:
    wanted = request.headers.get("If-Match")
    if wanted is None:
        return
    match = _REVISION.search(wanted)  # anything else is ignored
    if match is not None and int(match[1]) != found["revision_number"]:
        text = f"Constrained to {match[1]}, but current revision is {found['revision_number']}"
        raise Refusal(412, "RevisionNumberConstraintFailed", text)
