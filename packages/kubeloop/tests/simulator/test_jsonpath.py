"""JSONPath of printer columns. What is expected was recorded from kube-apiserver 1.37.2, from a CRD for each path."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kubeloop.simulator.cells import age, custom_cell, duration_text
from kubeloop.simulator.jsonpath import BadPath, JsonPath

NOW = datetime(2026, 11, 24, 19, 38, tzinfo=UTC)
SPEC: dict[str, Any] = {
    "s": "text",
    "i": 7,
    "f": 1.5,
    "whole": 2.0,
    "b": True,
    "list": ["x", "y", "z"],
    "map": {"a": "one", "b": 2},
    "objs": [{"t": "A", "n": 1, "b": True, "u": "A"}, {"t": "B", "n": 2, "x": None, "b": False}, {"t": "C", "n": 3}],
    "mixed": ["a", {"n": 5}, [9]],
    "nested": [["p", "q"], ["r"]],
    "nul": None,
    "nulls": [None, 1],
    "html": ["é<>&\u2028"],
    "a.b": "dot",
    "date": "2026-11-24T10:00:00Z",
    "offset": "2026-11-24T10:00:00+02:00",
    "future": "2030-11-24T10:00:00Z",
    "empty": "",
    "only": "2026-11-24",
    "big": 123456789.5,
    "small": 0.0000001,
}


def shown(path: str, kind: str = "string") -> Any:
    return custom_cell({"metadata": {"labels": {"a.b/c": "lab"}}, "spec": SPEC}, JsonPath(path), kind, NOW)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".spec.s", "text"),
        (".spec.i", "7"),
        (".spec.f", "1.5"),
        (".spec.whole", "2"),
        (".spec.big", "1.234567895e+08"),
        (".spec.small", "1e-07"),
        (".spec.b", "true"),
        (".spec.list", '["x","y","z"]'),
        (".spec.list[*]", "x"),
        (".spec.list[]", "x"),
        (".spec.list[0]", "x"),
        (".spec.list[-1]", "z"),
        (".spec.list[0:2]", "x"),
        (".spec.list[1:]", "y"),
        (".spec.list[-2:]", "y"),
        (".spec.list[1:3:2]", "y"),
        (".spec.list[-1,0]", "z"),
        (".spec.list[5]", None),
        (".spec.list[-9]", None),
        (".spec.list[0:9]", None),
        (".spec.list[3:3]", None),
        (".spec.list.foo", None),
        (".spec.map", '{"a":"one","b":2}'),
        (".spec.map.a", "one"),
        (".spec['map'].a", "one"),
        (".spec.map[0]", None),
        (".spec.a\\.b", "dot"),
        (".metadata.labels.a\\.b/c", "lab"),
        (".metadata.labels['a.b/c']", None),
        (".metadata.labels['a\\.b/c']", "lab"),
        (".missing.deep", None),
        (".spec.s.deep", None),
        (".spec.nul", "<no value>"),
        (".spec.nul.deep", None),
        (".spec.nul[0]", None),
        (".spec.nulls[*]", "<no value>"),
        (".spec.empty", ""),
        (".spec.html", '["é\\u003c\\u003e\\u0026\\u2028"]'),
        (".spec.nested[*][0]", "p"),
        (".spec.nested[*]", '["p","q"]'),
        (".spec.mixed[*].n", "5"),
        (".spec.mixed[*][0]", None),
        ("..n", "1"),
        (".spec.objs[*].n", "1"),
        ('.spec.objs[?(@.t=="B")].n', "2"),
        (".spec.objs[?(@.t=='B')].n", "2"),
        ('.spec.objs[?( @.t == "B" )].n', "2"),
        ('.spec.objs[?("B"==@.t)].n', "2"),
        (".spec.objs[?(@.t==@.u)].n", "1"),
        (".spec.objs[?(@.b==false)].t", "B"),
        (".spec.objs[?(@.n>1)].t", "B"),
        ('.spec.objs[?(@.t!="A")].t', "B"),
        (".spec.objs[?(@.x)].t", "B"),
        ('.spec.objs[?(@.t=="Z")].n', None),
        (".spec.objs[?(@.t==1)].n", None),
        (".spec.objs[?(@.n==1.0)].t", None),
        (".spec.", None),
        (".", None),
    ],
)
def test_a_column_of_texts_shows_the_first_value_it_finds(path: str, expected: str | None) -> None:
    assert shown(path) == expected


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        ("integer", ".spec.i", 7),
        ("integer", ".spec.f", 1),
        ("integer", ".spec.s", None),
        ("integer", ".spec.b", None),
        ("integer", ".spec.nul", None),
        ("number", ".spec.f", 1.5),
        ("number", ".spec.i", 7),
        ("number", ".spec.s", None),
        ("boolean", ".spec.b", True),
        ("boolean", ".spec.i", None),
        ("date", ".spec.date", "9h"),
        ("date", ".spec.offset", "11h"),
        ("date", ".spec.future", "<invalid>"),
        ("date", ".spec.empty", "<unknown>"),
        ("date", ".spec.only", "<invalid>"),
        ("date", ".spec.s", "<invalid>"),
        ("date", ".spec.i", None),
    ],
)
def test_a_column_shows_nothing_of_another_type(kind: str, path: str, expected: Any) -> None:
    assert shown(path, kind) == expected


@pytest.mark.parametrize(
    "path",
    [
        '.spec["s"]',
        ".spec.list[a]",
        ".spec.list[0",
        ".spec.list[ 0 ]",
        '.spec.objs[?(@.t in ["A"])].t',
        '.spec.objs[?(@.n > 1 && @.t=="B")].t',
        '.spec.objs[?(@.t=~"A")].n',
        ".spec.list[(@.length-1)]",
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(BadPath):
        JsonPath(path)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-3, "<invalid>"),
        (-1, "0s"),
        (119, "119s"),
        (120, "2m"),
        (599, "9m59s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 61, "3h1m"),
        (8 * 3600 + 61, "8h"),
        (48 * 3600 - 1, "47h"),
        (48 * 3600, "2d"),
        (49 * 3600, "2d1h"),
        (8 * 86400, "8d"),
        (2 * 365 * 86400 - 1, "729d"),
        (2 * 365 * 86400, "2y"),
        (3 * 365 * 86400 + 86400, "3y1d"),
        (9 * 365 * 86400 + 86400, "9y"),
    ],
)
def test_ages_are_told_in_the_units_that_fit(seconds: int, expected: str) -> None:
    assert duration_text(seconds) == expected
    assert age((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == expected
