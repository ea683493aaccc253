"""What a new definition would break for who has objects or clients of the old one.

Breaking is what makes an object that was valid invalid, drops a field that was kept, or takes away what a client of a
served version could use. Loosening and adding is not. Two patterns or rules cannot be compared, so another one counts
as breaking. Pure: two definitions in, sentences with paths out.

Source: https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api_changes.md.
"""

from collections.abc import Callable
from typing import Any

_LOWER = ("minimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "maxLength", "maxItems", "maxProperties")
_SAME_OR_NONE = ("pattern", "multipleOf", "exclusiveMinimum", "exclusiveMaximum")
_WIDER_FORMATS = {("int32", "int64"), ("float", "double")}
_PRESERVE, _INT_OR_STRING = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"
_RULES, _LIST_TYPE, _LIST_KEYS = "x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"

Schema = dict[str, Any]


def breaking_definition_changes(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, ...]:
    """What breaks between two CustomResourceDefinitions of one name; the old one as the server has it."""
    found: list[str] = []
    for field in ("group", "scope"):
        if old["spec"][field] != new["spec"][field]:
            found.append(f"spec.{field}: {old['spec'][field]} becomes {new['spec'][field]}")
    for field in ("kind", "plural"):
        before, after = old["spec"]["names"][field], new["spec"]["names"][field]
        if before != after:
            found.append(f"spec.names.{field}: {before} becomes {after}")
    versions = {version["name"]: version for version in new["spec"]["versions"]}
    for name in (old.get("status") or {}).get("storedVersions") or ():
        if name not in versions:
            found.append(f"{name}: is removed, but objects are stored in it (status.storedVersions)")
    for version in old["spec"]["versions"]:
        if version["served"]:
            found += _version(version, versions.get(version["name"]))
    return tuple(found)


def _version(old: dict[str, Any], new: dict[str, Any] | None) -> list[str]:
    name = old["name"]
    if new is None or not new["served"]:
        return [f"{name}: is no longer served"]
    found = [
        f"{name}: subresource {one} is removed"
        for one in old.get("subresources") or {}
        if one not in (new.get("subresources") or {})
    ]
    kept = {field["jsonPath"] for field in new.get("selectableFields") or ()}
    found += [
        f"{name}: {field['jsonPath']} is no longer selectable"
        for field in old.get("selectableFields") or ()
        if field["jsonPath"] not in kept
    ]
    before, after = (one.get("schema", {}).get("openAPIV3Schema", {}) for one in (old, new))
    return found + [f"{name}: {change}" for change in breaking_changes(before, after)]


def breaking_changes(old: Schema, new: Schema, path: str = "") -> tuple[str, ...]:
    """What breaks between two structural schemas, each with the path of its field (`.spec.ports[].name`)."""
    where = path or "."
    if old.get("type") != new.get("type") or (_INT_OR_STRING in old) != (_INT_OR_STRING in new):
        return (f"{where}: type {_type(old)} becomes {_type(new)}",)
    found = [f"{where}: {problem}" for check in _CHECKS for problem in check(old, new)]
    found += _properties(old, new, path)
    for key, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
            found += breaking_changes(old[key], new[key], path + suffix)
        elif isinstance(old.get(key), dict) and not new.get(key) and not new.get(_PRESERVE):
            found.append(f"{where}{suffix}: is removed")
    return tuple(found)


def _type(schema: Schema) -> str:
    return "int-or-string" if _INT_OR_STRING in schema else str(schema.get("type") or "any")


def _properties(old: Schema, new: Schema, path: str) -> list[str]:
    found: list[str] = []
    before, after = old.get("properties") or {}, new.get("properties") or {}
    for name, schema in before.items():
        if name in after:
            found += breaking_changes(schema, after[name], f"{path}.{name}")
        elif not new.get(_PRESERVE):
            found.append(f"{path}.{name}: is removed")
    for name in new.get("required") or ():
        has_default = "default" in after.get(name, {})
        if name not in (old.get("required") or ()):
            if not has_default:
                found.append(f"{path}.{name}: is required now, and has no default")
        elif not has_default and "default" in before.get(name, {}):
            found.append(f"{path}.{name}: is required and loses its default")
    return found


def _nullable(old: Schema, new: Schema) -> list[str]:
    return ["may be null no longer"] if old.get("nullable") and not new.get("nullable") else []


def _enum(old: Schema, new: Schema) -> list[str]:
    if "enum" not in new:
        return []
    if "enum" not in old:
        return [f"only {new['enum']} are allowed now"]
    gone = [value for value in old["enum"] if value not in new["enum"]]
    return [f"{gone} are no longer allowed"] if gone else []


def _format(old: Schema, new: Schema) -> list[str]:
    before, after = old.get("format"), new.get("format")
    if not after or before == after or (before, after) in _WIDER_FORMATS:
        return []
    if before is None and after == "int64":
        return []
    return [f"format {before or 'none'} becomes {after}"]


def _bounds(old: Schema, new: Schema) -> list[str]:
    found = []
    for names, tighter in ((_LOWER, float.__gt__), (_UPPER, float.__lt__)):
        for name in names:
            if name not in new or (name.startswith("min") and name != "minimum" and new[name] == 0):
                continue
            if name not in old:
                found.append(f"{name} is {new[name]} now")
            elif tighter(float(new[name]), float(old[name])):
                found.append(f"{name} {old[name]} becomes {new[name]}")
    for name in _SAME_OR_NONE:
        if new.get(name) and new[name] != old.get(name):
            found.append(f"{name} {old.get(name, 'none')} becomes {new[name]}")
    return found


def _rules(old: Schema, new: Schema) -> list[str]:
    known = {rule["rule"] for rule in old.get(_RULES) or ()}
    return [f"new rule {rule['rule']!r}" for rule in new.get(_RULES) or () if rule["rule"] not in known]


def _lists(old: Schema, new: Schema) -> list[str]:
    before, after = old.get(_LIST_TYPE, "atomic"), new.get(_LIST_TYPE, "atomic")
    if before != after:
        return [f"list type {before} becomes {after}"]
    if old.get(_LIST_KEYS) != new.get(_LIST_KEYS):
        return [f"list keys {old.get(_LIST_KEYS)} become {new.get(_LIST_KEYS)}"]
    return []


def _unknown_fields(old: Schema, new: Schema) -> list[str]:
    return ["unknown fields are dropped now"] if old.get(_PRESERVE) and not new.get(_PRESERVE) else []


_CHECKS: tuple[Callable[[Schema, Schema], list[str]], ...] = (
    _nullable,
    _enum,
    _format,
    _bounds,
    _rules,
    _lists,
    _unknown_fields,
)
