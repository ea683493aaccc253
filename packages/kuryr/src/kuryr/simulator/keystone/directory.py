"""Who there is: projects, users with their passwords and application credentials, and who has which role where.

One domain, `default`, one region, and the roles that a bootstrapped Keystone has. `admin` implies manager, member and
reader, and member implies reader.
"""

from dataclasses import dataclass, field, replace

from kuryr.simulator.identifiers import Identifiers

DOMAIN = {"id": "default", "name": "Default"}
REGION = "RegionOne"
_IMPLIED = {"admin": ("manager", "member", "reader"), "manager": ("member", "reader"), "member": ("reader",)}
_ROLES = ("admin", "manager", "member", "reader", "service")


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class User:
    id: str
    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApplicationCredential:
    """Acts as its user in one project with some of the user's roles."""

    id: str
    name: str
    secret: str = field(repr=False)
    user_id: str
    project_id: str
    roles: tuple[str, ...]
    description: str = ""


class Directory:
    """All of it, by id."""

    def __init__(self, identifiers: Identifiers) -> None:
        self._identifiers = identifiers
        self.projects: dict[str, Project] = {}
        self.users: dict[str, User] = {}
        self.credentials: dict[str, ApplicationCredential] = {}
        self.role_ids = {name: identifiers.hex() for name in _ROLES}
        self._roles: dict[tuple[str, str], dict[str, None]] = {}

    def add_project(self, name: str) -> Project:
        """The project of that name, made if it is not there."""
        found = next((one for one in self.projects.values() if one.name == name), None)
        if found is None:
            found = Project(self._identifiers.hex(), name)
            self.projects[found.id] = found
        return found

    def add_user(self, name: str, password: str, project: str, *roles: str) -> User:
        """A user with these roles in the project, which is made if it is not there."""
        where = self.add_project(project)
        user = next((one for one in self.users.values() if one.name == name), None)
        if user is None:
            user = User(self._identifiers.hex(), name, password)
            self.users[user.id] = user
        for role in roles:
            self.grant(user.id, where.id, role)
        return user

    def add_credential(
        self,
        name: str,
        user_id: str,
        project_id: str,
        roles: tuple[str, ...],
        *,
        secret: str = "",
        description: str = "",
    ) -> ApplicationCredential:
        """With a secret of its own where none is given."""
        made = ApplicationCredential(
            self._identifiers.hex(), name, secret or self._identifiers.secret(), user_id, project_id, roles, description
        )
        self.credentials[made.id] = made
        return made

    def set_password(self, name: str, password: str) -> None:
        """Raises KeyError."""
        user = self.user_named(name)
        if user is None:
            raise KeyError(name)
        self.users[user.id] = replace(user, password=password)

    def grant(self, user_id: str, project_id: str, role: str) -> None:
        """Raises KeyError for a role that there is not."""
        assert self.role_ids[role]
        self._roles.setdefault((user_id, project_id), {})[role] = None

    def withdraw(self, user_id: str, project_id: str, role: str) -> None:
        """Tokens of it are revoked by who calls this, as Keystone does it."""
        self._roles.get((user_id, project_id), {}).pop(role, None)

    def roles(self, user_id: str, project_id: str) -> tuple[str, ...]:
        """Names, with those that they imply."""
        granted = self._roles.get((user_id, project_id), {})
        return tuple(dict.fromkeys(one for role in granted for one in (role, *_IMPLIED.get(role, ()))))

    def projects_of(self, user_id: str) -> list[Project]:
        return [self.projects[project] for (user, project), roles in self._roles.items() if user == user_id and roles]

    def user_named(self, name: str) -> User | None:
        return next((user for user in self.users.values() if user.name == name), None)

    def project_named(self, name: str) -> Project | None:
        return next((project for project in self.projects.values() if project.name == name), None)
