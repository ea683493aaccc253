"""Strategic merge patches, which the built-in kinds take:
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md

Which lists are merged, and by what key, is the topology's: the first of the keys by which server-side apply knows an
item. Maps are always merged, also those that server-side apply sees as one value. The directives: `$patch` (replace,
delete), `$retainKeys`, `$setElementOrder/<list>` and `$deleteFromPrimitiveList/<list>`.
"""

from collections.abc import Iterable
from typing import Any

from kubeloop.simulator.patches import without_nulls
from kubeloop.simulator.refusals import Body, Refusal, bad_request
from kubeloop.simulator.schemas.validation import same
from kubeloop.simulator.topology import Topology

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


def strategic_merge_patched(body: Body, patch: Any, topology: Topology) -> Body:
    """Raises the refusal: 400 for a malformed directive, 500 (as the real server) for an item without its key."""
    if not isinstance(patch, dict):
        raise bad_request("json: cannot unmarshal into Go value of type map[string]interface {}")
    return _merged(body, patch, topology)


def _merged(body: Body, patch: Body, topology: Topology) -> Body:
    if _PATCH in patch:
        return _directed(patch)
    patch = dict(patch)
    found = _retained(body, patch)
    for name in [name for name in patch if name.startswith(_ORDER)]:
        _order_list(found, patch, name, topology)
    for name, new in patch.items():
        if name.startswith(_DELETE):
            field = name.removeprefix(_DELETE)
            if isinstance(found.get(field), list):
                found[field] = [one for one in found[field] if not _is_in(one, new)]
        elif new is None:
            found.pop(name, None)
        else:
            _merge_field(found, name, new, topology.of(name))
    return found


def _directed(patch: Body) -> Body:
    if patch[_PATCH] == "replace":
        return {name: one for name, one in patch.items() if name != _PATCH}
    if patch[_PATCH] == "delete":
        return {}
    raise _failed(f"unknown patch type: {patch[_PATCH]} in map: {patch}")


def _retained(body: Body, patch: Body) -> Body:
    """What of the old stays: all, or what `$retainKeys` names; the directive is taken out of the patch."""
    if _RETAIN not in patch:
        return dict(body)
    names = patch.pop(_RETAIN)
    given = [name for name, one in patch.items() if one is not None and not name.startswith((_DELETE, _ORDER))]
    if not isinstance(names, list) or not all(name in names for name in given):
        raise bad_request("invalid patch format of retainKeys")
    return {name: one for name, one in body.items() if name in names}


def _merge_field(found: Body, name: str, new: Any, topology: Topology) -> None:
    old = found.get(name)
    if isinstance(old, dict) and isinstance(new, dict):
        found[name] = _merged(old, new, topology)
    elif isinstance(old, list) and isinstance(new, list) and topology.list_type != "atomic":
        found[name] = _merged_list(old, new, topology)
    elif isinstance(new, dict) and _PATCH in new:
        found.pop(name, None)
    else:
        found[name] = _taken(new)


def _taken(value: Any) -> Any:
    """As it is taken over: without nulls, and without what a directive deletes."""
    return without_nulls(_without_directives(value))


def _without_directives(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_directives(one) for name, one in value.items() if not _is_directed(one)}
    return [_without_directives(one) for one in value if not _is_directed(one)] if isinstance(value, list) else value


def _is_directed(value: Any) -> bool:
    return isinstance(value, dict) and _PATCH in value


def _merged_list(old: list[Any], new: list[Any], topology: Topology) -> list[Any]:
    if not any(isinstance(one, dict) for one in (*old, *new)):
        merged = _unique([*old, *new])
        return _in_order(merged, new, old, "")
    key = _key(topology)
    old, new = _special_items_applied(old, new, key)
    merged = list(old)
    for item in new:
        at = _find(merged, _key_of(item, key), key)
        if at is None:
            merged.append(without_nulls(item))  # directives within are not obeyed: to the real server they are fields
        else:
            merged[at] = _merged(merged[at], item, topology.item)
    return _in_order(merged, new, old, key)


def _special_items_applied(old: list[Any], new: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Items with `$patch`: the old ones without those that are deleted, and the new ones that are to be merged."""
    for item in new:
        directive = item.get(_PATCH)
        if directive == "delete":
            gone = _key_of(item, key)
            old = [one for one in old if not same(one.get(key), gone)]
        elif directive not in (None, "replace"):
            raise _failed(f"unknown patch type: {directive} in map: {item}")
    plain = [item for item in new if _PATCH not in item]
    if any(item.get(_PATCH) == "replace" for item in new):
        return plain, []
    return old, plain


def _order_list(found: Body, patch: Body, directive: str, topology: Topology) -> None:
    """`$setElementOrder`: the list is merged now, and brought in that order."""
    order, field = patch.pop(directive), directive.removeprefix(_ORDER)
    if not isinstance(order, list):
        raise bad_request("invalid patch format of setElementOrder list")
    new, old, inner = patch.get(field), found.get(field), topology.of(field)
    if not isinstance(new, list | None) or not isinstance(old, list | None):
        raise _failed("expected a []interface {}, but received something else")
    _check_order(new or [], order, inner)
    patch.pop(field, None)
    if old is None and new is None:
        return
    _merge_field(found, field, new or [], inner) if new is not None else None
    merged = found[field]
    key = _key(inner) if any(isinstance(one, dict) for one in merged) else ""
    found[field] = _in_order(merged, order, old or [], key)


def _check_order(new: list[Any], order: list[Any], topology: Topology) -> None:
    """The items of the patch stand in the order that the directive says.

    An item that replaces all is not in the order, but at the end of the list it is missed there, as by the real server.
    """
    items = [one for one in new if not (_is_directed(one) and one[_PATCH] == "delete")]
    if not order or not items:
        return
    at = 0
    for wanted in order:
        while at < len(items) and _is_directed(items[at]):
            at += 1
        if at < len(items):
            key = _key(topology) if isinstance(items[at], dict) else ""
            at += same(_key_of(items[at], key), _key_of(wanted, key))
    if at < len(items):
        raise _failed(f"The order in patch list:\n{new}\n doesn't match {_ORDER} list:\n{order}\n")


def _in_order(merged: list[Any], order: list[Any], before: list[Any], key: str) -> list[Any]:
    """What `order` names in that order, the others in the order of before, and both mixed as they stood before."""
    named = [(at, one) for one in merged if (at := _find(order, _key_of(one, key), key)) is not None]
    left = [one for one in merged if _find(order, _key_of(one, key), key) is None]
    right = [one for _, one in sorted(named, key=lambda pair: pair[0])]
    found: list[Any] = []
    while left and right:
        first, second = (_find(before, _key_of(side[0], key), key) for side in (left, right))
        goes_first = first is not None and second is not None and first < second
        found.append((left if goes_first else right).pop(0))
    return found + left + right


def _key(topology: Topology) -> str:
    if not topology.list_keys:
        raise _failed("cannot merge lists without merge key")
    return topology.list_keys[0]


def _key_of(item: Any, key: str) -> Any:
    if not key:
        return item
    if not isinstance(item, dict) or key not in item:
        raise _failed(f"map: {item} does not contain declared merge key: {key}")
    return item[key]


def _find(items: list[Any], wanted: Any, key: str) -> int | None:
    return next((index for index, one in enumerate(items) if same(_key_of(one, key), wanted)), None)


def _is_in(value: Any, items: Iterable[Any]) -> bool:
    return any(same(value, one) for one in items)


def _unique(items: list[Any]) -> list[Any]:
    return [one for index, one in enumerate(items) if not _is_in(one, items[:index])]


def _failed(text: str) -> Refusal:
    return Refusal(500, "", text)
