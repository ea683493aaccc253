"""Objects as clients send them: seen to be of the kind and namespace that the request names, and rid of the unknown."""

import msgspec

from kubeloop.simulator.built_in import schema_of
from kubeloop.simulator.kinds import Kind, Schema
from kubeloop.simulator.metadata import read_metadata
from kubeloop.simulator.options import WriteOptions
from kubeloop.simulator.refusals import Body, Cause, Refusal, bad_request, invalid


def read_object(
    kind: Kind,
    namespace: str,
    body: Body,
    options: WriteOptions,
    warnings: list[str],
    *,
    patched: bool = False,
) -> Body:
    """What of a body may be stored. `warnings` gets what may not; `patched` says that the body came out of a patch.

    The body becomes the reader's. Raises `Refusal` for one of another kind or namespace.
    """
    _read_type(kind, body)
    body["metadata"], unknown = read_metadata(body)
    meta = body["metadata"]
    if meta.setdefault("namespace", namespace) != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if not namespace:
        del meta["namespace"]
    schema = schema_of(kind)
    unknown += schema.unknown_fields(body)
    sent = body
    if unknown:
        body = schema.pruned(body)
    if not unknown or options.validation == "Ignore":
        return body
    listed = [f'unknown field "{name}"' for name in unknown]
    if options.validation == "Strict":
        why = f"strict decoding error: {', '.join(listed)}"
        raise _bad_patch(sent, why) if patched else _unreadable(kind, why)
    warnings += listed
    return body


def _read_type(kind: Kind, body: Body) -> None:
    api_version, name = body.setdefault("apiVersion", kind.api_version), body.setdefault("kind", kind.kind)
    if api_version == kind.api_version and name == kind.kind:
        return
    if kind.custom and api_version == kind.api_version:
        text = f'Invalid value: "{name}": must be {kind.kind}'
        causes = [Cause("FieldValueInvalid", text, "kind")]
        raise invalid(kind.kind, _name(body), causes, group=kind.group)
    version = api_version.rpartition("/")[2]
    raise bad_request(
        f'{name} in version "{version}" cannot be handled as a {kind.kind}: '
        f'no kind "{name}" is registered for version "{api_version}"'
    )


def _name(body: Body) -> str:
    meta = body.get("metadata")
    name = meta.get("name") if isinstance(meta, dict) else None
    return name if isinstance(name, str) else ""


def _unreadable(kind: Kind, why: str) -> Refusal:
    return bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {why}')


def _bad_patch(body: Body, why: str) -> Refusal:
    """Of a patch that leads to `body`; the real server names neither kind nor object."""
    value = msgspec.json.encode(msgspec.json.encode(body).decode()).decode()
    return invalid("", "", [Cause("FieldValueInvalid", f"Invalid value: {value}: {why}", "patch")])


def refuse_wrong_types(kind: Kind, schema: Schema, body: Body) -> None:
    """Of a built-in kind a value of another type cannot be read at all."""
    for cause in schema.problems(body, None):
        if cause.reason in ("FieldValueTypeInvalid", "FieldValueInvalid"):
            raise _unreadable(kind, f"{cause.field}: {cause.message}")
