"""What form of an answer the Accept header asks for.

JSON is what this server speaks, and YAML where nothing else will do; no protobuf and no CBOR. Objects come whole, as
their metadata alone, or as a Table for people.
https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
"""

from collections.abc import Iterator
from dataclasses import dataclass

from kubeloop.simulator.refusals import Refusal

_META = "meta.k8s.io"
_FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
_KNOWN_PARAMETERS = ("as", "g", "v", "q", "charset", "profile", "stream", "pretty")
_TYPES = {"application/json": "json", "application/*": "json", "*/*": "json", "application/yaml": "yaml"}


@dataclass(frozen=True, slots=True)
class Form:
    """`kind` is empty for objects as they are; else what they are shown as, in that version of meta.k8s.io."""

    kind: str = ""
    version: str = ""
    encoding: str = "json"

    @property
    def api_version(self) -> str:
        return f"{_META}/{self.version}"


PLAIN = Form()


def negotiated(accept: str) -> Form:
    """The first form asked for that we have. Raises `Refusal` (406)."""
    if not accept or accept == "application/json":
        return PLAIN
    for media_type, parameters in _clauses(accept):
        if media_type not in _TYPES:
            continue
        encoding, kind = _TYPES[media_type], parameters.get("as", "")
        if not kind:
            return Form(encoding=encoding)
        version = parameters.get("v", "")
        if kind in _FORMS and parameters.get("g") == _META and version in ("v1", "v1beta1"):
            return Form(kind, version, encoding)
    raise Refusal(
        406, "NotAcceptable", "only the following media types are accepted: application/json, application/yaml"
    )


def _clauses(accept: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Media types with their parameters, what is wanted most first."""
    found: list[tuple[float, str, dict[str, str]]] = []
    for clause in accept.split(","):
        media_type, *rest = (part.strip() for part in clause.split(";"))
        parameters = dict(part.split("=", 1) for part in rest if "=" in part)
        if not set(parameters) <= set(_KNOWN_PARAMETERS):
            continue
        found.append((_weight(parameters.get("q", "")), media_type.lower(), parameters))
    for _, media_type, parameters in sorted(found, key=lambda one: -one[0]):
        yield media_type, parameters


def _weight(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0
