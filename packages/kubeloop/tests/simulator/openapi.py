"""The fields of the built-in kinds, out of a real server's OpenAPI documents, as `simulator/built_in_fields.txt` has
them. Run it to write that file anew: `python -m packages.kubeloop.tests.simulator.openapi`.
"""

import asyncio
from typing import Any

import msgspec

from kubeloop.client.transport import HttpTransport, Request
from kubeloop.simulator.built_in import FIELDS
from kubeloop.simulator.kinds import BUILT_IN
from kubeloop.testing import ControlPlane

Schemas = dict[str, Any]

_TYPES = {"string": "s", "integer": "i", "boolean": "b", "number": "n"}
_WELL_KNOWN = {"Time": "t", "MicroTime": "t", "Quantity": "q", "IntOrString": "q"}
_ANYTHING = ("JSON", "JSONSchemaProps", "RawExtension", "FieldsV1")
HEADER = """\
# The fields of the kinds that Kubernetes {version} brings along, made by tests/simulator/openapi.py.
# s string, i integer, b boolean, n number, t time, B bytes, q integer or text, x anything, [T] list, {{T}} map of T.
# After a list: its keys, or "set". "!": merged as a whole.
"""


async def fields_text(transport: HttpTransport) -> str:
    """The whole file."""
    lines: dict[str, str] = {}
    for group, version in dict.fromkeys((kind.group, kind.version) for kind in BUILT_IN):
        path = f"/openapi/v3/apis/{group}/{version}" if group else f"/openapi/v3/api/{version}"
        answer = await transport.request(Request("GET", path), timeout_s=30)
        schemas: Schemas = msgspec.json.decode(answer.body)["components"]["schemas"]
        kinds = {(kind.group, kind.version, kind.kind) for kind in BUILT_IN}
        for name, schema in schemas.items():
            for one in schema.get("x-kubernetes-group-version-kind", ()):
                if (one["group"], one["version"], one["kind"]) in kinds:
                    _struct(schemas, name, lines)
    version = msgspec.json.decode((await transport.request(Request("GET", "/version"), timeout_s=30)).body)
    header = HEADER.format(version=f"{version['major']}.{version['minor']}")
    return header + "".join(f"{lines[name]}\n" for name in sorted(lines))


def _struct(schemas: Schemas, name: str, lines: dict[str, str]) -> str:
    short = _short(name)
    if short not in lines:
        lines[short] = ""
        schema = schemas[name]
        mark = "!" if schema.get("x-kubernetes-map-type") == "atomic" else ""
        fields = schema.get("properties", {}).items()
        lines[short] = " ".join((short + mark, *(f"{field}:{_type(schemas, one, lines)}" for field, one in fields)))
    return short


def _short(name: str) -> str:
    """io.k8s.api.core.v1.Pod -> core.Pod"""
    package, _, kind = name.split(".")[-3:]
    return f"{package}.{kind}"


def _type(schemas: Schemas, schema: Schemas, lines: dict[str, str]) -> str:
    if "allOf" in schema:
        [schema] = schema["allOf"]
    if "$ref" in schema:
        return _reference(schemas, schema["$ref"].rpartition("/")[2], lines)
    if schema.get("type") == "array":
        keys = ",".join(schema.get("x-kubernetes-list-map-keys", ()))
        of_set = "set" if schema.get("x-kubernetes-list-type") == "set" else ""
        return f"[{_type(schemas, schema['items'], lines)}]{keys or of_set}"
    if "additionalProperties" in schema:
        mark = "!" if schema.get("x-kubernetes-map-type") == "atomic" else ""
        return f"{{{_type(schemas, schema['additionalProperties'], lines)}}}{mark}"
    return "B" if schema.get("format") == "byte" else _TYPES[schema["type"]]


def _reference(schemas: Schemas, name: str, lines: dict[str, str]) -> str:
    kind = name.rpartition(".")[2]
    if kind in _WELL_KNOWN:
        return _WELL_KNOWN[kind]
    if kind.startswith(_ANYTHING):
        return "x"
    return _struct(schemas, name, lines)


async def _main() -> None:
    async with ControlPlane() as plane, HttpTransport(plane.config(), user_agent="openapi/1") as transport:
        text = await fields_text(transport)
    FIELDS.write_text(text)


if __name__ == "__main__":
    asyncio.run(_main())
