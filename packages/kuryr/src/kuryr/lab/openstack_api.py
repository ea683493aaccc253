"""A small blocking client for setting the lab up: the product's own client is what the lab tests."""

import json
import urllib.error
import urllib.request
from typing import Any

from kuryr.lab.layout import KEYSTONE_PORT, NEUTRON_PORT, PASSWORD, LabError

KEYSTONE_URL = f"http://127.0.0.1:{KEYSTONE_PORT}/v3"
NEUTRON_URL = f"http://127.0.0.1:{NEUTRON_PORT}"


def answering(url: str) -> bool:
    """Something at this URL speaks HTTP, and not of an error of its own."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - the lab's own URL
            return bool(answer.status < 500)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


class Api:
    """One user in one project."""

    def __init__(self, user: str, project: str) -> None:
        identity = {
            "methods": ["password"],
            "password": {"user": {"name": user, "domain": {"id": "default"}, "password": PASSWORD}},
        }
        scope = {"project": {"name": project, "domain": {"id": "default"}}}
        request = urllib.request.Request(f"{KEYSTONE_URL}/auth/tokens", method="POST")  # noqa: S310
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps({"auth": {"identity": identity, "scope": scope}}).encode()
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            self._token = answer.headers["X-Subject-Token"]

    def call(self, method: str, url: str, body: Any = None) -> Any:
        """The decoded answer. Raises `LabError` with what the service said."""
        request = urllib.request.Request(url, method=method)  # noqa: S310
        request.add_header("X-Auth-Token", self._token)
        request.add_header("Content-Type", "application/json")
        request.add_header("User-Agent", "kuryr-lab")
        request.data = json.dumps(body).encode() if body is not None else None
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise LabError(f"{method} {url}: {error.code} {error.read().decode(errors='replace')[:500]}") from error

    def ensure(self, base: str, kind: str, name: str, **fields: Any) -> dict[str, Any]:
        """The object of that name, made if it is not there."""
        collection = f"{base}/{kind.replace('_', '-')}s"
        found = self.call("GET", f"{collection}?name={name}")[f"{kind}s"]
        if found:
            return dict(found[0])
        return dict(self.call("POST", collection, {kind: {"name": name, **fields}})[kind])

    def ensure_user(self, name: str, project: str, *roles: str) -> None:
        """The user with these roles in the project, all made if they are not there."""
        where = self.ensure(KEYSTONE_URL, "project", project, domain_id="default")
        user = self.ensure(KEYSTONE_URL, "user", name, domain_id="default", password=PASSWORD)
        for one in roles:
            role = self.ensure(KEYSTONE_URL, "role", one)
            self.call("PUT", f"{KEYSTONE_URL}/projects/{where['id']}/users/{user['id']}/roles/{role['id']}")
