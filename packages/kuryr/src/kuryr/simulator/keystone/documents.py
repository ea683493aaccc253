"""Keystone's objects as its API shows them."""

from kuryr.simulator.identifiers import keystone_time
from kuryr.simulator.keystone.directory import DOMAIN, REGION, ApplicationCredential, Directory, Project, User
from kuryr.simulator.keystone.tokens import IssuedToken
from kuryr.simulator.refusals import Body

_INTERFACES = ("public", "internal", "admin")


class Documents:
    """`url` is the cloud's; the catalog has Keystone and Neutron below it."""

    def __init__(self, directory: Directory, ids: tuple[str, ...]) -> None:
        self._directory = directory
        self._ids = ids  # of two services and their endpoints

    def version(self, url: str) -> Body:
        media = {"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}
        return {
            "id": "v3.14",
            "status": "stable",
            "updated": "2020-04-07T00:00:00Z",
            "links": [{"rel": "self", "href": f"{url}/identity/v3/"}],
            "media-types": [media],
        }

    def catalog(self, url: str) -> list[Body]:
        services = (("identity", "keystone", f"{url}/identity/v3"), ("network", "neutron", f"{url}/network"))
        return [
            {
                "endpoints": [
                    {
                        "id": self._ids[2 + 3 * number + index],
                        "interface": interface,
                        "region_id": REGION,
                        "url": address,
                        "region": REGION,
                    }
                    for index, interface in enumerate(_INTERFACES)
                ],
                "id": self._ids[number],
                "type": kind,
                "name": name,
            }
            for number, (kind, name, address) in enumerate(services)
        ]

    def services(self, url: str) -> list[Body]:
        return [
            {"name": one["name"], "id": one["id"], "type": one["type"], "enabled": True} for one in self.catalog(url)
        ]

    def token(self, token: IssuedToken, url: str) -> Body:
        user = self._directory.users[token.user_id]
        body: Body = {
            "methods": list(token.methods),
            "user": {"domain": DOMAIN, "id": user.id, "name": user.name, "password_expires_at": None},
            "audit_ids": [token.audit_id],
            "expires_at": keystone_time(token.expires_at),
            "issued_at": keystone_time(token.issued_at),
        }
        if token.project_id:
            project = self._directory.projects[token.project_id]
            body["project"] = {"domain": DOMAIN, "id": project.id, "name": project.name}
            body["is_domain"] = False
            body["roles"] = [{"id": self._directory.role_ids[role], "name": role} for role in token.roles]
            body["catalog"] = self.catalog(url)
        credential = self._directory.credentials.get(token.credential_id)
        if credential is not None:
            body["application_credential"] = {"id": credential.id, "name": credential.name, "restricted": True}
        return body

    def project(self, project: Project, url: str) -> Body:
        return {
            "id": project.id,
            "name": project.name,
            "domain_id": DOMAIN["id"],
            "description": project.description,
            "enabled": True,
            "parent_id": DOMAIN["id"],
            "is_domain": False,
            "tags": [],
            "options": {},
            "links": {"self": f"{url}/identity/v3/projects/{project.id}"},
        }

    def user(self, user: User, url: str) -> Body:
        return {
            "id": user.id,
            "name": user.name,
            "domain_id": DOMAIN["id"],
            "enabled": True,
            "password_expires_at": None,
            "options": {},
            "links": {"self": f"{url}/identity/v3/users/{user.id}"},
        }

    def role(self, name: str) -> Body:
        options = {"immutable": True}
        return {
            "id": self._directory.role_ids[name],
            "name": name,
            "domain_id": None,
            "description": None,
            "options": options,
        }

    def domain(self, url: str) -> Body:
        return {
            **DOMAIN,
            "description": "The default domain",
            "enabled": True,
            "tags": [],
            "options": {},
            "links": {"self": f"{url}/identity/v3/domains/default"},
        }

    def credential(self, one: ApplicationCredential, url: str) -> Body:
        """Without its secret, which only the create shows."""
        return {
            "id": one.id,
            "name": one.name,
            "description": one.description,
            "user_id": one.user_id,
            "project_id": one.project_id,
            "system": None,
            "expires_at": None,
            "unrestricted": None,
            "roles": [self.role(role) for role in one.roles],
            "links": {"self": f"{url}/identity/v3/users/{one.user_id}/application_credentials/{one.id}"},
        }
