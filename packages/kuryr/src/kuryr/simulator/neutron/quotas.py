"""How much a project may have of each resource, and has."""

from collections.abc import Mapping
from typing import Any

from kuryr.openstack.session import Answer
from kuryr.simulator.neutron.attributes import boolean
from kuryr.simulator.neutron.caller import Caller, not_authorised
from kuryr.simulator.neutron.resource import Resource
from kuryr.simulator.neutron.wire import answered, read_body
from kuryr.simulator.refusals import Body, Refusal, bad_request, invalid_operation, neutron_headers, not_simulated
from kuryr.simulator.requests import Request

_NOT_HERE = {"router_route": 30, "floatingip": -1, "rbac_policy": 10, "trunk": -1}
_ORDER = (
    "network", "subnet", "subnetpool", "port", "router_route", "router", "floatingip", "rbac_policy", "security_group",
    "security_group_rule", "trunk",
)  # fmt: skip


class Quotas:
    """`defaults` are those of a project that has none of its own; -1 is without limit."""

    def __init__(self, resources: Mapping[str, Resource]) -> None:
        self.defaults: dict[str, int] = {name: _NOT_HERE.get(name, -1) for name in _ORDER}
        self.own: dict[str, dict[str, int]] = {}
        self._resources = resources

    def limits(self, project_id: str) -> dict[str, int]:
        return {**self.defaults, **self.own.get(project_id, {})}

    def details(self, project_id: str) -> dict[str, dict[str, int]]:
        return {
            name: {"limit": limit, "used": self._used(name, project_id), "reserved": 0}
            for name, limit in self.limits(project_id).items()
        }

    def check(self, name: str, project_id: str, count: int) -> None:
        """Raises `Refusal` where so many more would be too many."""
        limit = self.own.get(project_id, self.defaults).get(name, self.defaults.get(name, -1))
        if 0 <= limit < self._used(name, project_id) + count:
            raise Refusal(409, "OverQuota", f"Quota exceeded for resources: ['{name}'].")

    def change(self, project_id: str, changes: Body, *, force: bool = False) -> None:
        """Raises `Refusal`; unless it is forced also for a limit below what is used."""
        unknown = [name for name in changes if name not in self.defaults]
        if unknown:
            raise bad_request(f"Unrecognized attribute(s) '{', '.join(unknown)}'")
        read = {name: _limit(name, value) for name, value in changes.items()}
        for name, limit in read.items():
            used = self._used(name, project_id)
            if 0 <= limit < used and not force:
                raise bad_request(
                    f"Quota limit {limit} for {name} must be greater than or equal to already used {used}"
                )
        self.own.setdefault(project_id, {}).update(read)

    def _used(self, name: str, project_id: str) -> int:
        resource = self._resources.get(name)
        return resource.counts.get(project_id, 0) if resource is not None else 0


def answer_quotas(quotas: Quotas, parts: tuple[str, ...], caller: Caller, request: Request) -> Answer:
    """/quotas/<project>, /quotas/<project>/details and /default. Raises `Refusal`."""
    verbs = {"GET": "get_quota", "PUT": "update_quota", "DELETE": "delete_quota"}
    if request.method not in verbs:
        raise not_simulated(f"{request.method} of quotas")
    project, rest = (parts[0], parts[1:]) if parts else ("", ())
    if project in ("project", "tenant") and request.method == "GET":
        return answered(200, {project: {f"{project}_id": caller.project_id}}, request)
    if not caller.admin and (request.method != "GET" or project != caller.project_id):
        raise not_authorised(verbs[request.method])
    if not parts:
        own = [{"project_id": each, "tenant_id": each, **quotas.limits(each)} for each in quotas.own]
        return answered(200, {"quotas": own}, request)
    if request.method == "GET":
        if rest == ("details",):
            return answered(200, {"quota": quotas.details(project)}, request)
        return answered(200, {"quota": quotas.defaults if rest == ("default",) else quotas.limits(project)}, request)
    if request.method == "PUT":
        wanted = _wanted(request)
        force = boolean("force", wanted.pop("force", False))
        quotas.change(project, {name: value for name, value in wanted.items() if name != "check_limit"}, force=force)
        return answered(200, {"quota": quotas.limits(project)}, request)
    if quotas.own.pop(project, None) is None:
        raise Refusal(404, "TenantQuotaNotFound", f"Quota for project {project} could not be found.")
    return Answer(204, b"", neutron_headers(request.request_id))


def _wanted(request: Request) -> Body:
    body = read_body(request).get("quota")
    if not isinstance(body, dict):
        raise bad_request("Unable to find 'quota' in request body")
    return body


def _limit(name: str, value: Any) -> int:
    try:
        found = int(value)
    except (TypeError, ValueError):
        raise invalid_operation(f"'{value}' is not an integer") from None
    if found < -1:
        raise bad_request(f"Invalid input for {name}. Reason: '{value}' is too small - must be at least '-1'.")
    return found
