"""The same calls on the real kube-apiserver and on the simulated one, and what of two answers must be the same.

The servers name objects and versions each in its own way, and time goes on: a UID and a version are told by when they
were seen first, so that "the same as before" and "a new one" is what is compared.
"""

import asyncio
import http.client
import json
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from kubeloop.client.transport import JSON, Request, Response
from kubeloop.simulator import ApiServer
from kubeloop.testing import ControlPlane

Body = dict[str, Any]
Query = Mapping[str, str]
Answer = tuple[int, Any]
"""Status and body."""

_USER_AGENT = "differential/1"
_CALL_S = 30
_WATCH_S = 3
_NOTHING_MORE: Body = {"type": "NOTHING MORE"}
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VERSION = re.compile(r"\((\d+)\)")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


class Server(Protocol):
    name: str

    def call(
        self, method: str, path: str, body: object = None, *, content_type: str = JSON, query: Query | None = None
    ) -> Answer: ...

    def watch(self, path: str, query: Query, *, until: Callable[[Body], bool]) -> Answer:
        """The events up to and with the one that is the last; or a refusal."""
        ...


class Real:
    """Over one connection, but for watches: the test makes thousands of calls."""

    name = "real"

    def __init__(self, plane: ControlPlane) -> None:
        config = plane.config()
        self._headers = {**asyncio.run(config.credentials.identity()).headers, "User-Agent": _USER_AGENT}
        self._context = ssl.create_default_context(cafile=config.ca_file)
        self._address = urlsplit(config.server).netloc
        self._connection = self._connect()

    def call(
        self, method: str, path: str, body: object = None, *, content_type: str = JSON, query: Query | None = None
    ) -> Answer:
        headers = {**self._headers, "Content-Type": content_type}
        content = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, _target(path, query), content, headers)
            answer = self._connection.getresponse()
        except (http.client.HTTPException, ConnectionError):  # other tests restart the server
            self._connection = self._connect()
            self._connection.request(method, _target(path, query), content, headers)
            answer = self._connection.getresponse()
        return answer.status, _read(answer.read())

    def watch(self, path: str, query: Query, *, until: Callable[[Body], bool]) -> Answer:
        connection = self._connect(_WATCH_S)
        events: list[Body] = []
        try:
            connection.request("GET", _target(path, {"watch": "true", **query}), headers=self._headers)
            answer = connection.getresponse()
            if answer.status != 200:
                return answer.status, _read(answer.read())
            while not events or not until(events[-1]):
                events.append(json.loads(answer.readline()))
        except TimeoutError:
            events.append(_NOTHING_MORE)
        finally:
            connection.close()
        return 200, events

    def close(self) -> None:
        self._connection.close()

    def _connect(self, timeout_s: float = _CALL_S) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._address, context=self._context, timeout=timeout_s)


class Simulated:
    """In process."""

    name = "simulated"

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    def call(
        self, method: str, path: str, body: object = None, *, content_type: str = JSON, query: Query | None = None
    ) -> Answer:
        content = b"" if body is None else json.dumps(body).encode()
        request = Request(method, path, tuple((query or {}).items()), content, content_type)
        answer = self._server.handle(request, user_agent=_USER_AGENT)
        return answer.status, _read(answer.body)

    def watch(self, path: str, query: Query, *, until: Callable[[Body], bool]) -> Answer:
        return asyncio.run(self._watch(Request("GET", path, (("watch", "true"), *query.items())), until))

    async def _watch(self, request: Request, until: Callable[[Body], bool]) -> Answer:
        stream = self._server.watch(request)
        if isinstance(stream, Response):
            return stream.status, _read(stream.body)
        events: list[Body] = []
        try:
            async with asyncio.timeout(_WATCH_S):
                while not events or not until(events[-1]):
                    events.append(json.loads(await anext(stream)))
        except TimeoutError:
            events.append(_NOTHING_MORE)
        finally:
            stream.close()
        return 200, events


def _target(path: str, query: Query | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


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
        """Of what cannot be read, or is invalid, the words are not compared, only what it is."""
        found = self.of(body)
        if status in (400, 500):
            found = {"reason": body.get("reason"), "code": body.get("code")}
        if status == 422:
            causes = [(cause.get("reason"), cause.get("field")) for cause in body.get("details", {}).get("causes", ())]
            found = {"reason": body.get("reason"), "causes": sorted(set(causes), key=str)}
        return {"status": status, "body": found}

    def of(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: self.of(inner, key) for key, inner in value.items() if not _is_of_a_list(key, value)}
        if isinstance(value, list):
            items = [self.of(item) for item in value]
            return sorted(items, key=_order) if name in ("managedFields", "causes") else items
        if not isinstance(value, str):
            return value
        if name in ("resourceVersion", "continue"):
            return self._named(name, value)
        text = _TIME.sub("<time>", _UUID.sub(lambda found: self._named("uid", found[0]), value))
        if name != "message":
            return text
        text = _VERSION.sub(lambda found: f"({self._named('resourceVersion', found[1])})", text)
        # the real server tells several of anything in any order
        return "".join(sorted(re.split(r"\n|, |\[|\]", text)))

    def _named(self, kind: str, raw: str) -> str:
        if not raw:
            return raw
        seen = sum(key[0] == kind for key in self._seen)
        return self._seen.setdefault((kind, raw), f"<{kind} {seen}>")


def _is_of_a_list(key: str, inside: Body) -> bool:
    """The version of a list or bookmark: of all that is stored, so the real server's grows by other's writes too."""
    return key == "resourceVersion" and "name" not in inside


def _order(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def assert_same(real: Any, simulated: Any, steps: Sequence[object]) -> None:
    """Fails with the steps that led here, and each value that is not the same."""
    found = differences(real, simulated)
    if found:
        lines = ["after", *(f"  {step}" for step in steps), "differ", *(f"  {one}" for one in found)]
        raise AssertionError("\n".join(lines))


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
