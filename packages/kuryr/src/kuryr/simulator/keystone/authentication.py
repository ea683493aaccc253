"""POST /v3/auth/tokens: who one is, by password, application credential or another token, and in which project."""

from typing import Any

from kuryr.simulator.keystone.directory import ApplicationCredential, Directory, Project, User
from kuryr.simulator.keystone.tokens import IssuedToken, Tokens
from kuryr.simulator.refusals import Body, Refusal, not_simulated

_MALFORMED = (
    "The server could not comply with the request since it is either malformed or otherwise incorrect. "
    "The client is assumed to be in error."
)
UNAUTHORISED = Refusal(401, "Unauthorized", "The request you have made requires authentication.")


def malformed(expected: str) -> Refusal:
    return Refusal(400, "Bad Request", f"{expected} {_MALFORMED}")


def authenticate(directory: Directory, tokens: Tokens, body: Any) -> IssuedToken:
    """Issues a token. Raises `Refusal`."""
    try:
        auth = body["auth"]
    except (KeyError, TypeError):
        raise malformed("Expecting to find auth in request body.") from None
    try:
        identity = auth["identity"]
        (method,) = identity["methods"]
        facts = identity[method]
        scope = auth.get("scope")
        if method == "password":
            return _by_password(directory, tokens, facts["user"], scope)
        if method == "application_credential":
            return _by_credential(directory, tokens, facts)
        if method == "token":
            return _by_token(directory, tokens, facts["id"], scope)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise malformed("Expecting to find a valid auth in request body.") from None
    raise not_simulated(f"authentication by {method}")


def _by_password(directory: Directory, tokens: Tokens, facts: Body, scope: Any) -> IssuedToken:
    user = _user(directory, facts)
    if user is None or user.password != facts["password"]:
        raise UNAUTHORISED
    project, roles = _scoped(directory, user, scope)
    return tokens.issue(user.id, project, roles)


def _by_credential(directory: Directory, tokens: Tokens, facts: Body) -> IssuedToken:
    found = _credential(directory, facts)
    if found is None:
        name = facts.get("id") or facts.get("name")
        raise Refusal(404, "Not Found", f"Could not find Application Credential: {name}.")
    if found.secret != facts["secret"]:
        raise UNAUTHORISED
    # of roles that its user has lost meanwhile nothing is left
    roles = tuple(role for role in directory.roles(found.user_id, found.project_id) if role in found.roles)
    if not roles:
        raise UNAUTHORISED
    methods = ("application_credential",)
    return tokens.issue(found.user_id, found.project_id, roles, methods=methods, credential_id=found.id)


def _by_token(directory: Directory, tokens: Tokens, secret: str, scope: Any) -> IssuedToken:
    before = tokens.find(secret)
    if before is None:
        raise UNAUTHORISED
    project, roles = _scoped(directory, directory.users[before.user_id], scope)
    methods = tuple(dict.fromkeys((*before.methods, "token")))
    return tokens.issue(before.user_id, project, roles, methods=methods, expires_at=before.expires_at)


def _user(directory: Directory, facts: Body) -> User | None:
    return directory.users.get(facts["id"]) if "id" in facts else directory.user_named(facts["name"])


def _credential(directory: Directory, facts: Body) -> ApplicationCredential | None:
    if "id" in facts:
        return directory.credentials.get(facts["id"])
    user = _user(directory, facts["user"])
    for one in directory.credentials.values():
        if user is not None and (one.user_id, one.name) == (user.id, facts["name"]):
            return one
    return None


def _scoped(directory: Directory, user: User, scope: Any) -> tuple[str, tuple[str, ...]]:
    """Project and roles; both empty without a scope, or where it is explicitly none."""
    if scope is None or scope == "unscoped":
        return "", ()
    if not isinstance(scope, dict) or "project" not in scope:
        raise not_simulated("a scope other than a project")
    project = _project(directory, scope["project"])
    roles = directory.roles(user.id, project.id) if project is not None else ()
    if project is None or not roles:
        raise UNAUTHORISED
    return project.id, roles


def _project(directory: Directory, facts: Body) -> Project | None:
    return directory.projects.get(facts["id"]) if "id" in facts else directory.project_named(facts["name"])
