"""Kinds that are data for others: config maps, secrets, policies, rights."""

import base64
import re

from kubeloop.simulator.causes import too_long
from kubeloop.simulator.refusals import Body, Cause
from kubeloop.simulator.storage import Storage
from kubeloop.simulator.strategies.base import Strategy, forbidden, immutable, invalid

_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_RBAC = "rbac.authorization.k8s.io"

_EVENT_ALWAYS: Body = {
    "eventTime": None,
    "reportingController": "",
    "reportingInstance": "",
    "deprecatedSource": {},
    "deprecatedFirstTimestamp": None,
    "deprecatedLastTimestamp": None,
}
_OF_CORE: Body = {
    "eventTime": None,
    "reportingComponent": "",
    "reportingInstance": "",
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
}


_MOST_BYTES = 1024 * 1024


class ConfigMaps(Strategy):
    size_field = "[]"  # where the real server says that there is too much

    def problems(self, body: Body, old: Body | None) -> list[Cause]:
        causes = [
            invalid(
                f"{name}[{key}]", key, "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
            )
            for name in ("data", "binaryData")
            for key in body.get(name, {})
            if not _KEY.fullmatch(key) or len(key) > 253 or key.startswith("..") or key == "."
        ]
        causes += [
            invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
            for key in body.get("data", {}).keys() & body.get("binaryData", {}).keys()
        ]
        if self._size_bytes(body) > _MOST_BYTES:
            causes.append(too_long(self.size_field, _MOST_BYTES))
        return causes + self._immutable(body, old)

    def _size_bytes(self, body: Body) -> int:
        texts = sum(len(text.encode()) for text in body.get("data", {}).values())
        return texts + sum(map(_decoded_bytes, body.get("binaryData", {}).values()))

    def _immutable(self, body: Body, old: Body | None) -> list[Cause]:
        if old is None or not old.get("immutable"):
            return []
        changed = [name for name in ("data", "binaryData") if body.get(name) != old.get(name)]
        if not body.get("immutable"):
            changed.insert(0, "immutable")
        return [forbidden(name, "field is immutable when `immutable` is set") for name in changed]


def _decoded_bytes(text: str) -> int:
    """Of what is in base64."""
    return len(text) * 3 // 4 - text[-2:].count("=")


class Secrets(ConfigMaps):
    size_field = "data"

    def _size_bytes(self, body: Body) -> int:
        return sum(map(_decoded_bytes, body.get("data", {}).values()))

    def defaulted(self, body: Body) -> Body:
        """What was given as text becomes data."""
        if "stringData" not in body:
            return body
        data = {name: base64.b64encode(text.encode()).decode() for name, text in body["stringData"].items()}
        rest = {name: value for name, value in body.items() if name != "stringData"}
        return {**rest, "data": {**body.get("data", {}), **data}}

    def problems(self, body: Body, old: Body | None) -> list[Cause]:
        causes = super().problems(body, old)
        if old is not None and body["type"] != old["type"]:
            causes.append(immutable("type", body["type"]))
        return causes


class NetworkPolicies(Strategy):
    def defaulted(self, body: Body) -> Body:
        spec = body.get("spec", {})
        if spec.get("policyTypes"):
            return body
        types = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
        return {**body, "spec": {**spec, "policyTypes": types}}


class EndpointSlices(Strategy):
    def generation_grows(self, body: Body, old: Body) -> bool:
        """With all but most of the metadata."""
        kept = [
            {**{name: value for name, value in one.items() if name != "metadata"}, "": one["metadata"].get("labels")}
            for one in (body, old)
        ]
        return kept[0] != kept[1]


class Events(Strategy):
    """Of either group: what both show, also where it says nothing."""

    def prepare_create(self, body: Body, storage: Storage) -> Body:
        return _shown(body)

    def prepare_update(self, body: Body, old: Body, subresource: str) -> Body:
        return _shown(body)


class RoleBindings(Strategy):
    def defaulted(self, body: Body) -> Body:
        if "subjects" not in body:
            return body
        subjects = [
            {"apiGroup": _RBAC, **one} if one.get("kind") in ("User", "Group") else one for one in body["subjects"]
        ]
        return {**body, "subjects": subjects}

    def problems(self, body: Body, old: Body | None) -> list[Cause]:
        if old is not None and body.get("roleRef") != old.get("roleRef"):
            return [Cause("FieldValueInvalid", "Invalid value: cannot change roleRef", "roleRef")]
        return []


def _shown(event: Body) -> Body:
    always = _OF_CORE if "involvedObject" in event else _EVENT_ALWAYS
    return {**event, **{name: value for name, value in always.items() if name not in event}}
