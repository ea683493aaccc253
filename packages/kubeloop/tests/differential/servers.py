"""The same calls on the real kube-apiserver and on the simulated one, and what of two answers must be the same.

The servers name objects and versions each in its own way, and time goes on: a UID and a version are told by when they
were seen first, so that "the same as before" and "a new one" is what is compared.
"""

import asyncio
import http.client
import json
import re
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from kubeloop.client.transport import JSON, Request
from kubeloop.simulator import ApiServer
from kubeloop.testing import ControlPlane

Body = dict[str, Any]
Query = Mapping[str, str]

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


class Server(Protocol):
    name: str

    def call(
        self, method: str, path: str, body: object = None, *, content_type: str = JSON, query: Query | None = None
    ) -> tuple[int, Any]:
        """Status and body."""
        ...


class Real:
    """Over one connection: the test makes thousands of calls."""

    name = "real"

    def __init__(self, plane: ControlPlane) -> None:
        config = plane.config()
        self._headers = asyncio.run(config.credentials.identity()).headers
        context = ssl.create_default_context(cafile=config.ca_file)
        self._connection = http.client.HTTPSConnection(urlsplit(config.server).netloc, context=context, timeout=30)

    def call(
        self, method: str, path: str, body: object = None, *, content_type: str = JSON, query: Query | None = None
    ) -> tuple[int, Any]:
        target = f"{path}?{urlencode(query)}" if query else path
        headers = {**self._headers, "Content-Type": content_type, "User-Agent": "differential/1"}
        self._connection.request(method, target, None if body is None else json.dumps(body), headers)
        answer = self._connection.getresponse()
        return answer.status, _read(answer.read())

    def close(self) -> None:
        self._connection.close()


class Simulated:
    """In process."""

    name = "simulated"

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    def call(
        self, method: str, path: str, body: object = None, *, content_type: str = JSON, query: Query | None = None
    ) -> tuple[int, Any]:
        content = b"" if body is None else json.dumps(body).encode()
        request = Request(method, path, tuple((query or {}).items()), content, content_type)
        answer = self._server.handle(request, user_agent="differential/1")
        return answer.status, _read(answer.body)


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()


class Told:
    """What a server's answers tell, without what each server names in its own way."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], str] = {}

    def answer(self, status: int, body: Any) -> Any:
        """The words of what is invalid are not compared, only what is."""
        found = self.of(body)
        if status == 422:
            causes = [(cause.get("reason"), cause.get("field")) for cause in body.get("details", {}).get("causes", ())]
            found = {"reason": body.get("reason"), "causes": sorted(set(causes), key=str)}
        return {"status": status, "body": found}

    def of(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: self.of(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            items = [self.of(item) for item in value]
            return sorted(items, key=_order) if name in ("managedFields", "causes") else items
        if not isinstance(value, str):
            return value
        if name == "resourceVersion":
            return self._named("version", value)
        text = _TIME.sub("<time>", _UUID.sub(lambda found: self._named("uid", found[0]), value))
        # the real server tells several of anything in any order
        return "".join(sorted(re.split(r"\n|, |\[|\]", text))) if name == "message" else text

    def _named(self, kind: str, raw: str) -> str:
        seen = sum(key[0] == kind for key in self._seen)
        return self._seen.setdefault((kind, raw), f"<{kind} {seen}>")


def _order(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def assert_same(real: Any, simulated: Any, steps: Sequence[object]) -> None:
    """Fails with the steps that led here, and each value that is not the same."""
    found = differences(real, simulated)
    if found:
        raise AssertionError(
            "\n".join(["after", *(f"  {step}" for step in steps), "differ", *(f"  {one}" for one in found)])
        )


def differences(real: Any, simulated: Any, path: str = "") -> list[str]:
    """One line for each value that is not the same."""
    if isinstance(real, dict) and isinstance(simulated, dict):
        names = sorted(real.keys() | simulated.keys())
        pairs = [(f"{path}.{name}", real.get(name, ...), simulated.get(name, ...)) for name in names]
    elif isinstance(real, list) and isinstance(simulated, list) and len(real) == len(simulated):
        pairs = [(f"{path}[{index}]", *both) for index, both in enumerate(zip(real, simulated, strict=True))]
    else:
        return [] if real == simulated else [f"{path}: real {real!r}, simulated {simulated!r}"]
    return [line for where, one, other in pairs for line in differences(one, other, where)]
