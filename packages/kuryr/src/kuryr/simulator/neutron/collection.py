"""What a list gives: those that match the filters, in order, one page of them, with the fields that were asked for.

As Neutron does it: values of one filter are alternatives, different filters all hold, filters that no resource has are
ignored, and order without `sort_key` is by id. Only a `limit` makes pages and links.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from kuryr.simulator.refusals import Body, bad_request

Query = Sequence[tuple[str, str]]

_NOT_FILTERS = frozenset(("fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"))
_TAG_FILTERS = frozenset(("tags", "tags-any", "not-tags", "not-tags-any"))


@dataclass(slots=True)
class Listing:
    """A query, read. Raises `Refusal` for one that Neutron refuses."""

    filters: dict[str, list[str]] = field(default_factory=dict)
    tags: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    sort: list[tuple[str, bool]] = field(default_factory=list)
    limit: int | None = None
    marker: str = ""
    reverse: bool = False

    @classmethod
    def of(cls, query: Query) -> "Listing":
        found = cls()
        keys: list[str] = []
        directions: list[str] = []
        for name, value in query:
            if name == "fields":
                found.fields.append(value)
            elif name == "limit":
                found.limit = _limit(value)
            elif name == "marker":
                found.marker = value
            elif name == "page_reverse":
                found.reverse = value.lower() == "true"
            elif name == "sort_key":
                keys.append(value)
            elif name == "sort_dir":
                directions.append(value)
            elif name in _TAG_FILTERS:
                found.tags.append((name, frozenset(value.split(","))))
            else:
                found.filters.setdefault(name, []).append(value)
        found.sort = [(key, direction == "desc") for key, direction in zip(keys, directions or ["asc"], strict=False)]
        return found


def _limit(value: str) -> int | None:
    if not value.lstrip("-").isdigit() or int(value) < 0:
        raise bad_request("Limit must be an integer 0 or greater and not '" + value + "'")
    return int(value) or None


Matches = Callable[[Body, list[str]], bool]


def select(objects: Iterable[Body], listing: Listing, special: dict[str, Matches]) -> list[Body]:
    """Those that match, in order, all of them. `special`: filters on what is no plain value."""
    found = list(objects)
    for name, values in listing.filters.items():
        if name in special:
            found = [one for one in found if special[name](one, values)]
        elif found and name in found[0]:
            found = _matching(found, name, values)
    for name, tags in listing.tags:
        found = [one for one in found if _tagged(name, tags, frozenset(one.get("tags", ())))]
    found.sort(key=lambda one: str(one["id"]))
    for key, descending in reversed(listing.sort):
        found.sort(key=lambda one: _sortable(one.get(key)), reverse=descending)
    return found


def _matching(objects: list[Body], name: str, values: list[str]) -> list[Body]:
    if len(values) == 1:
        value = values[0]
        return [one for one in objects if _same(one.get(name), value)]
    wanted = frozenset(values)
    return [one for one in objects if isinstance(one.get(name), str) and one[name] in wanted] or [
        one for one in objects if any(_same(one.get(name), value) for value in values)
    ]


def _same(held: Any, value: str) -> bool:
    if isinstance(held, str):
        return held == value
    if isinstance(held, bool):
        return value.lower() in (("true", "1") if held else ("false", "0"))
    if held is None:
        return value in ("", "null", "None")
    return str(held) == value


def _tagged(name: str, wanted: frozenset[str], held: frozenset[str]) -> bool:
    found = bool(wanted & held) if name.endswith("-any") else wanted <= held
    return found is not name.startswith("not-")


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if isinstance(value, int | str) else str(value))


@dataclass(frozen=True, slots=True)
class Page:
    objects: list[Body]
    links: list[dict[str, str]] | None


def page_of(found: list[Body], listing: Listing, url: str, query: Query) -> Page:
    """`url` is the collection's, for the links. Raises `Refusal` for a marker that there is not."""
    if listing.limit is None:
        return Page(found, None)
    start, end = 0, len(found)
    if listing.marker:
        at = next((index for index, one in enumerate(found) if one["id"] == listing.marker), None)
        if at is None:
            raise bad_request(f"Invalid input for operation: marker {listing.marker}.", "InvalidInput")
        start, end = (0, at) if listing.reverse else (at + 1, end)
    chosen = found[max(start, end - listing.limit) : end] if listing.reverse else found[start : start + listing.limit]
    return Page(chosen, _links(chosen, listing, url, query))


def _links(chosen: list[Body], listing: Listing, url: str, query: Query) -> list[dict[str, str]]:
    rest = [(name, value) for name, value in query if name not in ("marker", "page_reverse")]
    if not chosen:
        return []
    links = []
    if len(chosen) == listing.limit or listing.reverse:
        links.append({"rel": "next", "href": f"{url}?{urlencode([*rest, ('marker', chosen[-1]['id'])])}"})
    if listing.marker:
        back = [*rest, ("marker", chosen[0]["id"]), ("page_reverse", "True")]
        links.append({"rel": "previous", "href": f"{url}?{urlencode(back)}"})
    return links


def with_fields(one: Body, fields: list[str]) -> Body:
    """As asked for; all where none was."""
    return {name: value for name, value in one.items() if name in fields} if fields else one
