"""The attributes of a resource: which may be given when it is made or changed, how they are read, and what they are
otherwise. Neutron's API layer does the same by tables, before any plug-in sees a request.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kuryr.simulator.identifiers import is_uuid
from kuryr.simulator.refusals import Body, bad_request, invalid, invalid_operation, not_simulated

Convert = Callable[[str, Any], Any]
"""Name and value; the value as it is kept. Raises `Refusal`."""


class Missing:
    """In place of a default: the attribute has to be given (`REQUIRED`), or is made up where it is not (`UNSET`)."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


REQUIRED: Final = Missing("REQUIRED")
UNSET: Final = Missing("UNSET")


@dataclass(frozen=True, slots=True)
class Attribute:
    """`operator`: only an administrator sees it."""

    convert: Convert
    default: Any = UNSET
    post: bool = True
    put: bool = True
    operator: bool = False


Attributes = Mapping[str, Attribute]


def read_new(attributes: Attributes, body: Body) -> Body:
    """What a create asks for, with defaults; those `UNSET` are left out. Raises `Refusal`."""
    for name, attribute in attributes.items():
        if name in body:
            if not attribute.post:
                raise bad_request(f"Attribute '{name}' not allowed in POST")
        elif attribute.default is REQUIRED:
            raise bad_request(f"Failed to parse request. Required attribute '{name}' not specified")
    found = _read(attributes, body)
    for name, attribute in attributes.items():
        if name not in found and not isinstance(attribute.default, Missing):
            default = attribute.default
            found[name] = default.copy() if isinstance(default, list | dict) else default
    return found


def read_changes(attributes: Attributes, body: Body) -> Body:
    """What an update asks for. Raises `Refusal`."""
    for name in body:
        attribute = attributes.get(name)
        if attribute is not None and not attribute.put:
            raise bad_request(f"Cannot update read-only attribute {name}")
    return _read(attributes, body)


def _read(attributes: Attributes, body: Body) -> Body:
    unknown = [name for name in body if name not in attributes]
    if unknown:
        raise bad_request(f"Unrecognized attribute(s) '{', '.join(unknown)}'")
    return {name: attributes[name].convert(name, value) for name, value in body.items()}


def read_only() -> Attribute:
    return Attribute(anything, post=False, put=False)


def anything(_: str, value: Any) -> Any:
    return value


def string(longest: int) -> Convert:
    def convert(name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise invalid(name, f"'{value}' is not a valid string")
        if len(value) > longest:
            raise invalid(name, f"'{value}' exceeds maximum length of {longest}")
        return value

    return convert


def boolean(_: str, value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false", "1", "0"):
        return value.lower() in ("true", "1")
    if value in (True, False):
        return bool(value)
    raise invalid_operation(f"'{value}' cannot be converted to boolean")


def number(low: int, high: int) -> Convert:
    def convert(name: str, value: Any) -> int:
        try:
            found = int(value)
        except (TypeError, ValueError):
            raise invalid(name, f"'{value}' is not an integer") from None
        if found < low:
            raise invalid(name, f"'{value}' is too small - must be at least '{low}'")
        if found > high:
            raise invalid(name, f"'{value}' is too large - must be no larger than '{high}'")
        return found

    return convert


def identifier(name: str, value: Any) -> str:
    if not is_uuid(value):
        raise invalid(name, f"'{value}' is not a valid UUID")
    return str(value)


def identifier_or_none(name: str, value: Any) -> str | None:
    return None if value is None else identifier(name, value)


def identifiers(name: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise invalid(name, f"'{value}' is not a list")
    found = [identifier(name, one) for one in value]
    if len(set(found)) < len(found):
        raise invalid(name, f"Duplicate items in the list: '{', '.join(found)}'")
    return found


def one_of(*values: Any) -> Convert:
    def convert(name: str, value: Any) -> Any:
        if value not in values:
            raise invalid(name, f"{value} is not in valid_values")
        return value

    return convert


_MAC = re.compile("[0-9a-f]{2}([:-][0-9a-f]{2}){5}")


def mac_address(name: str, value: Any) -> str:
    found = str(value).lower()
    if not _MAC.fullmatch(found):
        raise invalid(name, f"'{value}' is not a valid MAC address")
    return found.replace("-", ":")


def ip_or_none(name: str, value: Any) -> str | None:
    if value is None:
        return None
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise invalid(name, f"'{value}' is not a valid IP address") from None


def only(default: Any) -> Convert:
    """Neutron knows it, this does not: only the value that means nothing passes."""

    def convert(name: str, value: Any) -> Any:
        if value != default:
            raise not_simulated(f"{name} other than {default!r}")
        return value

    return convert
