"""The real server, asked directly: what becomes of bodies of kinds of a given schema, and of patches."""

import http.client
import itertools
import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from kubeloop.client.transport import JSON
from kubeloop.testing import ControlPlane

Body = dict[str, Any]

GROUP = "differential.kubeloop.dev"


@dataclass
class Verdict:
    """What was said to a body: its causes, or how it would be stored."""

    causes: list[tuple[str, str, str]] = field(default_factory=list)
    stored: Body = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


class RealServer:
    """A connection to the real server, kept."""

    def __init__(self, plane: ControlPlane) -> None:
        config = plane.config()
        context = ssl.create_default_context(cafile=str(config.ca_file))
        self._connection = http.client.HTTPSConnection(urlsplit(config.server).netloc, context=context, timeout=30)
        token = next(iter((plane.folder / "tokens.csv").read_text().split(",")))
        self._headers = {"Authorization": f"Bearer {token}"}
        self._names: Iterator[str] = (f"kind{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in itertools.count())

    def close(self) -> None:
        self._connection.close()

    def call(self, method: str, path: str, body: Any = None, content_type: str = JSON) -> tuple[int, Body, list[str]]:
        """Status, body and warnings. Other tests stop the server meanwhile, and start it again."""
        headers = {**self._headers, "Content-Type": content_type}
        content = None if body is None else json.dumps(body)
        for _ in range(100):
            try:
                self._connection.request(method, path, content, headers)
                answer = self._connection.getresponse()
                found = answer.read()
            except (http.client.HTTPException, OSError):
                self._connection.close()  # the next request opens it anew
            else:
                if answer.status != 429:
                    break
            time.sleep(0.1)
        else:
            raise AssertionError(f"no answer to {method} {path}")
        warnings = answer.headers.get_all("Warning") or []
        return answer.status, json.loads(found) if found.startswith(b"{") else {}, warnings

    def define(self, schema: Body) -> str:
        """The plural of a new kind, once it is served."""
        kind = next(self._names)
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        spec = {
            "group": GROUP,
            "scope": "Cluster",
            "names": {"kind": kind.title(), "plural": kind, "singular": kind},
            "versions": [version],
        }
        body = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{kind}.{GROUP}"},
            "spec": spec,
        }
        status, answer, _ = self.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
        assert status == 201, answer
        deadline = time.monotonic() + 30
        while self.call("POST", f"{self.path(kind)}?dryRun=All", {})[0] in (404, 429):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return kind

    def redefine(self, plural: str, schema: Body, refused: Body) -> None:
        """Gives the kind another schema, and waits until it refuses this body."""
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{GROUP}"
        patch = [{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema}]
        status, answer, _ = self.call("PATCH", path, patch, "application/json-patch+json")
        assert status == 200, answer
        deadline = time.monotonic() + 30
        while self.call("POST", f"{self.path(plural)}?dryRun=All", self.object(plural, refused))[0] != 422:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def created(self, plural: str, body: Body) -> Verdict:
        """What would become of a create."""
        return self._verdict(self.call("POST", f"{self.path(plural)}?dryRun=All", self.object(plural, body)))

    def updated(self, plural: str, body: Body, old: Body) -> Verdict | None:
        """What would become of an update of `old`; None when that is refused already."""
        status, answer, _ = self.call("POST", self.path(plural), self.object(plural, old))
        if status != 201:
            return None
        try:
            new = self.object(plural, body)
            new["metadata"]["resourceVersion"] = answer["metadata"]["resourceVersion"]
            return self._verdict(self.call("PUT", f"{self.path(plural)}/a?dryRun=All", new))
        finally:
            self.call("DELETE", f"{self.path(plural)}/a")

    def replaced(self, plural: str, body: Body) -> Verdict:
        """What would become of an update of the object that is there."""
        _, there, _ = self.call("GET", f"{self.path(plural)}/a")
        new = self.object(plural, body)
        new["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"]
        return self._verdict(self.call("PUT", f"{self.path(plural)}/a?dryRun=All", new))

    @staticmethod
    def object(plural: str, body: Body) -> Body:
        return {"apiVersion": f"{GROUP}/v1", "kind": plural.title(), "metadata": {"name": "a"}, **body}

    @staticmethod
    def _verdict(answered: tuple[int, Body, list[str]]) -> Verdict:
        status, answer, warnings = answered
        if status in (200, 201):
            stored = {name: one for name, one in answer.items() if name not in ("apiVersion", "kind", "metadata")}
            found = [
                warning.split('unknown field \\"')[1].split('\\"')[0] for warning in warnings if "unknown" in warning
            ]
            return Verdict(stored=stored, unknown=sorted(found))
        assert status == 422, answer
        causes = answer["details"]["causes"]
        return Verdict(causes=[(one.get("reason", ""), one.get("field", ""), one["message"]) for one in causes])

    @staticmethod
    def path(plural: str) -> str:
        return f"/apis/{GROUP}/v1/{plural}"
