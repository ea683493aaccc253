"""Security groups. A project gets its default group when it first needs one; every new group may send anything."""

from collections.abc import Callable
from typing import ClassVar

from kuryr.simulator.identifiers import neutron_time
from kuryr.simulator.neutron.attributes import (
    UNSET,
    Attribute,
    Attributes,
    boolean,
    read_only,
    string,
)
from kuryr.simulator.neutron.caller import Caller, not_authorised
from kuryr.simulator.neutron.resource import Resource, Surroundings
from kuryr.simulator.neutron.security_group_rules import SecurityGroupRules
from kuryr.simulator.refusals import Body, Refusal

DEFAULT = "default"


class SecurityGroups(Resource):
    """With the rules of each. `in_use` says whether a port has the group."""

    name = "security_group"
    collection = "security-groups"
    attributes: ClassVar[Attributes] = {
        "name": Attribute(string(255), ""),
        "tenant_id": Attribute(string(255), put=False),
        "project_id": Attribute(string(255), put=False),
        "description": Attribute(string(255), ""),
        "stateful": Attribute(boolean, UNSET),
        **{name: read_only() for name in ("id", "security_group_rules", "shared")},
    }

    def __init__(self, surroundings: Surroundings, rules: SecurityGroupRules) -> None:
        super().__init__(surroundings)
        self.in_use: Callable[[str], bool] = lambda _: False
        self._rules = rules
        self._defaults: dict[str, str] = {}

    def not_found(self, object_id: str) -> Refusal:
        return Refusal(404, "SecurityGroupNotFound", f"Security group {object_id} does not exist")

    def seen(self, caller: Caller) -> list[Body]:
        self.default_of(caller.project_id)
        return super().seen(caller)

    def shown(self, caller: Caller, one: Body) -> Body:
        return {**one, "security_group_rules": self._rules.of(one["id"])}

    def default_of(self, project_id: str) -> Body:
        """The project's default group, made if it is not there."""
        found = self._defaults.get(project_id)
        if found is None:
            group = self._make(DEFAULT, "Default security group", project_id, stateful=True)
            found = self._defaults[project_id] = group["id"]
            for family in ("IPv4", "IPv6"):
                self._rules.add(group, direction="ingress", ethertype=family, remote_group_id=found)
        return self.objects[found]

    def create(self, caller: Caller, wanted: Body) -> Body:
        self.default_of(wanted["project_id"])
        if wanted["name"] == DEFAULT:
            raise Refusal(409, "SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
        return self._make(
            wanted["name"], wanted["description"], wanted["project_id"], stateful=wanted.get("stateful", True)
        )

    def update(self, caller: Caller, one: Body, changes: Body) -> None:
        if one["id"] == self._defaults.get(one["project_id"]) and changes.get("name", DEFAULT) != DEFAULT:
            raise Refusal(409, "SecurityGroupCannotUpdateDefault", "Updating default security group not allowed.")
        super().update(caller, one, changes)

    def authorise_update(self, caller: Caller, one: Body, changes: Body) -> None:
        if not caller.admin and not caller.owns(one):
            raise not_authorised("update_security_group")

    def delete(self, caller: Caller, one: Body) -> None:
        if one["id"] == self._defaults.get(one["project_id"]) and not caller.admin:
            raise Refusal(
                409, "SecurityGroupCannotRemoveDefault", "Insufficient rights for removing default security group."
            )
        if self.in_use(one["id"]):
            raise Refusal(409, "SecurityGroupInUse", f"Security Group {one['id']} in use.")
        self.forget(one)

    def forget(self, one: Body) -> None:
        self._rules.forget_group(one["id"])
        self._defaults = {project: group for project, group in self._defaults.items() if group != one["id"]}
        self.remove(one)

    def _make(self, name: str, description: str, project_id: str, *, stateful: bool) -> Body:
        group = self.keep(
            {
                "id": self.surroundings.identifiers.uuid(),
                "name": name,
                "stateful": stateful,
                "project_id": project_id,
                "description": description,
                "shared": False,
                "security_group_rules": [],
            }
        )
        group["revision_number"] = 1
        group["updated_at"] = neutron_time(self.surroundings.now())
        for family in ("IPv4", "IPv6"):
            self._rules.add(group, direction="egress", ethertype=family)
        return group
