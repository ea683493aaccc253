"""What a list gives: those that match the filters, in order, one page of them, with the fields that were asked for.

As Neutron does it: values of one filter are alternatives, different filters all hold, and order without `sort_key` is
by id. Only a `limit` makes pages and links.
"""

from bisect import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from kuryr.simulator.refusals import Body, bad_request, not_simulated

Query = Sequence[tuple[str, str]]

_NOT_FILTERS = frozenset(("fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"))
_TAG_FILTERS = frozenset(("tags", "tags-any", "not-tags", "not-tags-any"))


@dataclass(slots=True)
class Listing:
    """A query, read."""

    filters: dict[str, list[str]] = field(default_factory=dict)
    tags: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    sort: list[tuple[str, bool]] = field(default_factory=list)
    limit: int | None = None
    marker: str = ""
    reverse: bool = False

    @classmethod
    def of(cls, query: Query) -> "Listing":
        """Raises `Refusal` for one that Neutron refuses."""
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
        if len(keys) != len(directions):
            raise bad_request("The number of sort_keys and sort_dirs must be same")
        found.sort = [(key, direction == "desc") for key, direction in zip(keys, directions, strict=True)]
        return found


def _limit(value: str) -> int | None:
    if not value.lstrip("-").isdigit() or int(value) < 0:
        text = f"Bad limit request: Limit must be an integer 0 or greater and not '{value}'."
        raise bad_request(text, "BadRequest")
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
    links: list[dict[str, str]]


def page_of(found: list[Body], listing: Listing, url: str, query: Query) -> Page:
    """`url` is the collection's, for the links. The marker is there, but need not be one of these."""
    if listing.limit is None:
        return Page(found, [])
    start, end = 0, len(found)
    if listing.marker:
        ids = [one["id"] for one in found]
        if listing.marker in ids:
            at = ids.index(listing.marker)
            start, end = (0, at) if listing.reverse else (at + 1, end)
        elif listing.sort:
            raise not_simulated("a marker that does not match the filters, with sort_key")
        else:
            at = bisect(ids, listing.marker)
            start, end = (0, at) if listing.reverse else (at, end)
    chosen = found[max(start, end - listing.limit) : end] if listing.reverse else found[start : start + listing.limit]
    return Page(chosen, _links(chosen, listing, url, query))


def _links(chosen: list[Body], listing: Listing, url: str, query: Query) -> list[dict[str, str]]:
    """Neutron says `previous` on the first page too: only a page that is not full says that there is no more."""
    rest = [(name, value) for name, value in query if name not in ("marker", "page_reverse")]
    full = len(chosen) == listing.limit
    links = []
    if full or listing.reverse:
        links.append(("next", [*rest, *([("marker", chosen[-1]["id"])] if chosen else [])]))
    if full or not listing.reverse:
        marker = [("marker", chosen[0]["id"])] if chosen else []
        links.append(("previous", [*rest, *marker, ("page_reverse", "True")]))
    return [{"rel": rel, "href": f"{url}?{urlencode(each)}"} for rel, each in links]


def with_fields(one: Body, fields: list[str]) -> Body:
    """As asked for; all where none was."""
    return {name: value for name, value in one.items() if name in fields} if fields else one
