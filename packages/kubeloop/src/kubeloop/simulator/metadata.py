"""An object's metadata: what of a client's may be read, what is right, and what belongs to the server."""

import re
from datetime import datetime
from typing import Annotated, Any

import msgspec

from kubeloop.simulator.causes import invalid as _of_value
from kubeloop.simulator.causes import too_long
from kubeloop.simulator.refusals import Body, Cause, bad_request

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_STANDARD_FINALIZERS = ("foregroundDeletion", "orphan", "kubernetes")
_PATH_SEGMENT_KINDS = ("roles", "clusterroles", "rolebindings", "clusterrolebindings")  # names may hold colons
_DNS_LABEL_KINDS = ("namespaces", "services")
_MOST_BYTES = 256 * 1024  # of annotations

SYSTEM_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


class _OwnerReference(msgspec.Struct, omit_defaults=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None


_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Meta(msgspec.Struct, rename="camel"):
    name: str | None = None
    generate_name: str | None = None
    namespace: str | None = None
    self_link: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    generation: _Int64 | None = None
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: _Int64 | None = None
    labels: dict[str, str | None] | None = None
    annotations: dict[str, str | None] | None = None
    finalizers: list[str] | None = None
    owner_references: list[_OwnerReference] | None = None
    managed_fields: list[dict[str, Any]] | None = None


_KNOWN = frozenset(_Meta.__struct_encode_fields__)


def read_metadata(body: Body) -> tuple[Body, list[str]]:
    """A copy of the body's metadata with what it may hold, and the names of what it may not.

    What is empty is left out, as the real server leaves it. Raises `Refusal` (400) for a value of another type.
    """
    meta = body.get("metadata")
    if meta is None:
        return {}, []
    try:
        msgspec.convert(meta, _Meta)
    except msgspec.ValidationError as error:
        raise bad_request(f"the metadata of the object cannot be read: {error}") from None
    known = {name: value for name, value in meta.items() if name in _KNOWN and value not in (None, "", {}, [])}
    for name in ("labels", "annotations"):
        if name in known:
            known[name] = {key: value or "" for key, value in known[name].items()}
    if "ownerReferences" in known:
        known["ownerReferences"] = _each_once(known["ownerReferences"])
    unknown = [] if len(meta) == len(known) else [f"metadata.{name}" for name in meta if name not in _KNOWN]
    return known, unknown


def _each_once(owners: list[Body]) -> list[Body]:
    return [owner for number, owner in enumerate(owners) if owner not in owners[:number]]


def metadata_problems(meta: Body, resource: str, *, custom: bool) -> list[Cause]:
    """What is wrong with the metadata of an object of this resource."""
    prefix = meta.get("generateName", "")
    causes = _name_problems(_ended(prefix), resource, prefix, "metadata.generateName") if prefix else []
    name = meta.get("name", "")
    causes += _name_problems(name, resource, name, "metadata.name") if name else [_NAMELESS]
    for key, value in meta.get("labels", {}).items():
        causes += _key_problems(key, "metadata.labels")
        if not _LABEL_VALUE.fullmatch(value) or len(value) > 63:
            causes.append(_invalid(value, "a valid label is at most 63 alphanumeric characters", "metadata.labels"))
    for key in meta.get("annotations", {}):
        causes += _key_problems(key.lower(), "metadata.annotations")
    if sum(len(key.encode()) + len(value.encode()) for key, value in meta.get("annotations", {}).items()) > _MOST_BYTES:
        causes.append(too_long("metadata.annotations", _MOST_BYTES))
    causes += _owner_problems(meta.get("ownerReferences", ()))
    if {"orphan", "foregroundDeletion"} <= set(meta.get("finalizers", ())):
        text = "finalizer orphan and foregroundDeletion cannot be both set"
        causes.append(_of_value("metadata.finalizers", meta["finalizers"], text))
    for number, finalizer in enumerate(meta.get("finalizers", ())):
        causes += _key_problems(finalizer, "metadata.finalizers")
        if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS and not custom:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            causes.append(_invalid(finalizer, text, f"metadata.finalizers[{number}]"))
    return causes


def metadata_update_problems(meta: Body, old: Body) -> list[Cause]:
    """What may not change."""
    causes = []
    if "deletionTimestamp" in old:
        late = [name for name in meta.get("finalizers", ()) if name not in old.get("finalizers", ())]
        if late:
            listed = ", ".join(f'"{name}"' for name in late)
            text = (
                "Forbidden: no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{listed}}}"
            )
            causes.append(Cause("FieldValueForbidden", text, "metadata.finalizers"))
    for name in ("uid", "name", "namespace"):
        if meta.get(name) != old.get(name):
            causes.append(_invalid(meta.get(name, ""), "field is immutable", f"metadata.{name}"))
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        if name in meta and name not in old:
            value = f'"{meta[name]}"' if isinstance(meta[name], str) else meta[name]
            text = f"Invalid value: {value}: field is immutable"
            causes.append(Cause("FieldValueInvalid", text, f"metadata.{name}"))
    return causes


_DNS_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_DNS_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_NAME_PART_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_LABEL_KEY_TEXT = (
    f"a valid label key {_NAME_PART_TEXT} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
)


_NAMELESS = Cause("FieldValueRequired", "Required value: name or generateName is required", "metadata.name")


def _ended(prefix: str) -> str:
    """A beginning of names may end with what a name may not."""
    return f"{prefix[:-1]}a" if prefix.endswith("-") and len(prefix) > 1 else prefix


def _name_problems(name: str, resource: str, said: str, field: str) -> list[Cause]:
    """What is wrong with a name; `said` is what stands in the field."""
    plural = resource.partition(".")[0]
    if plural in _PATH_SEGMENT_KINDS:
        right = name not in (".", "..") and not set(name) & set("/%")
        return [] if right else [_invalid(said, "may not be a path", field)]
    if resource in _DNS_LABEL_KINDS:
        return [_invalid(said, _DNS_LABEL_TEXT, field)] if dns_label_problems(name, field) else []
    if _DNS_SUBDOMAIN.fullmatch(name) and len(name) <= 253:
        return []
    return [_invalid(said, _DNS_SUBDOMAIN_TEXT, field)]


def dns_label_problems(value: str, field: str) -> list[Cause]:
    """Of what must be a DNS label: the names of some kinds, and of containers."""
    right = _DNS_LABEL.fullmatch(value) and len(value) <= 63
    return [] if right else [_invalid(value, _DNS_LABEL_TEXT, field)]


def _key_problems(key: str, field: str) -> list[Cause]:
    """Of a qualified name: one that may have a DNS subdomain and a slash before it."""
    prefix, slash, name = key.rpartition("/")
    if slash and not (_DNS_SUBDOMAIN.fullmatch(prefix) and len(prefix) <= 253):
        text = _LABEL_KEY_TEXT if "/" in prefix else f"prefix part {_DNS_SUBDOMAIN_TEXT}"
        return [_invalid(key, text, field)]
    if not _QUALIFIED_NAME.fullmatch(name) or len(name) > 63:
        return [_invalid(key, f"name part {_NAME_PART_TEXT}", field)]
    return []


def _owner_problems(owners: list[Body]) -> list[Cause]:
    causes: list[Cause] = []
    for number, owner in enumerate(owners):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(name):
                field = f"metadata.ownerReferences[{number}].{name}"
                causes.append(Cause("FieldValueRequired", "Required value: must not be empty", field))
        if owner.get("apiVersion", "").count("/") > 1:
            text = "must be <group>/<version> or <version>"
            causes.append(_invalid(owner["apiVersion"], text, f"metadata.ownerReferences[{number}].apiVersion"))
        if (owner.get("apiVersion"), owner.get("kind")) == ("v1", "Event"):
            text = "/v1, Kind=Event is disallowed from being an owner"
            causes.append(_of_value(f"metadata.ownerReferences[{number}]", owner, text))
    controllers = [owner for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        text = "Only one reference can have Controller set to true"
        causes.append(_invalid("", text, "metadata.ownerReferences"))
    return causes


def _invalid(value: str, why: str, field: str) -> Cause:
    return Cause("FieldValueInvalid", f'Invalid value: "{value}": {why}', field)
