"""What a request is about, read from its method and path."""

from kubeloop.client.transport import Request

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


def verb_of(request: Request) -> str:
    """As in RBAC: get, list, watch, create, update, patch, delete, deletecollection."""
    verb = _VERBS.get(request.method)
    if verb is not None:
        return verb
    named = _names_object(request.path)
    if request.method == "DELETE":
        return "delete" if named else "deletecollection"
    if ("watch", "true") in request.query:
        return "watch"
    return "get" if named else "list"


def resource_of(path: str) -> str:
    """The plural with its group: `pods`, `leases.coordination.k8s.io`. Empty for what is no resource."""
    group, rest = _split(path)
    return f"{rest[0]}.{group}" if rest and group else rest[0] if rest else ""


def changes_something(request: Request) -> bool:
    """Whether it could take effect."""
    return request.method not in ("GET", "HEAD") and ("dryRun", "All") not in request.query


def _names_object(path: str) -> bool:
    rest = _split(path)[1]
    return len(rest) != 1


def _split(path: str) -> tuple[str, list[str]]:
    """The group, and plural, name and subresource, as far as they are there."""
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        group, rest = "", parts[2:]
    elif parts[0] == "apis" and len(parts) > 2:
        group, rest = parts[1], parts[3:]
    else:
        return "", []
    if len(rest) > 2 and rest[0] == "namespaces" and not (not group and rest[2] in ("status", "finalize")):
        rest = rest[2:]
    return group, rest
