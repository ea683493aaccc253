"""Objects as clients send them: seen to be of the kind and namespace that the request names, and rid of the unknown."""

import msgspec

from kubeloop.simulator.built_in import schema_of
from kubeloop.simulator.kinds import Kind, Schema
from kubeloop.simulator.metadata import read_metadata
from kubeloop.simulator.options import WriteOptions
from kubeloop.simulator.refusals import Body, Cause, Refusal, bad_request, invalid


def read_object(kind: Kind, namespace: str, body: Body, options: WriteOptions, warnings: list[str]) -> Body:
    """What of a body may be stored; `warnings` gets what may not. Of a built-in kind with defaults.

    The body becomes the reader's. Raises `Refusal` for one of another kind or namespace.
    """
    _read_type(kind, body)
    return _placed(_decoded(kind, body, options, warnings), namespace)


def read_patched(kind: Kind, namespace: str, body: Body, options: WriteOptions, warnings: list[str]) -> Body:
    """The same of a body that came out of a patch; that it cannot be read is the patch's fault."""
    if kind.custom:
        _refuse_no_type(body)
    try:
        if not kind.custom:
            _read_type(kind, body)
        decoded = _decoded(kind, {**body}, options, warnings)
    except Refusal as why:
        raise _bad_patch(body, why.message.partition(f"as a {kind.kind}: ")[2] or why.message) from why
    return _placed(decoded, namespace)


def _decoded(kind: Kind, body: Body, options: WriteOptions, warnings: list[str]) -> Body:
    body["metadata"], unknown = read_metadata(body)
    schema = schema_of(kind)
    unknown += schema.unknown_fields(body)
    if unknown:
        body = schema.pruned(body)
    if not kind.custom:
        body = schema.defaulted(schema.without_empties(body))
        _refuse_wrong_types(kind, schema, body)
    if not unknown or options.validation == "Ignore":
        return body
    listed = [f'unknown field "{name}"' for name in unknown]
    if options.validation == "Strict":
        raise _unreadable(kind, f"strict decoding error: {', '.join(listed)}")
    warnings += listed
    return body


def _placed(body: Body, namespace: str) -> Body:
    """The body, which says its namespace or none, with that of the request."""
    meta = body["metadata"]
    if meta.setdefault("namespace", namespace) != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if not namespace:
        del meta["namespace"]
    return body


def check_name(meta: Body, name: str) -> None:
    """Raises `Refusal` when the object does not have the name of the URL."""
    if not meta.get("name"):
        raise bad_request(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")
    if meta["name"] != name:
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")


def _read_type(kind: Kind, body: Body) -> None:
    if kind.custom and not (body.get("apiVersion") and body.get("kind")):
        missing = "Object 'Kind' is missing" if not body.get("kind") else f"there is no apiVersion {kind.api_version}"
        raise bad_request(f"the object provided is unrecognized (must be of type {kind.kind}): {missing}")
    api_version, name = body.setdefault("apiVersion", kind.api_version), body.setdefault("kind", kind.kind)
    if api_version == kind.api_version and (kind.custom or name == kind.kind):
        return  # of custom kinds the kind is validated later
    version = api_version.rpartition("/")[2]
    raise bad_request(
        f'{name} in version "{version}" cannot be handled as a {kind.kind}: '
        f'no kind "{name}" is registered for version "{api_version}"'
    )


def _refuse_no_type(body: Body) -> None:
    if not body.get("kind"):
        raise _bad_patch(body, f"Object 'Kind' is missing in '{msgspec.json.encode(body).decode()}'")
    if not body.get("apiVersion"):
        why = "Object 'apiVersion' is missing in 'object has no apiVersion field'"
        details = {"causes": [{"message": why}]}
        raise Refusal(500, "InternalError", f"Internal error occurred: {why}", details=details)


def refuse_other_type(kind: Kind, body: Body) -> None:
    """Custom resources are read whatever kind they say they are, patched ones also of another version."""
    causes = [
        Cause("FieldValueInvalid", f'Invalid value: "{body[field]}": must be {right}', field)
        for field, right in (("kind", kind.kind), ("apiVersion", kind.api_version))
        if body[field] != right
    ]
    if causes:
        raise invalid(body["kind"], _name(body), causes, group=kind.group)


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


def _refuse_wrong_types(kind: Kind, schema: Schema, body: Body) -> None:
    """Of a built-in kind a value of another type cannot be read at all."""
    for cause in schema.problems(body, None):
        if cause.reason in ("FieldValueTypeInvalid", "FieldValueInvalid"):
            raise _unreadable(kind, f"{cause.field}: {cause.message}")
