"""Who asks, and what Neutron's default policy lets that one see and do."""

from dataclasses import dataclass

from kuryr.simulator.refusals import Body, Refusal


@dataclass(frozen=True, slots=True)
class Caller:
    """Facts of a token."""

    project_id: str
    user_id: str
    roles: frozenset[str]
    request_id: str

    @property
    def admin(self) -> bool:
        return "admin" in self.roles

    @property
    def service(self) -> bool:
        """Another service of the cloud, as Nova is: it may bind ports."""
        return "service" in self.roles

    @property
    def privileged(self) -> bool:
        return self.admin or self.service

    @property
    def writes(self) -> bool:
        """In its own project. A mere reader does not."""
        return self.privileged or "member" in self.roles or "manager" in self.roles

    def owns(self, one: Body) -> bool:
        return bool(one["project_id"] == self.project_id)


def not_authorised(action: str, *attributes: str) -> Refusal:
    """As Neutron says which rules refused."""
    rule = f"rule:{action}"
    for name in attributes:
        rule = f"({rule} and rule:{action}:{name})"
    return Refusal(403, "PolicyNotAuthorized", f"{rule} is disallowed by policy")
