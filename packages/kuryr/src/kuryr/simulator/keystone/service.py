"""Keystone's API, version 3: tokens, the catalog, and what one may read of projects, users and roles."""

from collections.abc import Callable
from typing import Any

import msgspec

from kuryr.openstack.session import Answer
from kuryr.simulator.identifiers import Identifiers
from kuryr.simulator.keystone.authentication import UNAUTHORISED, authenticate, malformed
from kuryr.simulator.keystone.directory import Directory
from kuryr.simulator.keystone.documents import Documents
from kuryr.simulator.keystone.tokens import IssuedToken, Tokens
from kuryr.simulator.refusals import Body, Refusal, keystone_refused, not_simulated
from kuryr.simulator.requests import Request

_VERSION = "v3"


class Keystone:
    """`url` is the cloud's."""

    def __init__(
        self,
        directory: Directory,
        tokens: Tokens,
        identifiers: Identifiers,
        url: Callable[[], str],
    ) -> None:
        self._directory = directory
        self._tokens = tokens
        self._url = url
        self._documents = Documents(directory, tuple(identifiers.hex() for _ in range(8)))

    def handle(self, request: Request) -> Answer:
        """See `Cloud.handle`."""
        try:
            return self._answer(request)
        except Refusal as refusal:
            return keystone_refused(refusal, request.request_id, self._url())

    def _answer(self, request: Request) -> Answer:
        parts = request.parts
        version = self._documents.version(self._url())
        if parts == ("",):
            return _answered(300, {"versions": {"values": [version]}}, request, Location=version["links"][0]["href"])
        if parts[0] != _VERSION:
            raise not_simulated(f"Keystone's {request.path}")
        if parts == (_VERSION,):
            return _answered(200, {"version": version}, request)
        if parts[1:] == ("auth", "tokens") and request.method == "POST":
            return self._issue(request)
        token = self._tokens.find(request.headers.get("X-Auth-Token", ""))
        if token is None:
            raise UNAUTHORISED
        if parts[1:] == ("auth", "tokens"):
            return self._subject(token, request)
        if parts[1] == "users" and parts[3:4] == ("application_credentials",):
            return self._credentials(parts[2], parts[4:], token, request)
        if request.method != "GET":
            raise not_simulated(f"{request.method} of {request.path}")
        return self._read(parts[1:], token, request)

    def _issue(self, request: Request) -> Answer:
        try:
            body = request.json()
        except msgspec.DecodeError:
            raise malformed("Expecting to find valid JSON in request body.") from None
        token = authenticate(self._directory, self._tokens, body)
        return self._shown(token, request, 201)

    def _shown(self, token: IssuedToken, request: Request, status: int) -> Answer:
        body = {"token": self._documents.token(token, self._url())}
        return _answered(status, body, request, **{"X-Subject-Token": token.secret})

    def _subject(self, token: IssuedToken, request: Request) -> Answer:
        subject = self._tokens.find(request.headers.get("X-Subject-Token", ""))
        if subject is None:
            raise Refusal(404, "Not Found", "Failed to validate token")
        if subject.user_id != token.user_id and not {"admin", "service"} & set(token.roles):
            raise _forbidden("validate_token")
        if request.method == "DELETE":
            self._tokens.revoke(subject.secret)
            return Answer(204, b"", _headers(request))
        return self._shown(subject, request, 200)

    def _read(self, parts: tuple[str, ...], token: IssuedToken, request: Request) -> Answer:
        url, query = self._url(), dict(request.query)
        if parts == ("auth", "catalog"):
            return _answered(200, {"catalog": self._documents.catalog(url)}, request)
        if parts == ("auth", "projects"):
            mine = [self._documents.project(one, url) for one in self._directory.projects_of(token.user_id)]
            return self._listed("projects", mine, request)
        if parts[0] == "domains" and parts[1:] in ((), ("default",)):
            domain = self._documents.domain(url)
            return (
                _answered(200, {"domain": domain}, request) if parts[1:] else self._listed("domains", [domain], request)
            )
        if parts == ("projects", token.project_id):
            own = self._directory.projects[token.project_id]
            return _answered(200, {"project": self._documents.project(own, url)}, request)
        if "admin" not in token.roles:
            raise _forbidden(f"{'get' if len(parts) > 1 else 'list'}_{parts[0] if len(parts) == 1 else parts[0][:-1]}")
        known = self._all(parts[0], url)
        if len(parts) == 1:
            named = [one for one in known if query.get("name", one["name"]) == one["name"]]
            return self._listed(parts[0], named, request)
        for one in known:
            if one["id"] == parts[1] and len(parts) == 2:
                return _answered(200, {parts[0][:-1]: one}, request)
        raise Refusal(404, "Not Found", f"Could not find {parts[0][:-1]}: {parts[1]}.")

    def _all(self, collection: str, url: str) -> list[Body]:
        if collection == "projects":
            return [self._documents.project(one, url) for one in self._directory.projects.values()]
        if collection == "users":
            return [self._documents.user(one, url) for one in self._directory.users.values()]
        if collection == "roles":
            return [self._documents.role(name) for name in self._directory.role_ids]
        if collection == "services":
            return self._documents.services(url)
        raise not_simulated(f"Keystone's {collection}")

    def _listed(self, name: str, objects: list[Body], request: Request) -> Answer:
        links = {"next": None, "self": f"{self._url()}/identity{request.path}", "previous": None}
        return _answered(200, {name: objects, "links": links}, request)

    def _credentials(self, user: str, rest: tuple[str, ...], token: IssuedToken, request: Request) -> Answer:
        if user != token.user_id:
            raise _forbidden("get_application_credential")
        if request.method == "POST" and not rest:
            return self._make_credential(token, request)
        if request.method == "GET" and not rest:
            mine = [one for one in self._directory.credentials.values() if one.user_id == user]
            shown = [self._documents.credential(one, self._url()) for one in mine]
            return self._listed("application_credentials", shown, request)
        if request.method == "DELETE" and len(rest) == 1:
            found = self._directory.credentials.get(rest[0])
            if found is None or found.user_id != user:
                raise Refusal(404, "Not Found", f"Could not find Application Credential: {rest[0]}.")
            del self._directory.credentials[found.id]
            self._tokens.revoke_where(lambda one: one.credential_id == rest[0])
            return Answer(204, b"", _headers(request))
        raise not_simulated(f"{request.method} of {request.path}")

    def _make_credential(self, token: IssuedToken, request: Request) -> Answer:
        try:
            wanted: Any = request.json()["application_credential"]
            name, roles = wanted["name"], tuple(role["name"] for role in wanted.get("roles") or ())
        except (msgspec.DecodeError, KeyError, TypeError):
            raise malformed("Expecting to find application_credential in request body.") from None
        if wanted.get("expires_at") or wanted.get("access_rules"):
            raise not_simulated("application credentials that expire, or with access rules")
        made = self._directory.add_credential(
            name,
            token.user_id,
            token.project_id,
            roles or token.roles,
            secret=wanted.get("secret") or "",
            description=wanted.get("description") or "",
        )
        shown = {**self._documents.credential(made, self._url()), "secret": made.secret}
        return _answered(201, {"application_credential": shown}, request)


def _forbidden(action: str) -> Refusal:
    text = f"You are not authorized to perform the requested action: identity:{action}."
    return Refusal(403, "Forbidden", text)


def _headers(request: Request) -> dict[str, str]:
    return {"Content-Type": "application/json", "Vary": "X-Auth-Token", "X-Openstack-Request-Id": request.request_id}


def _answered(status: int, body: Any, request: Request, **headers: str) -> Answer:
    return Answer(status, msgspec.json.encode(body), {**_headers(request), **headers})
