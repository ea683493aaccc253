"""JSON patches and merge patches: alone by property, and beside the real server."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubeloop.simulator.patches import json_patched, merge_patched
from kubeloop.simulator.refusals import Refusal

from .real_server import RealServer

Body = dict[str, Any]

NAMES = st.sampled_from(["a", "b", "c/d", "e~f", "0"])
SCALARS = st.sampled_from([0, 1, True, "x", "", 1.5])
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
BODIES = st.dictionaries(NAMES, TREES, max_size=4)
EXAMPLES = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def merge_between(old: Body, new: Body) -> Body:
    """The merge patch that makes `new` of `old`; neither has nulls."""
    patch: Body = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            patch[name] = merge_between(before, value)
        elif name not in old or before != value or type(before) is not type(value):
            patch[name] = value
    return patch


def operations_between(old: Body, new: Body, path: str = "") -> list[Body]:
    """A JSON patch that makes `new` of `old`."""
    found: list[Body] = []
    for name in {**old, **new}:
        at = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
        if name not in new:
            found.append({"op": "remove", "path": at})
        elif isinstance(new[name], dict) and isinstance(old.get(name), dict):
            found += operations_between(old[name], new[name], at)
        else:
            found.append({"op": "replace" if name in old else "add", "path": at, "value": new[name]})
    return found


@given(BODIES, BODIES)
def test_the_merge_patch_between_two_bodies_makes_one_of_the_other(old: Body, new: Body) -> None:
    before = repr(old)
    assert merge_patched(old, merge_between(old, new)) == new
    assert repr(old) == before


@given(BODIES, BODIES)
def test_the_json_patch_between_two_bodies_makes_one_of_the_other(old: Body, new: Body) -> None:
    before = repr(old)
    assert json_patched(old, operations_between(old, new)) == new
    assert repr(old) == before


@given(BODIES, BODIES)
def test_a_json_patch_whose_last_test_fails_is_refused_whole(old: Body, new: Body) -> None:
    operations = [*operations_between(old, new), {"op": "test", "path": "/missing", "value": 1}]
    with pytest.raises(Refusal) as refused:
        json_patched(old, operations)
    assert (refused.value.code, refused.value.reason, refused.value.details) == (422, "Invalid", {})


def test_what_a_patch_does_not_touch_is_shared() -> None:
    old: Body = {"a": {"x": 1}, "b": {"y": [1]}}
    assert json_patched(old, [{"op": "add", "path": "/a/z", "value": 2}])["b"] is old["b"]
    assert merge_patched(old, {"a": {"z": 2}})["b"] is old["b"]


# fmt: off
POINTERS = st.sampled_from([
    "/spec/a", "/spec/b", "/spec/c~1d", "/spec/0", "/spec/a/a", "/spec/a/0", "/spec/a/-1", "/spec/a/-", "/spec/a/1",
    "/spec", "/spec/b/a", "/spec/b/2", "/spec/a/0/a", "spec/a", "/spec/a/x", "/spec/e~0f", "/spec/missing/a",
])
# fmt: on
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "nonsense"]), "path": POINTERS},
    optional={"value": TREES | st.none(), "from": POINTERS},
)
MERGES = st.recursive(
    SCALARS | st.none(), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3)
)
LOOSE = {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}


@pytest.fixture(scope="session")
def loose(real: RealServer) -> str:
    """A kind that keeps whatever its spec has."""
    return real.define(LOOSE)


def patched(real: RealServer, plural: str, old: Body, patch: Any, content_type: str) -> tuple[int, str, Any]:
    """What the real server makes of `spec`: status, reason, and the new one."""
    status, made, _ = real.call("POST", real.path(plural), real.object(plural, {"spec": old}))
    assert status == 201, made
    try:
        status, answer, _ = real.call("PATCH", f"{real.path(plural)}/a?dryRun=All", patch, content_type)
    finally:
        real.call("DELETE", f"{real.path(plural)}/a")
    return (200, "", answer.get("spec")) if status == 200 else (status, answer["reason"], None)


def ours(old: Body, operations: Any) -> tuple[int, str, Any]:
    """The same, of ours."""
    try:
        return 200, "", json_patched({"spec": old}, operations).get("spec")
    except Refusal as refused:
        return refused.code, refused.reason, None


LIST: Body = {"a": [1, {"a": 1}, 3], "b": {"a": None}}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/spec/a/-1"},
        {"op": "replace", "path": "/spec/a/-3", "value": 0},
        {"op": "replace", "path": "/spec/a/-4", "value": 0},
        {"op": "replace", "path": "/spec/a/3", "value": 0},
        {"op": "add", "path": "/spec/a/3", "value": 0},
        {"op": "add", "path": "/spec/a/-1", "value": 0},
        {"op": "add", "path": "/spec/a/-", "value": 0},
        {"op": "add", "path": "/spec/a/-2/b", "value": 0},
        {"op": "add", "path": "/spec/a/x", "value": 0},
        {"op": "add", "path": "/spec/a/0/x", "value": 0},
        {"op": "copy", "from": "/spec/a/-2", "path": "/spec/c"},
        {"op": "move", "from": "/spec/a/0", "path": "/spec/a/1"},
        {"op": "move", "from": "/spec/missing", "path": "/spec/c"},
        {"op": "test", "path": "/spec/missing", "value": None},
        {"op": "test", "path": "/spec/missing"},
        {"op": "test", "path": "/spec/a/0", "value": 1.0},
        {"op": "test", "path": "/spec/a/1", "value": {"a": 1}},
        {"op": "replace", "path": "/spec/missing/a", "value": 1},
    ],
    ids=repr,
)
def test_a_json_operation_ends_as_on_the_real_server(real: RealServer, loose: str, operation: Body) -> None:
    assert ours(LIST, [operation]) == patched(real, loose, LIST, [operation], "application/json-patch+json")


@EXAMPLES
@given(old=BODIES, operations=st.lists(OPERATIONS, min_size=1, max_size=3))
def test_json_patches_end_as_on_the_real_server(real: RealServer, loose: str, old: Body, operations: Any) -> None:
    theirs = patched(real, loose, old, operations, "application/json-patch+json")
    found = ours(old, operations)
    if isinstance(found[2], dict | None):  # else it does not fit the schema
        assert found == theirs


@EXAMPLES
@given(old=BODIES, patch=st.dictionaries(NAMES, MERGES, max_size=3))
def test_merge_patches_end_as_on_the_real_server(real: RealServer, loose: str, old: Body, patch: Body) -> None:
    theirs = patched(real, loose, old, {"spec": patch}, "application/merge-patch+json")
    assert (200, "", merge_patched({"spec": old}, {"spec": patch})["spec"]) == theirs


@pytest.mark.parametrize("patch", [[], "x", None, 1])
def test_what_is_no_merge_patch_is_a_bad_request(patch: Any) -> None:
    with pytest.raises(Refusal) as refused:
        merge_patched({}, patch)
    assert refused.value.code == 400


@pytest.mark.parametrize("patch", [{}, "x", None, [1]])
def test_what_is_no_json_patch_is_a_bad_request(patch: Any) -> None:
    with pytest.raises(Refusal) as refused:
        json_patched({}, patch)
    assert refused.value.code == 400
